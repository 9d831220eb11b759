package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"time"
)

// caller passes requests on to the function's process.
type caller struct {
	upstream string
	timeout  time.Duration
	client   *http.Client
}

func newCaller(config config) *caller {
	transport := &http.Transport{
		DialContext:         (&net.Dialer{Timeout: 3 * time.Second, KeepAlive: 10 * time.Second}).DialContext,
		MaxIdleConnsPerHost: 100,
		IdleConnTimeout:     500 * time.Millisecond,
	}
	stay := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &caller{
		upstream: config.upstream,
		timeout:  config.execTimeout,
		client:   &http.Client{Transport: transport, CheckRedirect: stay},
	}
}

func (c *caller) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	start := time.Now()
	ctx := r.Context()
	if c.timeout > 0 {
		limited, cancel := context.WithTimeout(ctx, c.timeout)
		defer cancel()
		ctx = limited
	}
	request, err := http.NewRequestWithContext(ctx, r.Method, c.upstream+r.URL.RequestURI(), r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	request.Header = r.Header.Clone()
	request.Host = r.Host
	request.ContentLength = r.ContentLength
	response, err := c.client.Do(request)
	if err != nil {
		status := http.StatusInternalServerError
		if errors.Is(err, context.DeadlineExceeded) {
			status = http.StatusGatewayTimeout
		}
		log.Printf("%s %s: %d: %v", r.Method, r.URL.Path, status, err)
		w.WriteHeader(status)
		return
	}
	defer response.Body.Close()
	for name, values := range response.Header {
		w.Header()[name] = values
	}
	w.Header().Set("X-Duration-Seconds", fmt.Sprintf("%f", time.Since(start).Seconds()))
	w.WriteHeader(response.StatusCode)
	if _, err := io.Copy(w, response.Body); err != nil {
		log.Printf("%s %s: the answer was broken off: %v", r.Method, r.URL.Path, err)
	}
}
