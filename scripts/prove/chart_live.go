package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"rollcall/scripts/testbed"
)

const (
	// liveLimit bounds each wait for the cluster: helm's own and ours.
	liveLimit = 3 * time.Minute
	liveNodes = 3
	// liveVolumes are more than there are claims.
	liveVolumes = 24
	// liveRelease is the name of every release: that of docs/kubernetes.md.
	liveRelease = "rollcall"
)

// liveChart is the chart in a cluster.
type liveChart struct {
	*chart
	cluster *testbed.Kubernetes
	counts  liveCounts
}

// liveCounts are what the figure says.
type liveCounts struct {
	steps, commands, hooks, jobs, claims int
}

// proveChartLive installs the chart in a real control plane, in namespaces that enforce
// PodSecurity restricted, with the least values and with everything on; and lets it go
// through what a release goes through: once by the commands of docs/operations.md, which
// drain a node, too, and twice by its own. Every answer of the API is looked at.
func proveChartLive(ctx context.Context, env *Environment) (string, bool, error) {
	c, err := openChart(ctx, env)
	if err != nil {
		return "", false, err
	}
	cluster, err := env.Kubernetes(ctx, "kubernetes")
	if err != nil {
		return "", false, err
	}
	l := &liveChart{chart: c, cluster: cluster}
	if err := l.prepare(ctx); err != nil {
		return "", false, fmt.Errorf("prepare the cluster: %w", err)
	}
	if err := l.live(ctx); err != nil {
		return "", false, err
	}
	matrix := 0
	if env.Size == Full {
		if matrix, err = l.askForAll(ctx); err != nil {
			return "", false, err
		}
	}
	seen, err := l.judgeAnswers(false)
	if err != nil {
		return "", false, err
	}
	control, err := l.violate(ctx)
	if err != nil {
		return "", false, fmt.Errorf("control: %w", err)
	}
	figure := fmt.Sprintf("%d steps of %s run as they stand there; %d commands of helm with 2 files of values succeeded, %d hooks and %d jobs of CronJobs ended, %d pods evicted, %d evictions refused by a budget, one pod of each service there all the while, "+
		"nothing left but %d claims of keys; %d answers of the API to helm and kubectl: %d warnings; %d violations of PodSecurity; of %d pods %d without what they name or with a token; %s",
		l.counts.steps, operationsPage, l.counts.commands, l.counts.hooks, l.counts.jobs, seen.evicted, seen.kept, l.counts.claims, seen.answers, seen.warnings, seen.violations, seen.pods, seen.incomplete, control)
	if matrix > 0 {
		figure += fmt.Sprintf("; %d objects of all files of values taken on trial", matrix)
	}
	return figure, seen.warnings+seen.violations+seen.incomplete == 0, nil
}

// live goes through all lives, and wants every step of the page that is this proof's run.
func (l *liveChart) live(ctx context.Context) error {
	page, err := l.openPage()
	if err != nil {
		return err
	}
	for _, life := range l.lives(page) {
		l.env.Say("%s: the values of %s", life.namespace, filepath.Base(life.values))
		if err := life.run(ctx); err != nil {
			return fmt.Errorf("%s: %w", life.namespace, err)
		}
	}
	if left := page.left(); len(left) > 0 {
		return fmt.Errorf("steps of %s that no life ran: %v", operationsPage, left)
	}
	l.counts.steps = len(page.ran)
	return nil
}

// prepare gives the cluster what an operator's has: definitions of other projects'
// kinds, nodes, and a storage class with volumes.
func (l *liveChart) prepare(ctx context.Context) error {
	definitions := l.env.Path("definitions")
	if _, err := l.command(ctx, l.judge, "definitions", definitions); err != nil {
		return err
	}
	l.env.Say("registering other projects' kinds")
	if _, err := l.cluster.Ask(ctx, "", "apply", "--server-side", "-f", definitions); err != nil {
		return err
	}
	if _, err := l.cluster.Ask(ctx, "", "wait", "--for=condition=Established", "--timeout="+liveLimit.String(), "customresourcedefinitions", "--all"); err != nil {
		return err
	}
	var objects strings.Builder
	for n := range liveNodes {
		fmt.Fprintf(&objects, liveNode, n+1, n+1, n+1)
	}
	objects.WriteString(liveStorageClass)
	for n := range liveVolumes {
		fmt.Fprintf(&objects, liveVolume, n)
	}
	if _, err := l.cluster.Ask(ctx, objects.String(), "apply", "--server-side", "-f", "-"); err != nil {
		return err
	}
	_, err := l.cluster.Ask(ctx, "", "wait", "--for=condition=Ready", "--timeout="+liveLimit.String(), "nodes", "--all")
	return err
}

