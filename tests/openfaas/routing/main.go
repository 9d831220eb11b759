// Asks a real gateway where requests lead.
//
// Standard input has one request a line, its bytes in hexadecimal digits; each is sent over a
// connection of its own, so it should ask for its close. Standard output says in a line what came of
// it: the status of the last answer, and the functions that were reached, "-" for none.
//
// The gateway binary (the only argument) runs in a network namespace of its own, since its ports are
// fixed. Behind it is a provider that knows every name and records which one the official SDK has
// read; which spellings of a path lead to a function is decided by these two.
package main

import (
	"bufio"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/gorilla/mux"
	"github.com/openfaas/faas-provider/proxy"
	"github.com/openfaas/faas-provider/types"
)

const (
	gatewayAddress = "127.0.0.1:8080"
	// inside marks the process in the namespace.
	inside = "RSFAAS_ROUTING_INSIDE"
	// patience is for hangs, and for requests that the gateway takes for unfinished ones.
	patience = 2 * time.Second
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: routing GATEWAY-BINARY")
		os.Exit(2)
	}
	run := enter
	if os.Getenv(inside) != "" {
		run = ask
	}
	if err := run(os.Args[1]); err != nil {
		fmt.Fprintf(os.Stderr, "error: %v\n", err)
		os.Exit(1)
	}
}

// enter runs this program again in a network namespace.
func enter(gateway string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	again := exec.Command(self, gateway)
	again.Env = append(os.Environ(), inside+"=1")
	again.Stdin, again.Stdout, again.Stderr = os.Stdin, os.Stdout, os.Stderr
	again.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	return again.Run()
}

func ask(binary string) error {
	if err := raiseLoopback(); err != nil {
		return fmt.Errorf("loopback: %w", err)
	}
	seen := &record{}
	provider, err := serve(providerRoutes(seen))
	if err != nil {
		return err
	}
	stop, err := startGateway(binary, provider)
	if err != nil {
		return err
	}
	defer stop()
	out := bufio.NewWriter(os.Stdout)
	defer out.Flush()
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<22)
	for lines.Scan() {
		request, err := hex.DecodeString(lines.Text())
		if err != nil {
			return err
		}
		status, err := send(request)
		if err != nil {
			return err
		}
		fmt.Fprintln(out, status, seen.take())
	}
	return lines.Err()
}

// raiseLoopback brings up the only interface of a new namespace.
func raiseLoopback() error {
	socket, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_DGRAM, 0)
	if err != nil {
		return err
	}
	defer syscall.Close(socket)
	return setFlags(socket, "lo", syscall.IFF_UP|syscall.IFF_RUNNING)
}

// serve answers on a free port.
func serve(handler http.Handler) (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	go func() { panic(http.Serve(listener, handler)) }()
	return listener.Addr().String(), nil
}

// startGateway starts it without scaling from zero, for which some spellings of a path are no function:
// more of them get through.
func startGateway(binary, provider string) (func(), error) {
	gateway := exec.Command(binary)
	gateway.Env = []string{
		"functions_provider_url=http://" + provider + "/", "direct_functions=false", "scale_from_zero=false",
		"basic_auth=false", "read_timeout=65s", "write_timeout=65s", "upstream_timeout=65s",
	}
	gateway.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := gateway.Start(); err != nil {
		return nil, err
	}
	stop := func() {
		gateway.Process.Kill()
		gateway.Wait()
	}
	for start := time.Now(); time.Since(start) < 30*time.Second; time.Sleep(20 * time.Millisecond) {
		if connection, err := net.Dial("tcp", gatewayAddress); err == nil {
			connection.Close()
			return stop, nil
		}
	}
	stop()
	return nil, errors.New("the gateway does not listen")
}

// send sends a request's bytes and reads all that is answered; the status of the last answer.
func send(request []byte) (string, error) {
	connection, err := net.Dial("tcp", gatewayAddress)
	if err != nil {
		return "", err
	}
	defer connection.Close()
	if _, err := connection.Write(request); err != nil {
		return "", err
	}
	connection.SetReadDeadline(time.Now().Add(patience))
	answers := bufio.NewReader(connection)
	status := "000"
	for {
		answer, err := http.ReadResponse(answers, nil)
		if err != nil {
			// The connection is closed, or stays open for the rest of the request.
			return status, nil
		}
		status = fmt.Sprint(answer.StatusCode)
		io.Copy(io.Discard, answer.Body)
	}
}

// record holds the functions that were reached since it was last asked.
type record struct {
	mutex    sync.Mutex
	names    []string
	function url.URL
}

// Resolve is asked by the SDK where a function is.
func (r *record) Resolve(name string) (url.URL, error) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	r.names = append(r.names, name)
	return r.function, nil
}

func (r *record) take() string {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	names := strings.Join(r.names, ",")
	r.names = nil
	if names == "" {
		return "-"
	}
	return names
}

// providerRoutes are those of the SDK's own router (faas-provider, serve.go).
func providerRoutes(seen *record) http.Handler {
	function, err := serve(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	if err != nil {
		panic(err)
	}
	seen.function = url.URL{Scheme: "http", Host: function}
	router := mux.NewRouter()
	router.HandleFunc("/system/functions", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "[]") })
	router.HandleFunc("/system/function/{name:[-a-zA-Z_0-9.]+}", func(w http.ResponseWriter, r *http.Request) {
		json.NewEncoder(w).Encode(types.FunctionStatus{Name: mux.Vars(r)["name"], Replicas: 1, AvailableReplicas: 1})
	})
	call := proxy.NewHandlerFunc(types.FaaSConfig{ReadTimeout: time.Minute}, seen)
	for _, path := range []string{"", "/", "/{params:.*}"} {
		router.HandleFunc("/function/{name:[-a-zA-Z_0-9.]+}"+path, call)
	}
	return router
}
