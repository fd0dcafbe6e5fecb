package testbed

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"rollcall/scripts/parts/partstore"
)

// The users of a cluster's API: those of its own programs have the rights that
// Kubernetes gives them, the others every right.
const (
	// kubernetesAdmin asks for the testbed itself, unrecorded.
	kubernetesAdmin = "admin"
	// kubernetesOperator is the person who installs: what the API answers is recorded.
	kubernetesOperator   = "operator"
	kubernetesController = "system:kube-controller-manager"
	kubernetesScheduler  = "system:kube-scheduler"
	kubernetesNodes      = "kwok"
	authorityFile        = "ca.pem"
)

// auditPolicy keeps pods as they were stored and jobs with their status; of everything
// else who did what, with what PodSecurity said of it.
const auditPolicy = `apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
  - level: None
    resources:
      - {group: "", resources: [events]}
      - {group: events.k8s.io, resources: [events]}
      - {group: coordination.k8s.io, resources: [leases]}
  - level: None
    verbs: [get, list, watch]
  - level: RequestResponse
    verbs: [create]
    resources: [{group: "", resources: [pods]}]
  - level: RequestResponse
    resources: [{group: batch, resources: [jobs/status]}]
  - level: Metadata
`

// KubernetesOptions say how a cluster runs.
type KubernetesOptions struct {
	// Progress gets the progress of building the parts; nil: standard error.
	Progress io.Writer
}

// Kubernetes is a real control plane (etcd, API server, controllers, scheduler) on
// loopback, whose nodes kwok plays: pods are admitted, scheduled, counted, evicted and
// deleted for real, and said to run, but no container does. It is safe for concurrent use.
type Kubernetes struct {
	dir, bin, kwok string
	apiPort        int
	certificate    string // of every server, with its key
	authority      *x509.CertPool
	tokens         map[string]string // by user
	processes      []*Process
	recorder       *APIRecorder
}

// StartKubernetes starts a cluster without nodes in dir and returns once all of it is
// ready. What was started is ended where that fails.
func StartKubernetes(ctx context.Context, dir string, o KubernetesOptions) (*Kubernetes, error) {
	if o.Progress == nil {
		o.Progress = os.Stderr
	}
	store, err := partstore.Open(o.Progress)
	if err != nil {
		return nil, err
	}
	k := &Kubernetes{dir: dir, tokens: map[string]string{}}
	if k.bin, err = store.Ensure(ctx, partstore.ControlPlane); err != nil {
		return nil, err
	}
	if k.kwok, err = store.Ensure(ctx, partstore.Kwok); err != nil {
		return nil, err
	}
	if err := k.start(ctx); err != nil {
		k.Kill()
		return nil, fmt.Errorf("start Kubernetes: %w", err)
	}
	return k, nil
}

func (k *Kubernetes) start(ctx context.Context) error {
	if err := k.write(); err != nil {
		return err
	}
	etcd, err := k.etcd()
	if err != nil {
		return err
	}
	if err := k.run(ctx, etcd); err != nil {
		return err
	}
	api, err := k.apiServer(etcd.URL(""))
	if err != nil {
		return err
	}
	if err := k.run(ctx, api); err != nil {
		return err
	}
	if k.recorder, err = StartAPIRecorder("https://"+loopback(k.apiPort), k.authority, k.certificate); err != nil {
		return err
	}
	if err := k.writeConfigs(); err != nil {
		return err
	}
	for _, make := range []func() (*Process, error){k.controllers, k.scheduler, k.nodes} {
		process, err := make()
		if err != nil {
			return err
		}
		if err := k.run(ctx, process); err != nil {
			return err
		}
	}
	return nil
}

// run starts the process, which Kill ends whatever comes.
func (k *Kubernetes) run(ctx context.Context, p *Process) error {
	k.processes = append(k.processes, p)
	return p.Start(ctx)
}

// Kill ends every process at once: nothing of the cluster is used again.
func (k *Kubernetes) Kill() {
	for _, process := range k.processes {
		process.Kill()
	}
	if k.recorder != nil {
		k.recorder.Close()
	}
}

func (k *Kubernetes) path(name string) string { return filepath.Join(k.dir, name) }

// AuditLog returns the file in which the API server keeps its audit log.
func (k *Kubernetes) AuditLog() string { return k.path("audit.log") }

// Recorder returns what keeps the answers of the API to the operator.
func (k *Kubernetes) Recorder() *APIRecorder { return k.recorder }

// OperatorConfig returns a kubeconfig with every right whose answers are recorded.
func (k *Kubernetes) OperatorConfig() string { return k.configPath(kubernetesOperator) }

// Programs returns the directory that has kubectl.
func (k *Kubernetes) Programs() string { return k.bin }

