package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/mux"
	"github.com/openfaas/faas-provider/types"
)

const (
	// nameLabel is the label by which OpenFaaS providers know a function's containers.
	nameLabel = "com.openfaas.function"
	// deploymentLabel holds the deployment as it was asked for.
	deploymentLabel = "com.rsfaas.testbed.deployment"
	// stopSeconds is how long a container may take to end by itself.
	stopSeconds = "2"
	// readyTimeout is how long a call waits for a function that has just been started.
	readyTimeout = 20 * time.Second
)

// functions are containers with our label on the engine; nothing is remembered but what answers.
type functions struct {
	engine  *engine
	secrets secretStore
	network string

	mutex sync.Mutex
	// ready holds the addresses that answered, by function.
	ready map[string]string
}

func newFunctions(engine *engine, secrets secretStore, network string) (*functions, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if err := engine.ensureNetwork(ctx, network); err != nil {
		return nil, fmt.Errorf("network %s: %w", network, err)
	}
	return &functions{engine: engine, secrets: secrets, network: network, ready: map[string]string{}}, nil
}

func (f *functions) deploy(w http.ResponseWriter, r *http.Request) {
	deployment, ok := read[types.FunctionDeployment](w, r)
	if !ok {
		return
	}
	if existing, err := f.find(r.Context(), deployment.Service); err != nil {
		refuse(w, http.StatusInternalServerError, err)
		return
	} else if existing != nil {
		refuse(w, http.StatusConflict, fmt.Errorf("function %s is deployed already", deployment.Service))
		return
	}
	f.start(w, r, deployment, nil)
}

func (f *functions) update(w http.ResponseWriter, r *http.Request) {
	deployment, ok := read[types.FunctionDeployment](w, r)
	if !ok {
		return
	}
	existing, err := f.find(r.Context(), deployment.Service)
	if err != nil {
		refuse(w, http.StatusInternalServerError, err)
		return
	}
	if existing == nil {
		refuse(w, http.StatusNotFound, fmt.Errorf("function %s is not deployed", deployment.Service))
		return
	}
	f.start(w, r, deployment, existing)
}

// start pulls the image and puts a new container in the place of an old one.
func (f *functions) start(w http.ResponseWriter, r *http.Request, deployment types.FunctionDeployment, old *container) {
	wanted, err := f.describeContainer(deployment)
	if err != nil {
		refuse(w, http.StatusBadRequest, err)
		return
	}
	if err := f.engine.pull(r.Context(), deployment.Image); err != nil {
		refuse(w, http.StatusBadRequest, err)
		return
	}
	if old != nil {
		if err := f.delete(r.Context(), deployment.Service, old.ID); err != nil {
			refuse(w, http.StatusInternalServerError, err)
			return
		}
	}
	var created struct{ ID string }
	query := url.Values{"name": {"openfaas-fn-" + deployment.Service}}
	err = f.engine.call(r.Context(), http.MethodPost, "/containers/create", query, wanted, &created)
	if err != nil {
		refuse(w, http.StatusInternalServerError, err)
		return
	}
	path := "/containers/" + created.ID + "/start"
	if err := f.engine.call(r.Context(), http.MethodPost, path, nil, nil, nil); err != nil {
		refuse(w, http.StatusInternalServerError, err)
		return
	}
	log.Printf("%s is started from %s", deployment.Service, deployment.Image)
	// So that the first call need not look the address up.
	go func() {
		if _, err := f.Resolve(deployment.Service); err != nil {
			log.Print(err)
		}
	}()
	w.WriteHeader(http.StatusAccepted)
}

