package main

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/openfaas/faas-provider/types"
)

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
		"NetworkMode":    network,
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