func (k *Kubernetes) configPath(user string) string {
	return k.path(strings.ReplaceAll(user, ":", "-") + ".kubeconfig")
}

// write makes what the API server reads: certificates, users, the audit's policy.
func (k *Kubernetes) write() error {
	if err := os.MkdirAll(k.dir, 0o700); err != nil {
		return fmt.Errorf("make the cluster's directory: %w", err)
	}
	var err error
	if k.certificate, k.authority, err = LoopbackCertificate(k.dir); err != nil {
		return err
	}
	var users strings.Builder
	for user, group := range map[string]string{
		kubernetesAdmin: "system:masters", kubernetesOperator: "system:masters", kubernetesNodes: "system:masters",
		kubernetesController: "", kubernetesScheduler: "",
	} {
		random := make([]byte, 16)
		_, _ = rand.Read(random) // never fails
		k.tokens[user] = hex.EncodeToString(random)
		fmt.Fprintf(&users, "%s,%s,%s,%q\n", k.tokens[user], user, user, group)
	}
	return errors.Join(
		os.WriteFile(k.path("tokens.csv"), []byte(users.String()), 0o600),
		os.WriteFile(k.path("audit-policy.yaml"), []byte(auditPolicy), 0o600))
}

// LoopbackCertificate makes an authority in dir, ca.pem, and returns a file with a key
// and a certificate of it for servers on loopback, and who trusts in it.
func LoopbackCertificate(dir string) (path string, authority *x509.CertPool, err error) {
	caPath, path := filepath.Join(dir, authorityFile), filepath.Join(dir, "node.pem")
	if err := makeCertificates(caPath, path); err != nil {
		return "", nil, fmt.Errorf("make certificates: %w", err)
	}
	content, err := os.ReadFile(caPath)
	if err != nil {
		return "", nil, fmt.Errorf("read the authority: %w", err)
	}
	authority = x509.NewCertPool()
	if !authority.AppendCertsFromPEM(content) {
		return "", nil, errors.New("the authority is no certificate")
	}
	return path, authority, nil
}

// writeConfigs writes a kubeconfig for each user; the operator's leads to the recorder.
func (k *Kubernetes) writeConfigs() error {
	for user, token := range k.tokens {
		server := "https://" + loopback(k.apiPort)
		if user == kubernetesOperator {
			server = k.recorder.URL()
		}
		config := fmt.Sprintf(`apiVersion: v1
kind: Config
current-context: testbed
clusters: [{name: testbed, cluster: {server: %q, certificate-authority: %q}}]
users: [{name: %q, user: {token: %q}}]
contexts: [{name: testbed, context: {cluster: testbed, user: %q}}]
`, server, k.path(authorityFile), user, token, user)
		if err := os.WriteFile(k.configPath(user), []byte(config), 0o600); err != nil {
			return fmt.Errorf("write the kubeconfig of %s: %w", user, err)
		}
	}
	return nil
}

// Ask runs kubectl for the testbed itself: its answers are not recorded.
func (k *Kubernetes) Ask(ctx context.Context, input string, arguments ...string) (string, error) {
	return k.kubectl(ctx, kubernetesAdmin, input, arguments)
}

// Operate runs kubectl as the operator, with the answers recorded.
func (k *Kubernetes) Operate(ctx context.Context, input string, arguments ...string) (string, error) {
	return k.kubectl(ctx, kubernetesOperator, input, arguments)
}

// kubectl returns the standard output; the error quotes its standard error.
func (k *Kubernetes) kubectl(ctx context.Context, user, input string, arguments []string) (string, error) {
	command := k.command(ctx, user, arguments)
	command.Stdin = strings.NewReader(input)
	var problems strings.Builder
	command.Stderr = &problems
	output, err := command.Output()
	if err != nil {
		return string(output), fmt.Errorf("kubectl %s: %w: %s", strings.Join(arguments, " "), err, problems.String())
	}
	return string(output), nil
}

func (k *Kubernetes) command(ctx context.Context, user string, arguments []string) *exec.Cmd {
	own := []string{"--kubeconfig", k.configPath(user), "--cache-dir", k.path("kubectl")}
	return exec.CommandContext(ctx, filepath.Join(k.bin, "kubectl"), append(own, arguments...)...)
}

// Follow runs a kubectl that never ends by itself, unrecorded, until ctx does, and gives
// its output to out.
func (k *Kubernetes) Follow(ctx context.Context, out io.Writer, arguments ...string) error {
	command := k.command(ctx, kubernetesAdmin, arguments)
	var problems strings.Builder
	command.Stdout, command.Stderr = out, &problems
	if err := command.Run(); ctx.Err() == nil {
		return fmt.Errorf("kubectl %s ended: %w: %s", strings.Join(arguments, " "), err, problems.String())
	}
	return nil
}
