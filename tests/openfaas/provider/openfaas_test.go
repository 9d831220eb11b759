package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/openfaas/faas-provider/types"
)

// openfaas is a real gateway with this provider behind it, and the real faas-cli.
type openfaas struct {
	gateway, prefix, cli, credentials string
}

// lent gives the OpenFaaS that `cargo xtask test e2e` lends. A part of it is an error, so that what
// xtask runs cannot be skipped by a setting that has got lost.
func lent(t *testing.T) openfaas {
	t.Helper()
	values := map[string]string{}
	missing := []string{}
	names := []string{"OPENFAAS_URL", "RSFAAS_REGISTRY_PREFIX", "RSFAAS_FAAS_CLI", "RSFAAS_CREDENTIALS"}
	for _, name := range names {
		if values[name] = os.Getenv(name); values[name] == "" {
			missing = append(missing, name)
		}
	}
	switch len(missing) {
	case 0:
	case len(names):
		t.Skip("no OpenFaaS is lent; `cargo xtask test e2e` does")
	default:
		t.Fatalf("not set: %v", missing)
	}
	t.Parallel()
	return openfaas{values[names[0]], values[names[1]], values[names[2]], values[names[3]]}
}

// image builds the test function once, and gives the image's name.
var image = sync.OnceValues(func() (string, error) {
	folder, err := os.MkdirTemp("", "provider-test")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(folder)
	build := exec.Command("go", "build", "-o", filepath.Join(folder, "function"), "./testdata/function")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%v: %s", err, out)
	}
	name := os.Getenv("RSFAAS_REGISTRY_PREFIX") + "/provider-test:1"
	return name, buildImage(folder, name, "FROM scratch\nCOPY function /function\nENTRYPOINT [\"/function\"]\n")
})

func buildImage(folder, name, dockerfile string) error {
	if err := os.WriteFile(filepath.Join(folder, "Dockerfile"), []byte(dockerfile), 0o600); err != nil {
		return err
	}
	push := []string{"docker", "push", "--quiet", name}
	// Whoever has the registry's garbage collected waits meanwhile.
	if purge := os.Getenv("RSFAAS_PURGE_COMMAND"); purge != "" {
		push = append([]string{"flock", "--shared", purge}, push...)
	}
	for _, command := range [][]string{{"docker", "build", "--quiet", "--tag", name, folder}, push} {
		if out, err := exec.Command(command[0], command[1:]...).CombinedOutput(); err != nil {
			return fmt.Errorf("%v: %v: %s", command, err, out)
		}
	}
	return nil
}

// run calls faas-cli, which tells errors in what it writes too.
func (o openfaas) run(arguments ...string) (string, error) {
	out, err := exec.Command(o.cli, append(arguments, "--gateway", o.gateway)...).CombinedOutput()
	return string(out), err
}

func (o openfaas) must(t *testing.T, arguments ...string) string {
	t.Helper()
	out, err := o.run(arguments...)
	if err != nil {
		t.Fatalf("faas-cli %v: %v\n%s", arguments, err, out)
	}
	return out
}

// deploy deploys the test function, which goes when the test ends.
func (o openfaas) deploy(t *testing.T, name string, settings ...string) {
	t.Helper()
	image, err := image()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if o.isListed(t, name) {
			o.must(t, "remove", name)
		}
	})
	o.must(t, append([]string{"deploy", "--name", name, "--image", image}, settings...)...)
}

func (o openfaas) isListed(t *testing.T, name string) bool {
	t.Helper()
	for _, line := range strings.Split(o.must(t, "list"), "\n") {
		if words := strings.Fields(line); len(words) > 0 && words[0] == name {
			return true
		}
	}
	return false
}

