package main

import (
	"context"
	"encoding/json"
	"log"
	"net/http"
	"net/url"
	"time"
)

// followPause is how long the engine, which may have ended, is left alone before its events are asked for again.
const followPause = time.Second

// followEnds forgets the addresses of containers that end: the engine gives them to others.
func (f *functions) followEnds(ctx context.Context) {
	for ctx.Err() == nil {
		err := f.followEngine(ctx)
		// Whatever has ended meanwhile was not told.
		f.forgetAll()
		log.Printf("events of Docker Engine: %v", err)
		select {
		case <-ctx.Done():
		case <-time.After(followPause):
		}
	}
}

// followEngine does so until the engine tells no more.
func (f *functions) followEngine(ctx context.Context) error {
	filter, err := json.Marshal(map[string][]string{"event": {"die"}, "label": {deploymentLabel}})
	if err != nil {
		return err
	}
	stream, err := f.engine.open(ctx, http.MethodGet, "/events", url.Values{"filters": {string(filter)}}, nil)
	if err != nil {
		return err
	}
	defer stream.Close()
	for decoder := json.NewDecoder(stream); ; {
		var event struct {
			Actor struct{ Attributes map[string]string }
		}
		if err := decoder.Decode(&event); err != nil {
			return err
		}
		f.forget(event.Actor.Attributes[nameLabel])
	}
}

func (f *functions) forgetAll() {
	f.mutex.Lock()
	clear(f.ready)
	f.mutex.Unlock()
}
