package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"

	"rollcall/scripts/testbed"
)

// liveObject is what the proof reads of objects of every kind.
type liveObject struct {
	Kind     string
	Metadata struct {
		Name, UID  string
		Generation int64
		Labels     map[string]string
	}
	Spec struct {
		Replicas    int
		MinReplicas int
		NodeName    string
		Template    struct {
			Metadata struct{ Annotations map[string]string }
		}
	}
	Status struct {
		ObservedGeneration                                                  int64
		Replicas, UpdatedReplicas, ReadyReplicas, AvailableReplicas, Active int
		Phase                                                               string
		Conditions                                                          []liveCondition
	}
}

type liveCondition struct{ Type, Status, Reason string }

func (o liveObject) condition(kind string) bool {
	return slices.ContainsFunc(o.Status.Conditions, func(c liveCondition) bool { return c.Type == kind && c.Status == "True" })
}

// allReady waits until each Deployment has all its pods as its template says, no more,
// and at least as many as its autoscaler wants.
func (r *releaseLife) allReady(ctx context.Context) error {
	var unready []string
	err := r.await(ctx, "the services", func() (bool, error) {
		var list struct{ Items []liveObject }
		if err := r.get(ctx, &list, "deployments,horizontalpodautoscalers"); err != nil {
			return false, err
		}
		least := map[string]int{}
		for _, o := range list.Items {
			if o.Kind == "HorizontalPodAutoscaler" {
				least[o.Metadata.Name] = o.Spec.MinReplicas
			}
		}
		unready = unready[:0]
		services := 0
		for _, o := range list.Items {
			if o.Kind != "Deployment" {
				continue
			}
			services++
			wanted := o.Spec.Replicas
			s := o.Status
			if wanted < max(1, least[o.Metadata.Name]) || s.ObservedGeneration < o.Metadata.Generation ||
				s.Replicas != wanted || s.UpdatedReplicas != wanted || s.AvailableReplicas != wanted {
				unready = append(unready, fmt.Sprintf("%s has %d of %d pods", o.Metadata.Name, s.AvailableReplicas, max(wanted, least[o.Metadata.Name])))
			}
		}
		return services >= len(testbed.ServiceNames()) && len(unready) == 0, nil
	})
	if err != nil {
		return fmt.Errorf("%w: %s", err, strings.Join(unready, ", "))
	}
	return nil
}

// startCronJobs makes a job of every CronJob, as docs/kubernetes.md lets a person do and
// as the schedule would, and waits for its end.
func (r *releaseLife) startCronJobs(ctx context.Context) error {
	var list struct{ Items []liveObject }
	if err := r.get(ctx, &list, "cronjobs"); err != nil {
		return err
	}
	if len(list.Items) == 0 {
		return errors.New("the release has no CronJob")
	}
	for _, o := range list.Items {
		job := o.Metadata.Name + "-by-hand"
		if _, err := r.cluster.Operate(ctx, "", "create", "job", job, "--from=cronjob/"+o.Metadata.Name, "--namespace", r.namespace); err != nil {
			return err
		}
		if _, err := r.cluster.Operate(ctx, "", "wait", "--for=condition=Complete", "--timeout="+liveLimit.String(), "job/"+job, "--namespace", r.namespace); err != nil {
			return err
		}
		r.counts.jobs++
	}
	return nil
}

// ended says whether every job of the names has ended well once more since it was asked
// last: those of hooks are deleted then, so the API's audit log tells.
func (r *releaseLife) ended(names []string) error {
	events, err := testbed.AuditEvents(r.cluster.AuditLog())
	if err != nil {
		return err
	}
	now := completions(events, r.namespace)
	for _, name := range names {
		if now[name] <= r.completed[name] {
			return fmt.Errorf("the job %s, a hook, has not ended", name)
		}
		r.counts.hooks++
	}
	r.completed = now
	return nil
}

// manifestsOf reads a rendering.
func manifestsOf(path string) ([]map[string]any, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read a rendering: %w", err)
	}
	var all []map[string]any
	// The library's decoder takes a document of comments alone for the end.
	for document := range strings.SplitSeq("\n"+string(content), "\n---") {
		var manifest map[string]any
		if err := yaml.Unmarshal([]byte(document), &manifest); err != nil {
			return nil, fmt.Errorf("read a rendering: %w", err)
		}
		if len(manifest) > 0 {
			all = append(all, manifest)
		}
	}
	return all, nil
}

// hooksOf returns the names of the rendering's jobs that are hooks, by what they wait for.
func hooksOf(path string) (map[string][]string, error) {
	manifests, err := manifestsOf(path)
	if err != nil {
		return nil, err
	}
	hooks := map[string][]string{}
	for _, m := range manifests {
		if text(m, "kind") != "Job" {
			continue
		}
		for hook := range strings.SplitSeq(text(m, "metadata", "annotations", "helm.sh/hook"), ",") {
			hooks[hook] = append(hooks[hook], text(m, "metadata", "name"))
		}
	}
	delete(hooks, "") // jobs that are none
	return hooks, nil
}

// notMade returns what pods of a rendering name and it does not make, as kind/name.
func notMade(path string) ([]string, error) {
	manifests, err := manifestsOf(path)
	if err != nil {
		return nil, err
	}
	made := map[string]bool{}
	var named []string
	for _, m := range manifests {
		made[text(m, "kind")+"/"+text(m, "metadata", "name")] = true
		named = append(named, podReferences(m)...)
	}
	slices.Sort(named)
	return slices.DeleteFunc(slices.Compact(named), func(name string) bool { return made[name] }), nil
}

// podReferences returns the Secrets, ConfigMaps and claims that must be there for the
// pods in a manifest, however deep they stand in it, as kind/name.
func podReferences(value any) []string {
	var named []string
	switch v := value.(type) {
	case map[string]any:
		for key, inner := range v {
			switch key {
			case "secret", "secretKeyRef", "secretRef":
				named = reference(named, "Secret", inner)
			case "configMap", "configMapKeyRef", "configMapRef":
				named = reference(named, "ConfigMap", inner)
			case "persistentVolumeClaim":
				named = reference(named, "PersistentVolumeClaim", inner)
			}
			named = append(named, podReferences(inner)...)
		}
	case []any:
		for _, inner := range v {
			named = append(named, podReferences(inner)...)
		}
	}
	return named
}

// reference adds what a source names, unless it may be absent.
func reference(named []string, kind string, source any) []string {
	fields, ok := source.(map[string]any)
	if optional, _ := fields["optional"].(bool); !ok || optional {
		return named
	}
	for _, field := range []string{"name", "secretName", "claimName"} {
		if name := text(fields, field); name != "" {
			return append(named, kind+"/"+name)
		}
	}
	return named
}

// text returns the text at a path of a manifest, empty where there is none.
func text(value any, path ...string) string {
	for _, key := range path {
		fields, ok := value.(map[string]any)
		if !ok {
			return ""
		}
		value = fields[key]
	}
	found, _ := value.(string)
	return found
}
