package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func environment(pairs ...string) func(string) string {
	values := map[string]string{}
	for index := 0; index < len(pairs); index += 2 {
		values[pairs[index]] = pairs[index+1]
	}
	return func(name string) string { return values[name] }
}

func TestTheEnvironmentIsReadAsDocumented(t *testing.T) {
	c, err := readConfig(environment("mode", "http", "fprocess", "python index.py",
		"upstream_url", "http://127.0.0.1:5000/", "exec_timeout", "5", "read_timeout", "2m", "port", "8081"))
	if err != nil {
		t.Fatal(err)
	}
	if len(c.process) != 2 || c.upstream != "http://127.0.0.1:5000" || c.port != 8081 {
		t.Errorf("%+v", c)
	}
	if c.execTimeout != 5*time.Second || c.readTimeout != 2*time.Minute {
		t.Errorf("%+v", c)
	}
}

func TestOtherModesAndMissingSettingsAreErrors(t *testing.T) {
	for _, get := range []func(string) string{
		environment("mode", "streaming", "fprocess", "cat"),
		environment("mode", "http", "upstream_url", "http://a"),
		environment("mode", "http", "fprocess", "cat"),
		environment("mode", "http", "fprocess", "cat", "upstream_url", "http://a", "exec_timeout", "x"),
	} {
		if _, err := readConfig(get); err == nil {
			t.Error("taken")
		}
	}
}

func serve(t *testing.T, timeout time.Duration, function http.HandlerFunc) (*httptest.Server, *atomic.Bool) {
	upstream := httptest.NewServer(function)
	t.Cleanup(upstream.Close)
	accepting := &atomic.Bool{}
	accepting.Store(true)
	watchdog := httptest.NewServer(routes(config{upstream: upstream.URL, execTimeout: timeout}, accepting))
	t.Cleanup(watchdog.Close)
	return watchdog, accepting
}

func TestARequestReachesTheFunctionAndItsAnswerTheCaller(t *testing.T) {
	watchdog, _ := serve(t, time.Minute, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("X-Path", r.URL.RequestURI())
		w.WriteHeader(http.StatusTeapot)
		io.WriteString(w, strings.ToUpper(string(body)))
	})
	response, err := http.Post(watchdog.URL+"/a?b=c", "text/plain", strings.NewReader("hi"))
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, _ := io.ReadAll(response.Body)
	if response.StatusCode != http.StatusTeapot || string(body) != "HI" || response.Header.Get("X-Path") != "/a?b=c" {
		t.Errorf("%d %q %v", response.StatusCode, body, response.Header)
	}
	if response.Header.Get("X-Duration-Seconds") == "" {
		t.Error("no duration is told")
	}
}

func TestAFunctionThatTakesTooLongIsTimedOut(t *testing.T) {
	watchdog, _ := serve(t, 20*time.Millisecond, func(w http.ResponseWriter, r *http.Request) {
		<-r.Context().Done()
	})
	response, err := http.Get(watchdog.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusGatewayTimeout {
		t.Errorf("%d", response.StatusCode)
	}
}

func TestProbesTellWhetherRequestsAreTaken(t *testing.T) {
	watchdog, accepting := serve(t, time.Minute, func(http.ResponseWriter, *http.Request) {})
	for _, wanted := range []int{http.StatusOK, http.StatusServiceUnavailable} {
		response, err := http.Get(watchdog.URL + "/_/health")
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode != wanted {
			t.Errorf("%d", response.StatusCode)
		}
		accepting.Store(false)
	}
}
