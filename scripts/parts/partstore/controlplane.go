package partstore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// A Kubernetes cluster without machines.
const (
	// ControlPlane is a directory with etcd, kube-apiserver, kube-controller-manager,
	// kube-scheduler and kubectl.
	ControlPlane = "control-plane"
	// Kwok is a directory with the program kwok, which plays the nodes of a cluster, and a
	// directory stages: what it lets nodes and pods go through, as it publishes it itself.
	Kwok = "kwok"
)

const (
	kubernetesVersion = "1.36.3"
	kwokModule        = "sigs.k8s.io/kwok"
	kwokVersion       = "v0.8.0"

	// controlPlaneProgress is how often a build of a quarter of an hour says how far it is.
	controlPlaneProgress = 20 * time.Second
)

func clusterParts() []part {
	return []part{
		{
			name: ControlPlane, version: kubernetesVersion, entry: "bin", tools: []tool{golang},
			about: "etcd and Kubernetes " + kubernetesVersion + ", built from Go modules (a quarter of an hour on two cores, 550 MB)", fetch: fetchControlPlane,
		},
		{
			name: Kwok, version: kwokVersion, entry: ".", tools: []tool{golang},
			about: "kwok " + kwokVersion + ", built from Go modules (some minutes)", fetch: fetchKwok,
		},
	}
}

// fetchControlPlane builds the programs of scripts/controlplane, telling how far it is.
func fetchControlPlane(ctx context.Context, j job) error {
	dir, err := moduleDir(ctx, "scripts/controlplane")
	if err != nil {
		return err
	}
	programs := []goProgram{
		{name: "etcd", path: "go.etcd.io/etcd/server/v3"},
		{name: "kube-apiserver", path: "k8s.io/kubernetes/cmd/kube-apiserver"},
		{name: "kube-controller-manager", path: "k8s.io/kubernetes/cmd/kube-controller-manager"},
		{name: "kube-scheduler", path: "k8s.io/kubernetes/cmd/kube-scheduler"},
		{name: "kubectl", path: "k8s.io/kubernetes/cmd/kubectl"},
	}
	started, told := time.Now(), time.Time{}
	for i, program := range programs {
		// Without a version of its own the API server calls itself 0.0.0, and the chart's
		// kubeVersion refuses it.
		program.ldflags = "-X k8s.io/component-base/version.gitVersion=v" + kubernetesVersion +
			" -X k8s.io/component-base/version.gitMajor=1 -X k8s.io/component-base/version.gitMinor=36"
		tell := func() {
			if time.Since(told) < controlPlaneProgress {
				return
			}
			told = time.Now()
			j.say("building %s, %d of %d, after %v", program.name, i+1, len(programs), time.Since(started).Round(time.Second))
		}
		told = time.Time{} // a new program is always told
		tell()
		if err := program.build(ctx, dir, j.content, tell); err != nil {
			return err
		}
	}
	return nil
}

// fetchKwok builds kwok and lays its stages beside it, one that keeps nodes alive by
// leases among them.
func fetchKwok(ctx context.Context, j job) error {
	if err := fetchInstall(kwokModule+"/cmd/kwok@"+kwokVersion)(ctx, j); err != nil {
		return err
	}
	download := exec.CommandContext(ctx, "go", "mod", "download", "-json", kwokModule+"@"+kwokVersion)
	download.Dir = j.work // within no module of ours
	output, err := download.Output()
	var module struct{ Dir, Error string }
	if jsonErr := json.Unmarshal(output, &module); jsonErr != nil || module.Dir == "" {
		return fmt.Errorf("download %s: %w: %s", kwokModule, errors.Join(err, jsonErr), module.Error)
	}
	stages := filepath.Join(j.content, "stages")
	if err := os.Mkdir(stages, 0o755); err != nil {
		return fmt.Errorf("make a directory of stages: %w", err)
	}
	for _, stage := range []string{
		"node/fast/node-initialize.yaml", "node/heartbeat-with-lease/node-heartbeat-with-lease.yaml",
		"pod/fast/pod-ready.yaml", "pod/fast/pod-complete.yaml", "pod/fast/pod-delete.yaml",
	} {
		content, err := os.ReadFile(filepath.Join(module.Dir, "kustomize", "stage", filepath.FromSlash(stage)))
		if err != nil {
			return fmt.Errorf("read a stage of kwok: %w", err)
		}
		if err := os.WriteFile(filepath.Join(stages, filepath.Base(stage)), content, 0o644); err != nil {
			return fmt.Errorf("keep a stage of kwok: %w", err)
		}
	}
	return nil
}
