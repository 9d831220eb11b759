package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"net/http"
	"net/url"
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
	// network is the engine's default one: for others it starts a name server with each container.
	network = "bridge"
	// stopSeconds is how long a container may take to end by itself.
	stopSeconds = "2"
)

// functions are containers with our label on the engine; nothing is remembered but what answers.
type functions struct {
	engine  *engine
	secrets secretStore

	mutex sync.Mutex
	// ready holds the addresses that answered, by function.
	ready map[string]string
}

func newFunctions(engine *engine, secrets secretStore) *functions {
	return &functions{engine: engine, secrets: secrets, ready: map[string]string{}}
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
		refuse(w, http.StatusInternalServerError, errors.Join(err, f.discard(created.ID)))
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
	// A call that was waiting for it may have remembered its address meanwhile.
	defer f.forget(name)
	if err := f.stop(ctx, id); err != nil && !isMissing(err) {
		return err
	}
	return f.removeContainer(ctx, id)
}

func (f *functions) removeContainer(ctx context.Context, id string) error {
	err := f.engine.call(ctx, http.MethodDelete, "/containers/"+id, url.Values{"force": {"true"}, "v": {"true"}}, nil, nil)
	if isMissing(err) {
		return nil
	}
	return err
}

// discard removes a container that could not be started, also where the caller has gone.
func (f *functions) discard(id string) error {
	ctx, cancel := context.WithTimeout(context.Background(), readyTimeout)
	defer cancel()
	return f.removeContainer(ctx, id)
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
	// Available is what runs, as faasd has it: calls wait for one that does not listen yet, and fail
	// after a while, where the gateway would wait longer than its own caller's connection lasts.
	if found.State == "running" {
		status.Replicas, status.AvailableReplicas = 1, 1
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
		err = f.wake(r.Context(), *existing)
	}
	if err != nil {
		refuse(w, http.StatusInternalServerError, err)
		return
	}
	w.WriteHeader(http.StatusAccepted)
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
