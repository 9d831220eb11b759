package main

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"

	"github.com/openfaas/faas-provider/types"
)

// secretStore keeps secrets as files, which functions see one by one.
type secretStore struct {
	folder string
}

var secretName = regexp.MustCompile(`^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$`)

func (s secretStore) path(name string) (string, error) {
	if !secretName.MatchString(name) {
		return "", fmt.Errorf("secret name %q is not made of lower-case letters, digits, - and .", name)
	}
	return filepath.Join(s.folder, name), nil
}

func (s secretStore) serve(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodGet {
		s.list(w)
		return
	}
	secret, ok := read[types.Secret](w, r)
	if !ok {
		return
	}
	path, err := s.path(secret.Name)
	if err != nil {
		refuse(w, http.StatusBadRequest, err)
		return
	}
	_, missing := os.Stat(path)
	switch {
	case r.Method == http.MethodPost && missing == nil:
		refuse(w, http.StatusConflict, fmt.Errorf("secret %s exists already", secret.Name))
	case r.Method != http.MethodPost && missing != nil:
		refuse(w, http.StatusNotFound, fmt.Errorf("secret %s does not exist", secret.Name))
	case r.Method == http.MethodDelete:
		finish(w, os.Remove(path))
	case r.Method == http.MethodPost, r.Method == http.MethodPut:
		finish(w, s.write(path, secret))
	default:
		w.WriteHeader(http.StatusMethodNotAllowed)
	}
}

func (s secretStore) list(w http.ResponseWriter) {
	entries, err := os.ReadDir(s.folder)
	if err != nil && !os.IsNotExist(err) {
		refuse(w, http.StatusInternalServerError, err)
		return
	}
	secrets := []types.Secret{}
	for _, entry := range entries {
		secrets = append(secrets, types.Secret{Name: entry.Name()})
	}
	answer(w, secrets)
}

func (s secretStore) write(path string, secret types.Secret) error {
	value := secret.RawValue
	if len(value) == 0 {
		value = []byte(secret.Value)
	}
	if err := os.MkdirAll(s.folder, 0o700); err != nil {
		return err
	}
	// Functions run as users of their own; the folder keeps everybody else out.
	return os.WriteFile(path, value, 0o644)
}

func finish(w http.ResponseWriter, err error) {
	if err != nil {
		refuse(w, http.StatusInternalServerError, err)
		return
	}
	w.WriteHeader(http.StatusAccepted)
}

// binds says in the engine's words that a function sees these secrets.
func (s secretStore) binds(names []string) ([]string, error) {
	binds := []string{}
	for _, name := range names {
		path, err := s.path(name)
		if err != nil {
			return nil, err
		}
		if _, err := os.Stat(path); err != nil {
			return nil, fmt.Errorf("secret %s does not exist", name)
		}
		binds = append(binds, path+":/var/openfaas/secrets/"+name+":ro")
	}
	return binds, nil
}
