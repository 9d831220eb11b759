// Serves the function's handler over HTTP, for the watchdog.
package main

import (
	"context"
	"errors"
	"log"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"handler/function"
)

const address = ":8082"

func main() {
	writeTimeout := duration("write_timeout")
	http.HandleFunc("/", function.Handle)
	server := &http.Server{
		Addr:           address,
		ReadTimeout:    duration("read_timeout"),
		WriteTimeout:   writeTimeout,
		MaxHeaderBytes: 1 << 20,
	}
	stopped := make(chan error, 1)
	go func() { stopped <- stopOnSignal(server, writeTimeout) }()
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		log.Fatal(err)
	}
	if err := <-stopped; err != nil {
		log.Fatal(err)
	}
}

// stopOnSignal waits for SIGTERM, and lets the calls that run come to their end.
func stopOnSignal(server *http.Server, patience time.Duration) error {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM)
	<-signals
	drain, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return server.Shutdown(drain)
}

// duration reads "10s", or a number of seconds, from the environment.
func duration(name string) time.Duration {
	text := os.Getenv(name)
	if seconds, err := strconv.Atoi(text); err == nil {
		return time.Duration(seconds) * time.Second
	}
	if parsed, err := time.ParseDuration(text); err == nil {
		return parsed
	}
	return 10 * time.Second
}
