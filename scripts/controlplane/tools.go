//go:build tools

// Package tools names what this module is for: the programs of a Kubernetes control
// plane, on which the chart is installed for real. They are a module of their own because
// of what they bring with them. etcd's program, go.etcd.io/etcd/server/v3, is the root of
// its module: etcdmain is what it is made of.
package tools

import (
	_ "go.etcd.io/etcd/server/v3/etcdmain"
	_ "k8s.io/kubernetes/cmd/kube-apiserver"
	_ "k8s.io/kubernetes/cmd/kube-controller-manager"
	_ "k8s.io/kubernetes/cmd/kube-scheduler"
	_ "k8s.io/kubernetes/cmd/kubectl"
)
