package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
)

// engine is a client of Docker Engine's API (https://docs.docker.com/engine/api/), version 1.40.
type engine struct {
	client *http.Client
}

// engineError is an answer of the engine that tells an error.
type engineError struct {
	status  int
	message string
}

func (e *engineError) Error() string {
	return fmt.Sprintf("Docker Engine: %s (%d)", e.message, e.status)
}

// isMissing tells whether an error says that something does not exist.
func isMissing(err error) bool {
	told, ok := err.(*engineError)
	return ok && told.status == http.StatusNotFound
}

func newEngine(socket string) *engine {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", socket)
	}
	return &engine{client: &http.Client{Transport: &http.Transport{DialContext: dial}}}
}

// open sends a request and gives the answer's body, or the engine's error.
func (e *engine) open(ctx context.Context, method, path string, query url.Values, body any) (io.ReadCloser, error) {
	var content io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		content = bytes.NewReader(text)
	}
	address := url.URL{Scheme: "http", Host: "docker", Path: "/v1.40" + path, RawQuery: query.Encode()}
	request, err := http.NewRequestWithContext(ctx, method, address.String(), content)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := e.client.Do(request)
	if err != nil {
		return nil, err
	}
	// 304 says that a container was started or stopped already.
	if response.StatusCode >= 400 {
		defer response.Body.Close()
		var told struct{ Message string }
		text, _ := io.ReadAll(io.LimitReader(response.Body, 1<<16))
		if json.Unmarshal(text, &told) != nil {
			told.Message = string(text)
		}
		return nil, &engineError{response.StatusCode, told.Message}
	}
	return response.Body, nil
}

// call sends a request and reads the answer into result, where one is wanted.
func (e *engine) call(ctx context.Context, method, path string, query url.Values, body, result any) error {
	answer, err := e.open(ctx, method, path, query, body)
	if err != nil {
		return err
	}
	defer answer.Close()
	if result == nil {
		_, err = io.Copy(io.Discard, answer)
		return err
	}
	return json.NewDecoder(answer).Decode(result)
}

// pull fetches an image from its registry. The engine tells errors in the stream of its progress.
func (e *engine) pull(ctx context.Context, image string) error {
	stream, err := e.open(ctx, http.MethodPost, "/images/create", url.Values{"fromImage": {image}}, nil)
	if err != nil {
		return err
	}
	defer stream.Close()
	for decoder := json.NewDecoder(stream); ; {
		var progress struct{ Error string }
		if err := decoder.Decode(&progress); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		if progress.Error != "" {
			return fmt.Errorf("pulling %s: %s", image, progress.Error)
		}
	}
}

// container is what the engine's list tells of one.
type container struct {
	ID              string            `json:"Id"`
	Image           string            `json:"Image"`
	State           string            `json:"State"`
	Created         int64             `json:"Created"`
	Labels          map[string]string `json:"Labels"`
	NetworkSettings struct {
		Networks map[string]struct{ IPAddress string }
	}
}

// containers lists the containers with a label, the stopped ones too.
func (e *engine) containers(ctx context.Context, label string) ([]container, error) {
	filter, err := json.Marshal(map[string][]string{"label": {label}})
	if err != nil {
		return nil, err
	}
	var list []container
	query := url.Values{"all": {"true"}, "filters": {string(filter)}}
	err = e.call(ctx, http.MethodGet, "/containers/json", query, nil, &list)
	return list, err
}
