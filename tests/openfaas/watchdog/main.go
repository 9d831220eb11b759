// A development watchdog: the HTTP mode of OpenFaaS's of-watchdog, as its README documents it, and
// no other mode. It starts the function's process, passes requests on to it, and answers probes.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

func main() {
	config, err := readConfig(os.Getenv)
	if err == nil {
		err = run(config)
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "error: %v\n", err)
		os.Exit(1)
	}
}

func run(config config) error {
	process := exec.Command(config.process[0], config.process[1:]...)
	process.Stdout, process.Stderr = os.Stdout, os.Stderr
	if err := process.Start(); err != nil {
		return fmt.Errorf("fprocess: %w", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- process.Wait() }()

	var accepting atomic.Bool
	server := &http.Server{
		Addr:         fmt.Sprintf(":%d", config.port),
		Handler:      routes(config, &accepting),
		ReadTimeout:  config.readTimeout,
		WriteTimeout: config.writeTimeout,
	}
	served := make(chan error, 1)
	go func() { served <- server.ListenAndServe() }()
	lock, err := setLock(&accepting)
	if err != nil {
		log.Printf("no lock file, which only other health checks look at: %v", err)
	}

	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM)
	select {
	case err := <-ended:
		return fmt.Errorf("the function's process has ended: %v", err)
	case err := <-served:
		return err
	case <-stop:
	}
	log.Print("SIGTERM: no new requests; those that run are finished")
	accepting.Store(false)
	// It may not have been made.
	_ = os.Remove(lock)
	drain, cancel := context.WithTimeout(context.Background(), config.writeTimeout)
	defer cancel()
	err = server.Shutdown(drain)
	// It may have ended by itself.
	_ = process.Process.Signal(syscall.SIGTERM)
	select {
	case <-ended:
	case <-time.After(time.Second):
		_ = process.Process.Kill()
	}
	return err
}

func setLock(accepting *atomic.Bool) (string, error) {
	accepting.Store(true)
	path := filepath.Join(os.TempDir(), ".lock")
	return path, os.WriteFile(path, nil, 0o660)
}

func routes(config config, accepting *atomic.Bool) http.Handler {
	mux := http.NewServeMux()
	probe := func(w http.ResponseWriter, _ *http.Request) {
		if !accepting.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "OK")
	}
	mux.HandleFunc("/_/health", probe)
	mux.HandleFunc("/_/ready", probe)
	mux.Handle("/", newCaller(config))
	return mux
}

// config is what the environment says.
type config struct {
	process                                []string
	upstream                               string
	port                                   int
	execTimeout, readTimeout, writeTimeout time.Duration
}

func readConfig(get func(string) string) (config, error) {
	c := config{port: 8080, execTimeout: 10 * time.Second, readTimeout: 10 * time.Second, writeTimeout: 10 * time.Second}
	if mode := get("mode"); mode != "http" {
		return c, fmt.Errorf("mode is %q; this watchdog knows http only", mode)
	}
	if c.process = strings.Fields(get("fprocess")); len(c.process) == 0 {
		return c, errors.New("fprocess is not set")
	}
	for _, name := range []string{"http_upstream_url", "upstream_url"} {
		if c.upstream == "" {
			c.upstream = strings.TrimSuffix(get(name), "/")
		}
	}
	if c.upstream == "" {
		return c, errors.New("upstream_url is not set")
	}
	if text := get("port"); text != "" {
		if _, err := fmt.Sscanf(text, "%d", &c.port); err != nil {
			return c, fmt.Errorf("port: %q is no number", text)
		}
	}
	for name, value := range map[string]*time.Duration{
		"exec_timeout": &c.execTimeout, "read_timeout": &c.readTimeout, "write_timeout": &c.writeTimeout,
	} {
		if err := readDuration(get(name), value); err != nil {
			return c, fmt.Errorf("%s: %w", name, err)
		}
	}
	return c, nil
}

// readDuration reads "10s" or a number of seconds.
func readDuration(text string, value *time.Duration) error {
	if text == "" {
		return nil
	}
	if !strings.ContainsAny(text, "hmnsuµ") {
		text += "s"
	}
	duration, err := time.ParseDuration(text)
	if err == nil {
		*value = duration
	}
	return err
}
