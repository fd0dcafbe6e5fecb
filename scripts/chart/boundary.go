package main

import (
	"errors"
	"fmt"
	"io"

	apps "k8s.io/api/apps/v1"
	batch "k8s.io/api/batch/v1"
	core "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// podTemplate returns what an object makes pods from, nil where it makes none.
func podTemplate(object runtime.Object) (*core.PodTemplateSpec, string) {
	switch o := object.(type) {
	case *apps.Deployment:
		return &o.Spec.Template, o.Namespace
	case *batch.Job:
		return &o.Spec.Template, o.Namespace
	case *batch.CronJob:
		return &o.Spec.JobTemplate.Spec.Template, o.Namespace
	}
	return nil, ""
}

// rule is what must never be allowed, whatever the values.
type rule struct {
	from, to string // a pod's or another's name; empty: everybody
	why      string
}

// never are the boundary's rules.
func never() []rule {
	return []rule{
		{"gateway", "clickhouse", "the gateway has what clients sent: it must not reach what analysts read"},
		{"anonymizer", "clickhouse", "the anonymizer has the keys: it must not reach what they protect"},
		{"enricher", "clickhouse", "the enricher stores nothing"},
		{"sink", "internet", "the sink has every count: nothing of it goes out"},
		{"sink", "internet (IPv6)", "the sink has every count: nothing of it goes out"},
		{"keys", "", "who makes keys speaks to nobody"},
		{"", "keys", "who makes keys is spoken to by nobody"},
	}
}

func (r rule) forbids(c connection) bool {
	return (r.from == "" || r.from == c.from) && (r.to == "" || r.to == c.to)
}

// checkBoundaries holds the pods of every file of manifests to what each may have, and
// evaluates the policies, where there are some, against the rules that hold for all values.
func checkBoundaries(out io.Writer, paths []string) error {
	var errs []error
	evaluated, files, held := 0, 0, 0
	for _, path := range paths {
		c, err := readCluster(path)
		if err != nil {
			return err
		}
		if err := errors.Join(checkPods(c.holdings), c.users.check()); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", path, err))
		}
		held += len(c.pods)
		if len(c.policies) == 0 {
			continue // switched off: NOTES says so
		}
		open, asked := c.allowed(c.policies)
		evaluated += asked
		files++
		for connection := range open {
			for _, r := range never() {
				if r.forbids(connection) {
					errs = append(errs, fmt.Errorf("%s: %s is allowed: %s", path, connection, r.why))
				}
			}
		}
	}
	if files == 0 {
		return errors.New("no file has policies")
	}
	if len(errs) > 0 {
		return errors.Join(errs...)
	}
	fmt.Fprintf(out, "%d pairs in %d renderings evaluated: none crosses the boundary; %d pods have no keys, credentials and accounts but their own, and hold to PodSecurity restricted\n", evaluated, files, held)
	return nil
}