// describeContainer says in the engine's words what a deployment asks for.
func (f *functions) describeContainer(deployment types.FunctionDeployment) (map[string]any, error) {
	if deployment.Service == "" || deployment.Image == "" {
		return nil, fmt.Errorf("a deployment needs a service and an image")
	}
	environment := []string{}
	for name, value := range deployment.EnvVars {
		environment = append(environment, name+"="+value)
	}
	if deployment.EnvProcess != "" {
		environment = append(environment, "fprocess="+deployment.EnvProcess)
	}
	binds, err := f.secrets.binds(deployment.Secrets)
	if err != nil {
		return nil, err
	}
	asked, err := json.Marshal(deployment)
	if err != nil {
		return nil, err
	}
	labels := map[string]string{}
	if deployment.Labels != nil {
		for name, value := range *deployment.Labels {
			labels[name] = value
		}
	}
	labels[nameLabel] = deployment.Service
	labels[deploymentLabel] = string(asked)
	host := map[string]any{
		"NetworkMode":    f.network,
		"Binds":          binds,
		"ReadonlyRootfs": deployment.ReadOnlyRootFilesystem,
		"LogConfig":      map[string]any{"Type": "json-file", "Config": map[string]string{"max-size": "1m"}},
	}
	if deployment.ReadOnlyRootFilesystem {
		host["Tmpfs"] = map[string]string{"/tmp": ""}
	}
	if deployment.Limits != nil {
		if host["Memory"], err = memory(deployment.Limits.Memory); err != nil {
			return nil, err
		}
		if host["NanoCpus"], err = cpus(deployment.Limits.CPU); err != nil {
			return nil, err
		}
	}
	return map[string]any{
		"Image":      deployment.Image,
		"Env":        environment,
		"Labels":     labels,
		"HostConfig": host,
	}, nil
}

// memory reads "64Mi", "64m" or bytes.
func memory(text string) (int64, error) {
	units := []struct {
		suffix string
		bytes  int64
	}{{"Gi", 1 << 30}, {"Mi", 1 << 20}, {"Ki", 1 << 10}, {"g", 1 << 30}, {"m", 1 << 20}, {"k", 1 << 10}, {"", 1}}
	if text == "" {
		return 0, nil
	}
	for _, unit := range units {
		if number, found := strings.CutSuffix(text, unit.suffix); found {
			count, err := strconv.ParseInt(number, 10, 64)
			if err != nil || count < 0 {
				return 0, fmt.Errorf("memory limit %q is no amount", text)
			}
			return count * unit.bytes, nil
		}
	}
	return 0, fmt.Errorf("memory limit %q is no amount", text)
}

// cpus reads "100m" or "0.1", in billionths of a CPU.
func cpus(text string) (int64, error) {
	if text == "" {
		return 0, nil
	}
	number, milli := strings.CutSuffix(text, "m")
	count, err := strconv.ParseFloat(number, 64)
	if err != nil || count < 0 {
		return 0, fmt.Errorf("CPU limit %q is no amount", text)
	}
	if milli {
		count /= 1000
	}
	return int64(count * 1e9), nil
}

func (f *functions) remove(w http.ResponseWriter, r *http.Request) {
	request, ok := read[types.DeleteFunctionRequest](w, r)
	if !ok {
		return
	}
	existing := f.mustFind(w, r, request.FunctionName)
	if existing == nil {
		return
	}
	if err := f.delete(r.Context(), request.FunctionName, existing.ID); err != nil {
		refuse(w, http.StatusInternalServerError, err)
		return
	}
	log.Printf("%s is removed", request.FunctionName)
	w.WriteHeader(http.StatusAccepted)
}

func (f *functions) delete(ctx context.Context, name, id string) error {
	f.forget(name)
	if err := f.stop(ctx, id); err != nil && !isMissing(err) {
		return err
	}
	err := f.engine.call(ctx, http.MethodDelete, "/containers/"+id, url.Values{"force": {"true"}}, nil, nil)
	if isMissing(err) {
		return nil
	}
	return err
}

func (f *functions) stop(ctx context.Context, id string) error {
	return f.engine.call(ctx, http.MethodPost, "/containers/"+id+"/stop", url.Values{"t": {stopSeconds}}, nil, nil)
}

func (f *functions) list(w http.ResponseWriter, r *http.Request) {
	containers, err := f.engine.containers(r.Context(), deploymentLabel)
	if err != nil {
		refuse(w, http.StatusInternalServerError, err)
		return
	}
	statuses := []types.FunctionStatus{}
	for _, found := range containers {
		statuses = append(statuses, f.status(found))
	}
	answer(w, statuses)
}

func (f *functions) describe(w http.ResponseWriter, r *http.Request) {
	if existing := f.mustFind(w, r, mux.Vars(r)["name"]); existing != nil {
		answer(w, f.status(*existing))
	}
}

