package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/openfaas/faas-provider/types"
)

func TestLimitsAreReadInTheUnitsOfKubernetesAndDocker(t *testing.T) {
	for text, wanted := range map[string]int64{"": 0, "64Mi": 64 << 20, "64m": 64 << 20, "1Gi": 1 << 30, "12": 12} {
		if got, err := memory(text); err != nil || got != wanted {
			t.Errorf("memory %q: %d, %v", text, got, err)
		}
	}
	for text, wanted := range map[string]int64{"": 0, "100m": 100_000_000, "0.5": 500_000_000} {
		if got, err := cpus(text); err != nil || got != wanted {
			t.Errorf("cpu %q: %d, %v", text, got, err)
		}
	}
	if _, err := memory("much"); err == nil {
		t.Error("a limit that is no amount was taken")
	}
	if _, err := cpus("-1"); err == nil {
		t.Error("a negative limit was taken")
	}
}

func TestADeploymentBecomesAContainerWithItsLabelsAndSecrets(t *testing.T) {
	store := secretStore{folder: t.TempDir()}
	if err := os.WriteFile(filepath.Join(store.folder, "token"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	f := &functions{secrets: store}
	labels := map[string]string{"a": "b"}
	described, err := f.describeContainer(types.FunctionDeployment{
		Service: "f", Image: "i", EnvProcess: "cat", Labels: &labels, Secrets: []string{"token"},
	})
	if err != nil {
		t.Fatal(err)
	}
	got := described["Labels"].(map[string]string)
	if got["a"] != "b" || got[nameLabel] != "f" || got[deploymentLabel] == "" {
		t.Errorf("labels: %v", got)
	}
	binds := described["HostConfig"].(map[string]any)["Binds"].([]string)
	if len(binds) != 1 || !strings.HasSuffix(binds[0], ":/var/openfaas/secrets/token:ro") {
		t.Errorf("binds: %v", binds)
	}
	if _, err := f.describeContainer(types.FunctionDeployment{Service: "f", Image: "i", Secrets: []string{"none"}}); err == nil {
		t.Error("a secret that does not exist was taken")
	}
	if _, err := f.describeContainer(types.FunctionDeployment{Image: "i"}); err == nil {
		t.Error("a deployment without a name was taken")
	}
}

func TestTheAddressOfAContainerThatEndsIsForgottenAndThatOfOthersIsNot(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "engine")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	told := make(chan struct{})
	go http.Serve(listener, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, `{"Actor":{"Attributes":{"%s":"ended"}}}`, nameLabel)
		w.(http.Flusher).Flush()
		close(told)
		<-ctx.Done()
	}))
	f := newFunctions(newEngine(socket), secretStore{})
	f.ready["ended"], f.ready["other"] = "a:8080", "b:8080"
	go f.followEnds(ctx)
	<-told
	for known := true; known; time.Sleep(time.Millisecond) {
		f.mutex.Lock()
		_, known = f.ready["ended"]
		f.mutex.Unlock()
	}
	f.mutex.Lock()
	defer f.mutex.Unlock()
	if f.ready["other"] != "b:8080" {
		t.Error("the address of another function is forgotten")
	}
}

func TestSecretsAreMadeOnceChangedAndRemoved(t *testing.T) {
	store := secretStore{folder: filepath.Join(t.TempDir(), "secrets")}
	steps := []struct {
		method, body string
		status       int
	}{
		{http.MethodPut, `{"name":"token","value":"a"}`, http.StatusNotFound},
		{http.MethodPost, `{"name":"token","value":"a"}`, http.StatusAccepted},
		{http.MethodPost, `{"name":"token","value":"a"}`, http.StatusConflict},
		{http.MethodPut, `{"name":"token","value":"b"}`, http.StatusAccepted},
		{http.MethodPost, `{"name":"../token","value":"a"}`, http.StatusBadRequest},
		{http.MethodPost, `no JSON`, http.StatusBadRequest},
		{http.MethodDelete, `{"name":"token"}`, http.StatusAccepted},
		{http.MethodDelete, `{"name":"token"}`, http.StatusNotFound},
	}
	for _, step := range steps {
		recorder := httptest.NewRecorder()
		store.serve(recorder, httptest.NewRequest(step.method, "/system/secrets", strings.NewReader(step.body)))
		if recorder.Code != step.status {
			t.Errorf("%s %s: %d", step.method, step.body, recorder.Code)
		}
	}
}

func TestOnlyTheRightPasswordIsValid(t *testing.T) {
	folder := t.TempDir()
	for name, text := range map[string]string{"basic-auth-user": "admin\n", "basic-auth-password": "right"} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for password, status := range map[string]int{"right": 200, "wrong": 401, "": 401} {
		request := httptest.NewRequest(http.MethodGet, "/validate", nil)
		if password != "" {
			request.SetBasicAuth("admin", password)
		}
		recorder := httptest.NewRecorder()
		validate(recorder, request, folder)
		if recorder.Code != status {
			t.Errorf("password %q: %d", password, recorder.Code)
		}
	}
}

func TestTheEnginesFramesAreTakenOff(t *testing.T) {
	stream := bytes.NewReader([]byte("\x01\x00\x00\x00\x00\x00\x00\x03abc\x02\x00\x00\x00\x00\x00\x00\x02de"))
	text, err := io.ReadAll(&frames{stream: stream})
	if err != nil || string(text) != "abcde" {
		t.Errorf("%q, %v", text, err)
	}
}
