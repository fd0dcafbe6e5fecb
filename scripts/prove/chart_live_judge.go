package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"rollcall/scripts/testbed"
)

// violationsAnnotation is where PodSecurity tells the audit log what it warns of.
const violationsAnnotation = "pod-security.kubernetes.io/audit-violations"

// controlNamespace is where the chart is made to violate on purpose.
const controlNamespace = "control"

// liveSeen is what the API said and stored.
type liveSeen struct {
	answers, warnings int // to the operator
	evicted, kept     int // pods that were to be evicted: those that were, and times that a budget refused it
	violations        int // of PodSecurity, of whoever asked
	refusals          int // of pods, by PodSecurity
	pods, incomplete  int // pods made, and those that lack what they name or have a token
}

// judgeAnswers counts what there is to see of the lives, or of the control alone.
func (l *liveChart) judgeAnswers(control bool) (liveSeen, error) {
	var seen liveSeen
	for _, answer := range l.cluster.Recorder().Answers() {
		if strings.Contains(answer.Path+"/", "/namespaces/"+controlNamespace+"/") != control {
			continue
		}
		seen.answers++
		if strings.HasSuffix(answer.Path, "/eviction") {
			switch answer.Status {
			case http.StatusCreated:
				seen.evicted++
			case http.StatusTooManyRequests:
				seen.kept++
			}
		}
		seen.warnings += len(answer.Warnings)
		for _, warning := range answer.Warnings {
			l.tell(control, "%s %s: warning: %s", answer.Method, answer.Path, warning)
		}
	}
	events, err := testbed.AuditEvents(l.cluster.AuditLog())
	if err != nil {
		return seen, err
	}
	events = slices.DeleteFunc(events, func(e testbed.AuditEvent) bool { return (e.Object.Namespace == controlNamespace) != control })
	for _, event := range events {
		if violation, ok := event.Annotations[violationsAnnotation]; ok {
			seen.violations++
			l.tell(control, "%s %s %s: %s", event.Verb, event.Object.Resource, event.Object.Name, violation)
		}
		if event.Status.Code == http.StatusForbidden && strings.Contains(event.Status.Message, "violates PodSecurity") {
			seen.refusals++
		}
	}
	made, incomplete, err := incompletePods(events)
	if err != nil {
		return seen, err
	}
	for _, problem := range incomplete {
		l.tell(control, "%s", problem)
	}
	seen.pods, seen.incomplete = made, len(incomplete)
	return seen, nil
}

// tell says what must not be; in the control it must.
func (l *liveChart) tell(control bool, format string, values ...any) {
	if !control {
		l.env.Say(format, values...)
	}
}

// incompletePods goes through an audit log in its order and returns how many pods were
// made, and what was wrong with some at that moment: a Secret, ConfigMap or claim that
// they name and that was not there, on which a node would have waited; or a token of the
// API's, which nothing of the chart may have.
func incompletePods(events []testbed.AuditEvent) (made int, wrong []string, err error) {
	kinds := map[string]string{"secrets": "Secret", "configmaps": "ConfigMap", "persistentvolumeclaims": "PersistentVolumeClaim"}
	there := map[string]bool{}
	for _, event := range events {
		name := event.Object.Namespace + "/" + kinds[event.Object.Resource] + "/" + event.Object.Name
		switch {
		case event.Object.Subresource != "" || event.Status.Code >= http.StatusBadRequest:
		case kinds[event.Object.Resource] != "":
			there[name] = event.Verb != "delete"
		case event.Object.Resource == "pods" && event.Verb == "create":
			made++
			var pod struct {
				Metadata struct{ Name string }
				Spec     map[string]any
			}
			if err := json.Unmarshal(event.Response, &pod); err != nil {
				return 0, nil, fmt.Errorf("read a pod of the audit log: %w", err)
			}
			for _, named := range podReferences(pod.Spec) {
				if !there[event.Object.Namespace+"/"+named] {
					wrong = append(wrong, fmt.Sprintf("the pod %s names %s, which was not there", pod.Metadata.Name, named))
				}
			}
			if strings.Contains(string(event.Response), `"serviceAccountToken"`) {
				wrong = append(wrong, fmt.Sprintf("the pod %s has a token", pod.Metadata.Name))
			}
		}
	}
	return made, wrong, nil
}

// completions returns how many jobs of each name have ended well in a namespace.
func completions(events []testbed.AuditEvent, namespace string) map[string]int {
	seen, ended := map[string]bool{}, map[string]int{}
	for _, event := range events {
		if event.Object.Namespace != namespace || event.Object.Resource != "jobs" || event.Object.Subresource != "status" {
			continue
		}
		var job liveObject
		if json.Unmarshal(event.Response, &job) != nil || !job.condition("Complete") || seen[job.Metadata.UID] {
			continue // another shape is a refusal's
		}
		seen[job.Metadata.UID] = true
		ended[job.Metadata.Name]++
	}
	return ended
}

// violate shows that all of this would have been seen: a pod that PodSecurity refuses,
// and a release with a container that it warns of and a Secret that nobody made.
func (l *liveChart) violate(ctx context.Context) (string, error) {
	if err := l.restrictedNamespace(ctx, controlNamespace); err != nil {
		return "", err
	}
	privileged := `{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "privileged"}, "spec": {"containers": [{"name": "a", "image": "a:1", "securityContext": {"privileged": true}}]}}`
	_, err := l.cluster.Operate(ctx, privileged, "create", "--namespace", controlNamespace, "-f", "-")
	if err == nil || !strings.Contains(err.Error(), "violates PodSecurity") {
		return "", fmt.Errorf("a privileged pod was not refused by PodSecurity: %w", err)
	}
	values, err := l.write("violating-values.yaml", `enricher: {extraContainers: [{name: beside, image: "beside:1"}]}
gateway: {extraVolumes: [{name: more, secret: {secretName: nowhere}}]}
`)
	if err != nil {
		return "", err
	}
	if err := l.runHelm(ctx, controlNamespace, "install", liveRelease, l.dir, "--no-hooks", "-f", l.minimal(), "-f", values); err != nil {
		return "", err
	}
	var seen liveSeen
	err = l.await(ctx, "the control's pods", func() (bool, error) {
		var err error
		seen, err = l.judgeAnswers(true)
		return seen.warnings > 0 && seen.violations > 0 && seen.refusals > 1 && seen.incomplete > 0, err
	})
	if err != nil {
		return "", errors.Join(err, fmt.Errorf("seen of what violates: %+v", seen))
	}
	return fmt.Sprintf("what violates on purpose is seen: %d warnings, %d pods refused, %d without their Secret", seen.warnings, seen.refusals, seen.incomplete), nil
}
