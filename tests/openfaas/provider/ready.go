package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

const (
	// readyTimeout is how long a call waits for a function that has just been started.
	readyTimeout = 20 * time.Second
	// wakeTimeout is how long a container is watched that has been started again.
	wakeTimeout = time.Second
)

// wake starts a stopped container. One that ends again at once is an error: the gateway would take
// it for one that is on its way.
func (f *functions) wake(ctx context.Context, stopped container) error {
	path := "/containers/" + stopped.ID + "/start"
	if err := f.engine.call(ctx, http.MethodPost, path, nil, nil, nil); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, wakeTimeout)
	defer cancel()
	_, err := f.await(ctx, stopped.Labels[nameLabel])
	if errors.Is(err, errNotListening) {
		return nil
	}
	return err
}

// Resolve gives a function's address once it listens there.
func (f *functions) Resolve(name string) (url.URL, error) {
	name, _, _ = strings.Cut(name, ".")
	f.mutex.Lock()
	address, known := f.ready[name]
	f.mutex.Unlock()
	if !known {
		ctx, cancel := context.WithTimeout(context.Background(), readyTimeout)
		defer cancel()
		var err error
		if address, err = f.await(ctx, name); err != nil {
			return url.URL{}, err
		}
	}
	return url.URL{Scheme: "http", Host: address}, nil
}

var errNotListening = errors.New("it does not listen")

// await waits until a function listens, and remembers where.
func (f *functions) await(ctx context.Context, name string) (string, error) {
	for {
		found, err := f.findRunning(ctx, name)
		if err != nil {
			return "", err
		}
		address := f.address(*found)
		refused := dial(ctx, address)
		if refused == nil {
			f.mutex.Lock()
			f.ready[name] = address
			f.mutex.Unlock()
			// Where it was stopped meanwhile, nobody else is going to forget it.
			if _, err := f.findRunning(ctx, name); err != nil {
				f.forget(name)
				return "", err
			}
			return address, nil
		}
		if ctx.Err() != nil {
			return "", fmt.Errorf("function %s in %s: %w: %w", name, found.ID, errNotListening, refused)
		}
	}
}

// findRunning gives a function's container, which runs.
func (f *functions) findRunning(ctx context.Context, name string) (*container, error) {
	// The time that is left is for the function, not for the engine.
	found, err := f.find(context.WithoutCancel(ctx), name)
	if err != nil {
		return nil, err
	}
	if found == nil || found.State != "running" {
		return nil, fmt.Errorf("function %s does not run", name)
	}
	return found, nil
}

func (f *functions) address(found container) string {
	return net.JoinHostPort(found.NetworkSettings.Networks[network].IPAddress, "8080")
}

// dial tries an address for some time, and gives the last error.
func dial(ctx context.Context, address string) error {
	var dialer net.Dialer
	ctx, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
	defer cancel()
	for {
		connection, err := dialer.DialContext(ctx, "tcp", address)
		if err == nil {
			connection.Close()
			return nil
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(5 * time.Millisecond):
		}
	}
}

func (f *functions) forget(name string) {
	f.mutex.Lock()
	delete(f.ready, name)
	f.mutex.Unlock()
}
