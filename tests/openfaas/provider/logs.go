package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/openfaas/faas-provider/logs"
)

// longestLine is how much a function may write without a line end, in bytes.
const longestLine = 1 << 20

// Query streams what a function has written, as the SDK's log handler wants it.
func (f *functions) Query(ctx context.Context, request logs.Request) (<-chan logs.Message, error) {
	found, err := f.find(ctx, request.Name)
	if err != nil {
		return nil, err
	}
	if found == nil {
		return nil, fmt.Errorf("function %s is not deployed", request.Name)
	}
	query := url.Values{"stdout": {"1"}, "stderr": {"1"}, "timestamps": {"1"}}
	query.Set("follow", strconv.FormatBool(request.Follow))
	if request.Tail > 0 {
		query.Set("tail", strconv.Itoa(request.Tail))
	}
	if request.Since != nil {
		query.Set("since", strconv.FormatInt(request.Since.Unix(), 10))
	}
	stream, err := f.engine.open(ctx, http.MethodGet, "/containers/"+found.ID+"/logs", query, nil)
	if err != nil {
		return nil, err
	}
	messages := make(chan logs.Message)
	go func() {
		defer close(messages)
		defer stream.Close()
		lines := bufio.NewScanner(&frames{stream: stream})
		lines.Buffer(nil, longestLine)
		for lines.Scan() {
			stamp, text, _ := strings.Cut(lines.Text(), " ")
			// A line whose time cannot be read keeps the zero time.
			when, _ := time.Parse(time.RFC3339Nano, stamp)
			message := logs.Message{Name: request.Name, Instance: found.ID[:12], Timestamp: when, Text: text}
			select {
			case messages <- message:
			case <-ctx.Done():
				return
			}
		}
		if err := lines.Err(); err != nil && ctx.Err() == nil {
			log.Printf("the log of %s: %v", request.Name, err)
		}
	}()
	return messages, nil
}

// frames takes off the headers with which the engine tells standard output from standard error: eight
// bytes, of which the last four are the length.
type frames struct {
	stream io.Reader
	left   uint32
}

func (f *frames) Read(buffer []byte) (int, error) {
	for f.left == 0 {
		var header [8]byte
		if _, err := io.ReadFull(f.stream, header[:]); err != nil {
			return 0, err
		}
		f.left = binary.BigEndian.Uint32(header[4:])
	}
	if uint32(len(buffer)) > f.left {
		buffer = buffer[:f.left]
	}
	count, err := f.stream.Read(buffer)
	f.left -= uint32(count)
	return count, err
}