func (f *functions) status(found container) types.FunctionStatus {
	var status types.FunctionStatus
	// What it was deployed with has the fields of a status; the label was written by us.
	if err := json.Unmarshal([]byte(found.Labels[deploymentLabel]), &status); err != nil {
		log.Printf("label %s of %s: %v", deploymentLabel, found.ID, err)
	}
	status.Name = found.Labels[nameLabel]
	status.CreatedAt = time.Unix(found.Created, 0)
	if found.State == "running" {
		status.Replicas = 1
		if f.answers(status.Name, f.address(found)) {
			status.AvailableReplicas = 1
		}
	}
	return status
}

func (f *functions) scale(w http.ResponseWriter, r *http.Request) {
	request, ok := read[types.ScaleServiceRequest](w, r)
	if !ok {
		return
	}
	name := mux.Vars(r)["name"]
	existing := f.mustFind(w, r, name)
	if existing == nil {
		return
	}
	var err error
	if request.Replicas == 0 {
		f.forget(name)
		err = f.stop(r.Context(), existing.ID)
	} else {
		// More than one replica is not for a development host.
		err = f.engine.call(r.Context(), http.MethodPost, "/containers/"+existing.ID+"/start", nil, nil, nil)
	}
	if err != nil {
		refuse(w, http.StatusInternalServerError, err)
		return
	}
	w.WriteHeader(http.StatusAccepted)
}

// Resolve gives a function's address once it answers there.
func (f *functions) Resolve(name string) (url.URL, error) {
	name, _, _ = strings.Cut(name, ".")
	f.mutex.Lock()
	address, known := f.ready[name]
	f.mutex.Unlock()
	if known {
		return url.URL{Scheme: "http", Host: address}, nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), readyTimeout)
	defer cancel()
	existing, err := f.find(ctx, name)
	if err != nil {
		return url.URL{}, err
	}
	if existing == nil || existing.State != "running" {
		return url.URL{}, fmt.Errorf("function %s does not run", name)
	}
	address = f.address(*existing)
	for !f.answers(name, address) {
		select {
		case <-ctx.Done():
			return url.URL{}, fmt.Errorf("function %s does not listen on %s", name, address)
		case <-time.After(5 * time.Millisecond):
		}
	}
	return url.URL{Scheme: "http", Host: address}, nil
}

func (f *functions) address(found container) string {
	return net.JoinHostPort(found.NetworkSettings.Networks[f.network].IPAddress, "8080")
}

// answers tells whether something listens at a function's address, and remembers it.
func (f *functions) answers(name, address string) bool {
	connection, err := net.DialTimeout("tcp", address, time.Second)
	if err != nil {
		return false
	}
	connection.Close()
	f.mutex.Lock()
	f.ready[name] = address
	f.mutex.Unlock()
	return true
}

func (f *functions) forget(name string) {
	f.mutex.Lock()
	delete(f.ready, name)
	f.mutex.Unlock()
}

// find gives a function's container, or nil.
func (f *functions) find(ctx context.Context, name string) (*container, error) {
	containers, err := f.engine.containers(ctx, nameLabel+"="+name)
	if err != nil {
		return nil, err
	}
	for _, found := range containers {
		if found.Labels[deploymentLabel] != "" {
			return &found, nil
		}
	}
	return nil, nil
}

// mustFind gives a function's container; where there is none, the request has been answered.
func (f *functions) mustFind(w http.ResponseWriter, r *http.Request, name string) *container {
	found, err := f.find(r.Context(), name)
	if err != nil {
		refuse(w, http.StatusInternalServerError, err)
	} else if found == nil {
		refuse(w, http.StatusNotFound, fmt.Errorf("function %s is not deployed", name))
	}
	return found
}

// read reads a request's JSON body; where it is none, the request has been answered.
func read[T any](w http.ResponseWriter, r *http.Request) (T, bool) {
	var value T
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<20)).Decode(&value); err != nil {
		refuse(w, http.StatusBadRequest, fmt.Errorf("the body is not what is expected: %w", err))
		return value, false
	}
	return value, true
}

func answer(w http.ResponseWriter, value any) {
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(value); err != nil {
		log.Printf("answering: %v", err)
	}
}

func refuse(w http.ResponseWriter, status int, err error) {
	log.Printf("%d: %v", status, err)
	http.Error(w, err.Error(), status)
}