const liveNode = `
---
apiVersion: v1
kind: Node
metadata:
  name: node-%d
  labels: {kubernetes.io/hostname: node-%d, kubernetes.io/os: linux, topology.kubernetes.io/zone: zone-%d}
status:
  allocatable: {cpu: "16", memory: 64Gi, pods: "110"}
  capacity: {cpu: "16", memory: 64Gi, pods: "110"}
`

const liveStorageClass = `
---
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata:
  name: volumes
  annotations: {storageclass.kubernetes.io/is-default-class: "true"}
provisioner: kubernetes.io/no-provisioner
volumeBindingMode: Immediate
`

const liveVolume = `
---
apiVersion: v1
kind: PersistentVolume
metadata: {name: volume-%d}
spec:
  storageClassName: volumes
  capacity: {storage: 1Gi}
  accessModes: [ReadWriteOnce, ReadWriteMany]
  persistentVolumeReclaimPolicy: Retain
  nfs: {server: nfs.example.org, path: /}
`

// runHelm runs Helm against the cluster as the operator, apart from the user's own
// settings.
func (l *liveChart) runHelm(ctx context.Context, namespace string, arguments ...string) error {
	l.env.Say("%s: helm %s", namespace, arguments[0])
	command := exec.CommandContext(ctx, l.helm, append([]string{"--kubeconfig", l.cluster.OperatorConfig(), "--namespace", namespace}, arguments...)...)
	command.Env = l.ownHelm()
	if out, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("helm %s: %w: %s", strings.Join(arguments, " "), err, out)
	}
	return nil
}

// ownHelm is the environment of a Helm that keeps apart from the user's own settings.
func (l *liveChart) ownHelm() []string {
	own := l.env.Path("helm")
	return append(os.Environ(), "HELM_CONFIG_HOME="+own, "HELM_DATA_HOME="+own, "HELM_CACHE_HOME="+own)
}

// askForAll gives the objects of every file of values to the API on trial (dry run),
// where they pass admission and validation, and returns how many it took.
func (l *liveChart) askForAll(ctx context.Context) (int, error) {
	rendered, err := l.renderAll(ctx)
	if err != nil {
		return 0, err
	}
	if err := l.restrictedNamespace(ctx, chartNamespace); err != nil {
		return 0, err
	}
	// Claims that a life left are not in the way of others of their names.
	if _, err := l.cluster.Ask(ctx, "", "delete", "persistentvolumeclaims", "--all", "--namespace", chartNamespace, "--timeout="+liveLimit.String()); err != nil {
		return 0, err
	}
	l.env.Say("asking the API for the objects of %d files of values", len(rendered))
	taken := 0
	for _, path := range rendered {
		out, err := l.cluster.Operate(ctx, "", "apply", "--server-side", "--dry-run=server", "--namespace", chartNamespace, "-f", path)
		if err != nil {
			return 0, fmt.Errorf("%s: %w", filepath.Base(path), err)
		}
		taken += strings.Count(out, "\n")
	}
	return taken, nil
}

// restrictedNamespace makes a namespace that enforces, warns of and audits PodSecurity
// restricted.
func (l *liveChart) restrictedNamespace(ctx context.Context, name string) error {
	namespace := fmt.Sprintf(`{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": %q, "labels": {
"pod-security.kubernetes.io/enforce": "restricted", "pod-security.kubernetes.io/warn": "restricted", "pod-security.kubernetes.io/audit": "restricted"}}}`, name)
	if _, err := l.cluster.Ask(ctx, namespace, "apply", "--server-side", "-f", "-"); err != nil {
		return err
	}
	// Controllers make what every namespace has.
	return l.await(ctx, "the namespace", func() (bool, error) {
		_, err := l.cluster.Ask(ctx, "", "get", "--namespace", name, "serviceaccount/default", "configmap/kube-root-ca.crt")
		return err == nil, nil //nolint:nilerr // not yet; await bounds the wait
	})
}

// await asks until it is so, within liveLimit.
func (l *liveChart) await(ctx context.Context, what string, done func() (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, liveLimit)
	defer cancel()
	if err := until(ctx, 500*time.Millisecond, done); err != nil {
		return fmt.Errorf("wait for %s: %w", what, err)
	}
	return nil
}

// write keeps what a command was given, for those who look at the proof's directory.
func (l *liveChart) write(name, content string) (string, error) {
	path := l.env.Path(name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		return "", fmt.Errorf("write %s: %w", name, err)
	}
	return path, nil
}