// ask calls a function through the gateway.
func (o openfaas) ask(name, body string) (int, string, error) {
	response, err := http.Post(o.gateway+"/function/"+name, "text/plain", strings.NewReader(body))
	if err != nil {
		return 0, "", err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	return response.StatusCode, string(text), err
}

func (o openfaas) call(t *testing.T, name, body string) (int, string) {
	t.Helper()
	status, text, err := o.ask(name, body)
	if err != nil {
		t.Fatal(err)
	}
	return status, text
}

func (o openfaas) wantAnswer(t *testing.T, name, wanted string) {
	t.Helper()
	if status, text := o.call(t, name, ""); status != http.StatusOK || !strings.Contains(text, wanted) {
		t.Fatalf("%s: %d %q, not %q", name, status, text, wanted)
	}
}

// system sends a request to the gateway's own API, where faas-cli has no command.
func (o openfaas) system(t *testing.T, method, path, body string) []byte {
	t.Helper()
	request, err := http.NewRequest(method, o.gateway+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	credential := func(name string) string {
		text, err := os.ReadFile(filepath.Join(o.credentials, name))
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(string(text))
	}
	request.SetBasicAuth(credential("basic-auth-user"), credential("basic-auth-password"))
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode >= 300 {
		t.Fatalf("%s %s: %d %s, %v", method, path, response.StatusCode, text, err)
	}
	return text
}

func (o openfaas) replicas(t *testing.T, name string) uint64 {
	t.Helper()
	var status types.FunctionStatus
	if err := json.Unmarshal(o.system(t, http.MethodGet, "/system/function/"+name, ""), &status); err != nil {
		t.Fatal(err)
	}
	return status.Replicas
}

func TestAFunctionIsDeployedListedDescribedCalledUpdatedAndRemoved(t *testing.T) {
	o := lent(t)
	const name = "provider-test-life"
	o.deploy(t, name, "--env", "greeting=one", "--label", "kind=test", "--annotation", "topic=life")
	o.wantAnswer(t, name, "greeting=one")
	if !o.isListed(t, name) {
		t.Error("it is not listed")
	}
	described := o.must(t, "describe", name)
	for _, wanted := range []string{name, "Ready", "/provider-test:1", "kind : test", "topic : life"} {
		if !strings.Contains(described, wanted) {
			t.Errorf("%q is not in the description:\n%s", wanted, described)
		}
	}
	o.deploy(t, name, "--env", "greeting=two")
	o.wantAnswer(t, name, "greeting=two")
	o.must(t, "remove", name)
	if o.isListed(t, name) {
		t.Error("it is still listed")
	}
	if status, text := o.call(t, name, ""); status != http.StatusNotFound {
		t.Errorf("a function that was removed answers %d %q", status, text)
	}
	if out, err := o.run("remove", name); err == nil || !strings.Contains(out, name) {
		t.Errorf("removed twice: %v %s", err, out)
	}
}

func TestACallBringsAFunctionBackThatWasScaledToZero(t *testing.T) {
	o := lent(t)
	const name = "provider-test-zero"
	o.deploy(t, name, "--env", "greeting=back")
	o.wantAnswer(t, name, "greeting=back")
	o.system(t, http.MethodPost, "/system/scale-function/"+name, `{"serviceName":"`+name+`","replicas":0}`)
	if got := o.replicas(t, name); got != 0 {
		t.Fatalf("%d replicas after scaling to 0", got)
	}
	// The gateway remembers for a quarter of a second that a function was there.
	time.Sleep(300 * time.Millisecond)
	o.wantAnswer(t, name, "greeting=back")
	if got := o.replicas(t, name); got != 1 {
		t.Errorf("%d replicas after a call", got)
	}
}

func TestTheLogsHoldWhatAFunctionHasWritten(t *testing.T) {
	o := lent(t)
	const name = "provider-test-logs"
	o.deploy(t, name)
	for _, word := range []string{"night", "day"} {
		if status, text := o.call(t, name, word); status != http.StatusOK {
			t.Fatalf("%d %s", status, text)
		}
	}
	// The engine takes what a function writes out of a pipe, in its own time.
	all, until := "", time.Now().Add(20*time.Second)
	for !strings.Contains(all, "called with night") || !strings.Contains(all, "called with day") {
		if time.Now().After(until) {
			t.Fatalf("all: %q", all)
		}
		time.Sleep(50 * time.Millisecond)
		all = o.must(t, "logs", name, "--tail=false")
	}
	last := o.must(t, "logs", name, "--tail=false", "--lines", "1")
	if strings.Contains(last, "night") || !strings.Contains(last, "called with day") {
		t.Errorf("the last line: %q", last)
	}
}

func TestASecretReachesTheFunctionsThatAskForIt(t *testing.T) {
	o := lent(t)
	const secret, asks, other = "provider-test-secret", "provider-test-asks", "provider-test-asks-not"
	o.must(t, "secret", "create", secret, "--from-literal", "first")
	t.Cleanup(func() { o.must(t, "secret", "remove", secret) })
	if list := o.must(t, "secret", "list"); !strings.Contains(list, secret) {
		t.Errorf("it is not listed: %s", list)
	}
	o.deploy(t, asks, "--secret", secret, "--env", "secret="+secret)
	o.deploy(t, other, "--env", "secret="+secret)
	o.wantAnswer(t, asks, "secret=first ")
	o.wantAnswer(t, other, "secret= ")
	o.must(t, "secret", "update", secret, "--from-literal", "second")
	o.wantAnswer(t, asks, "secret=second ")
}

// wantNothing checks that a deployment failed, said why, and left no function and no container.
func (o openfaas) wantNothing(t *testing.T, name, image, why string) {
	t.Helper()
	out, err := o.run("deploy", "--name", name, "--image", image)
	if err == nil || !strings.Contains(out, why) {
		t.Errorf("%q is not told: %v\n%s", why, err, out)
	}
	if o.isListed(t, name) {
		t.Error("it is listed")
	}
	left, err := exec.Command("docker", "ps", "--all", "--quiet", "--filter", "label="+nameLabel+"="+name).Output()
	if err != nil || len(left) != 0 {
		t.Errorf("left: %s, %v", left, err)
	}
}

func TestAnImageThatDoesNotExistIsAnErrorAndLeavesWhatWasThere(t *testing.T) {
	o := lent(t)
	none := o.prefix + "/provider-test-none:1"
	o.wantNothing(t, "provider-test-none", none, "provider-test-none:1")
	const name = "provider-test-kept"
	o.deploy(t, name, "--env", "greeting=kept")
	if out, err := o.run("deploy", "--name", name, "--image", none); err == nil {
		t.Errorf("updated: %s", out)
	}
	o.wantAnswer(t, name, "greeting=kept")
}

func TestAnImageWhoseProgramIsMissingIsAnErrorAndLeavesNothing(t *testing.T) {
	o := lent(t)
	base, err := image()
	if err != nil {
		t.Fatal(err)
	}
	broken := o.prefix + "/provider-test-broken:1"
	if err := buildImage(t.TempDir(), broken, "FROM "+base+"\nENTRYPOINT [\"/missing\"]\n"); err != nil {
		t.Fatal(err)
	}
	o.wantNothing(t, "provider-test-broken", broken, "/missing")
}

func TestAFunctionThatNeverListensIsAnErrorAndDisturbsNoOther(t *testing.T) {
	o := lent(t)
	const deaf, other = "provider-test-deaf", "provider-test-other"
	o.deploy(t, other, "--env", "greeting=here")
	o.deploy(t, deaf, "--env", "fail=deaf")
	ended := make(chan string)
	go func() {
		status, text, err := o.ask(deaf, "")
		ended <- fmt.Sprintf("%d %s %v", status, text, err)
	}()
	for {
		select {
		case got := <-ended:
			if !strings.HasPrefix(got, "503 ") || !strings.Contains(got, deaf) {
				t.Errorf("the caller is told %q", got)
			}
			return
		case <-time.After(time.Second):
			o.wantAnswer(t, other, "greeting=here")
		}
	}
}

func TestAFunctionThatEndsAtOnceIsAnError(t *testing.T) {
	o := lent(t)
	const name = "provider-test-ends"
	o.deploy(t, name, "--env", "fail=end")
	if status, text := o.call(t, name, ""); status < 500 || !strings.Contains(text, name) {
		t.Errorf("the caller is told %d %q", status, text)
	}
	if logs := o.must(t, "logs", name, "--tail=false"); !strings.Contains(logs, "ending as asked") {
		t.Errorf("its last words: %q", logs)
	}
}
