// A development provider: OpenFaaS functions as containers of the Docker Engine on this host.
//
// It speaks the official provider API, with the handlers of the official SDK where there are some,
// and is no replacement for faasd: one host, one replica a function, no restarts.
package main

import (
	"context"
	"crypto/subtle"
	"fmt"
	"log"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/gorilla/mux"
	"github.com/openfaas/faas-provider/logs"
	"github.com/openfaas/faas-provider/proxy"
	"github.com/openfaas/faas-provider/types"
)

// callTimeout is the longest time that a function may take to answer.
const callTimeout = 65 * time.Second

func main() {
	if err := run(); err != nil {
		fmt.Fprintf(os.Stderr, "error: %v\n", err)
		os.Exit(1)
	}
}

func run() error {
	engine := newEngine(setting("docker_socket", "/var/run/docker.sock"))
	secrets := secretStore{folder: filepath.Join(setting("state_dir", "/var/lib/rsfaas-provider"), "secrets")}
	functions := newFunctions(engine, secrets)
	go functions.followEnds(context.Background())
	address := "127.0.0.1:" + setting("port", "8081")
	log.Printf("listening on %s", address)
	server := &http.Server{
		Addr:              address,
		Handler:           routes(functions, secrets, setting("secret_mount_path", "/run/secrets")),
		ReadHeaderTimeout: 10 * time.Second,
	}
	return server.ListenAndServe()
}

// routes are those of the provider API, and /validate, where a gateway of the testbed's version asks
// whether a user name and password are right.
func routes(functions *functions, secrets secretStore, credentials string) http.Handler {
	router := mux.NewRouter()
	handle := func(method, path string, handler http.HandlerFunc) {
		router.HandleFunc(path, handler).Methods(method)
	}
	handle(http.MethodGet, "/system/functions", functions.list)
	handle(http.MethodPost, "/system/functions", functions.deploy)
	handle(http.MethodPut, "/system/functions", functions.update)
	handle(http.MethodDelete, "/system/functions", functions.remove)
	handle(http.MethodGet, "/system/function/{name}", functions.describe)
	handle(http.MethodPost, "/system/scale-function/{name}", functions.scale)
	handle(http.MethodGet, "/system/namespaces", func(w http.ResponseWriter, _ *http.Request) { answer(w, []string{}) })
	handle(http.MethodGet, "/system/logs", logs.NewLogHandlerFunc(functions, callTimeout))
	handle(http.MethodGet, "/system/info", info)
	router.HandleFunc("/system/secrets", secrets.serve)
	call := proxy.NewHandlerFunc(types.FaaSConfig{ReadTimeout: callTimeout}, functions)
	for _, path := range []string{"", "/", "/{params:.*}"} {
		router.HandleFunc("/function/{name:[-a-zA-Z_0-9.]+}"+path, call)
	}
	handle(http.MethodGet, "/healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "OK") })
	router.HandleFunc("/validate", func(w http.ResponseWriter, r *http.Request) { validate(w, r, credentials) })
	return router
}

func info(w http.ResponseWriter, _ *http.Request) {
	answer(w, types.ProviderInfo{
		Name:          "rsfaas-development-provider",
		Orchestration: "docker",
		Version:       &types.VersionInfo{Release: "0.1.0", SHA: "none"},
	})
}

// validate answers 200 or 401 by the request's Authorization header.
func validate(w http.ResponseWriter, r *http.Request, folder string) {
	user, password, given := r.BasicAuth()
	wantedUser, err := os.ReadFile(filepath.Join(folder, "basic-auth-user"))
	if err != nil {
		refuse(w, http.StatusInternalServerError, err)
		return
	}
	wantedPassword, err := os.ReadFile(filepath.Join(folder, "basic-auth-password"))
	if err != nil {
		refuse(w, http.StatusInternalServerError, err)
		return
	}
	right := equal(user, wantedUser) & equal(password, wantedPassword)
	if !given || right != 1 {
		w.Header().Set("WWW-Authenticate", `Basic realm="OpenFaaS"`)
		w.WriteHeader(http.StatusUnauthorized)
	}
}

func equal(given string, wanted []byte) int {
	return subtle.ConstantTimeCompare([]byte(given), []byte(strings.TrimSpace(string(wanted))))
}

func setting(name, otherwise string) string {
	if value := os.Getenv(name); value != "" {
		return value
	}
	return otherwise
}
