package testbed

import (
	"fmt"
	"path/filepath"
	"strconv"
)

// etcd keeps nothing that must outlive its process, so it does not wait for the disk.
func (k *Kubernetes) etcd() (*Process, error) {
	clients, err := FreePort()
	if err != nil {
		return nil, err
	}
	peers, err := FreePort()
	if err != nil {
		return nil, err
	}
	client, peer := "http://"+loopback(clients), "http://"+loopback(peers)
	return k.program("etcd", client+"/readyz",
		"--data-dir="+k.path("etcd"), "--listen-client-urls="+client, "--advertise-client-urls="+client,
		"--listen-peer-urls="+peer, "--initial-advertise-peer-urls="+peer, "--initial-cluster=default="+peer,
		"--unsafe-no-fsync", "--log-level=warn"), nil
}

func (k *Kubernetes) apiServer(etcd string) (*Process, error) {
	var err error
	if k.apiPort, err = FreePort(); err != nil {
		return nil, err
	}
	return k.program("kube-apiserver", "https://"+loopback(k.apiPort)+"/readyz",
		"--etcd-servers="+etcd, "--bind-address=127.0.0.1", "--advertise-address=127.0.0.1", "--secure-port="+strconv.Itoa(k.apiPort),
		"--endpoint-reconciler-type=none", // loopback is no address for the Service kubernetes
		"--tls-cert-file="+k.certificate, "--tls-private-key-file="+k.certificate,
		"--service-account-issuer=https://kubernetes.default.svc", "--service-account-key-file="+k.certificate, "--service-account-signing-key-file="+k.certificate,
		"--service-cluster-ip-range=10.96.0.0/16", "--authorization-mode=RBAC", "--token-auth-file="+k.path("tokens.csv"),
		"--audit-policy-file="+k.path("audit-policy.yaml"), "--audit-log-path="+k.AuditLog(),
		"--allow-privileged", // else not PodSecurity would be what refuses
		"--profiling=false"), nil
}

func (k *Kubernetes) controllers() (*Process, error) {
	return k.controller("kube-controller-manager", kubernetesController,
		"--use-service-account-credentials", "--service-account-private-key-file="+k.certificate, "--root-ca-file="+k.path(authorityFile),
		"--horizontal-pod-autoscaler-sync-period=5s", "--kube-api-qps=100", "--kube-api-burst=200")
}

func (k *Kubernetes) scheduler() (*Process, error) {
	return k.controller("kube-scheduler", kubernetesScheduler)
}

// controller is a program that serves its health over TLS of the cluster's.
func (k *Kubernetes) controller(name, user string, arguments ...string) (*Process, error) {
	port, err := FreePort()
	if err != nil {
		return nil, err
	}
	return k.program(name, "https://"+loopback(port)+"/healthz", append([]string{
		"--kubeconfig=" + k.configPath(user), "--bind-address=127.0.0.1", "--secure-port=" + strconv.Itoa(port),
		"--tls-cert-file=" + k.certificate, "--tls-private-key-file=" + k.certificate,
		"--authentication-skip-lookup", // of the extension API's authentication, which nobody has set up
		"--leader-elect=false", "--profiling=false",
	}, arguments...)...), nil
}

// nodes is kwok, with its own stages: a pod is ready at once, one of a job has ended.
func (k *Kubernetes) nodes() (*Process, error) {
	port, err := FreePort()
	if err != nil {
		return nil, err
	}
	stages, err := filepath.Glob(filepath.Join(k.kwok, "stages", "*.yaml"))
	if err != nil || len(stages) == 0 {
		return nil, fmt.Errorf("find the stages of kwok: none is in %s (%w)", k.kwok, err)
	}
	arguments := []string{
		"--kubeconfig=" + k.configPath(kubernetesNodes), "--manage-all-nodes", "--node-lease-duration-seconds=40", "--server-address=" + loopback(port),
	}
	for _, stage := range stages {
		arguments = append(arguments, "--config="+stage)
	}
	process := k.program("kwok", "http://"+loopback(port)+"/healthz", arguments...)
	process.options.Binary = filepath.Join(k.kwok, "kwok")
	return process, nil
}

func (k *Kubernetes) program(name, ready string, arguments ...string) *Process {
	return NewProcess(ProcessOptions{
		Name: name, Binary: filepath.Join(k.bin, name), Args: arguments, Dir: k.dir, LogPath: k.path(name + ".log"),
		Env: []string{"HOME=" + k.dir}, ReadyURL: ready, ReadyCA: k.authority,
	})
}
