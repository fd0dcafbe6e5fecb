package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"rollcall/scripts/testbed"
)

const liveRendering = `---
# Source: nothing
---
apiVersion: v1
kind: ConfigMap
metadata: {name: made}
data: {secret: text}
---
apiVersion: batch/v1
kind: Job
metadata: {name: early, annotations: {helm.sh/hook: "pre-install,pre-upgrade"}}
spec: {template: {spec: {containers: [{env: [{valueFrom: {secretKeyRef: {name: password, key: a}}}]}]}}}
---
apiVersion: batch/v1
kind: Job
metadata: {name: none}
spec:
  template:
    spec:
      volumes:
        - {name: a, configMap: {name: made}}
        - {name: b, secret: {secretName: password}}
        - {name: c, secret: {secretName: perhaps, optional: true}}
        - {name: d, persistentVolumeClaim: {claimName: disk}}
        - {name: e, projected: {sources: [{configMap: {name: part}}]}}
`

func TestChartLiveReadsARendering(t *testing.T) {
	path := writeFile(t, liveRendering)
	hooks, err := hooksOf(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string][]string{"pre-install": {"early"}, "pre-upgrade": {"early"}}, hooks); diff != "" {
		t.Errorf("hooks (-want +got):\n%s", diff)
	}
	missing, err := notMade(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"ConfigMap/part", "PersistentVolumeClaim/disk", "Secret/password"}, missing); diff != "" {
		t.Errorf("named and not made (-want +got):\n%s", diff)
	}
}

func writeFile(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// A pod is complete only if all was there when it was made.
func TestIncompletePods(t *testing.T) {
	pod := func(name, volumes string) testbed.AuditEvent {
		e := auditEvent("create", "pods", name)
		e.Response = json.RawMessage(`{"metadata": {"name": "` + name + `"}, "spec": {"volumes": [` + volumes + `]}}`)
		return e
	}
	secret, claim := `{"secret": {"secretName": "s"}}`, `{"persistentVolumeClaim": {"claimName": "p"}}`
	refused := auditEvent("create", "secrets", "r")
	refused.Status.Code = 403
	elsewhere := auditEvent("create", "configmaps", "c")
	elsewhere.Object.Namespace = "other"
	events := []testbed.AuditEvent{
		refused, elsewhere,
		pod("early", secret),
		auditEvent("patch", "secrets", "s"), auditEvent("create", "persistentvolumeclaims", "p"),
		pod("right", secret+","+claim),
		pod("refused", `{"secret": {"secretName": "r"}}`),
		pod("elsewhere", `{"configMap": {"name": "c"}}`),
		pod("token", `{"projected": {"sources": [{"serviceAccountToken": {}}]}}`),
		auditEvent("delete", "secrets", "s"),
		pod("late", secret),
	}
	made, wrong, err := incompletePods(events)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"the pod early names Secret/s, which was not there", "the pod refused names Secret/r, which was not there",
		"the pod elsewhere names ConfigMap/c, which was not there", "the pod token has a token", "the pod late names Secret/s, which was not there",
	}
	if diff := cmp.Diff(want, wrong); diff != "" || made != 6 {
		t.Errorf("%d pods, incomplete (-want +got):\n%s", made, diff)
	}
}

func auditEvent(verb, resource, name string) testbed.AuditEvent {
	var e testbed.AuditEvent
	e.Verb, e.Object.Resource, e.Object.Namespace, e.Object.Name = verb, resource, "a", name
	return e
}

// A job that is told of several times has ended once; one made anew ends anew.
func TestCompletions(t *testing.T) {
	status := func(id, condition string) testbed.AuditEvent {
		e := auditEvent("update", "jobs", "hook")
		e.Object.Subresource = "status"
		e.Response = json.RawMessage(`{"kind": "Job", "metadata": {"name": "hook", "uid": "` + id + `"}, "status": {"conditions": [{"type": "` + condition + `", "status": "True"}]}}`)
		return e
	}
	events := []testbed.AuditEvent{status("1", "SuccessCriteriaMet"), status("1", "Complete"), status("1", "Complete"), status("2", "Failed"), status("3", "Complete")}
	if diff := cmp.Diff(map[string]int{"hook": 2}, completions(events, "a")); diff != "" {
		t.Errorf("completions (-want +got):\n%s", diff)
	}
	if other := completions(events, "b"); len(other) > 0 {
		t.Errorf("completions of another namespace: %v", other)
	}
}

// The least of a stream counts, and what is being written does not.
func TestAvailabilities(t *testing.T) {
	path := writeFile(t, `{"metadata": {"name": "a"}, "status": {"availableReplicas": 2}}
{"metadata": {"name": "a"}, "status": {"availableReplicas": 1}}
{"metadata": {"name": "b"}, "status": {}}
{"metadata": {"name": "a"}, "status": {"availableReplicas": 2}}
{"metadata": {"name": "b"}, "sta`)
	got, err := availabilities(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]int{"a": 1, "b": 0}, got); diff != "" {
		t.Errorf("availabilities (-want +got):\n%s", diff)
	}
}

// A step of the page has the page's directory and variables, ends where a command fails,
// and counts only where none did.
func TestLivePageRunsAStep(t *testing.T) {
	p := &livePage{env: &Environment{progress: t.Output()}, dir: t.TempDir(), environment: []string{"PATH=" + os.Getenv("PATH"), "NODE=a"}, steps: map[string]step{
		"install":    {language: "sh", commands: "false\ntouch late"},
		"drain-node": {language: "sh", commands: "touch \"$NODE\""},
		"upgrade":    {language: "sh", commands: "touch \"$ABSENT\""},
		"roll-back":  {language: "sql", commands: "SELECT 1"},
	}}
	for _, name := range []string{"install", "upgrade"} {
		if err := p.do(t.Context(), name); err == nil {
			t.Errorf("the step %s succeeded", name)
		}
	}
	if err := p.do(t.Context(), "drain-node"); err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff([]string{"install", "upgrade"}, p.left()); diff != "" {
		t.Errorf("left (-want +got):\n%s", diff)
	}
	made, err := filepath.Glob(filepath.Join(p.dir, "*"))
	if diff := cmp.Diff([]string{filepath.Join(p.dir, "a")}, made); err != nil || diff != "" {
		t.Errorf("%v, made (-want +got):\n%s", err, diff)
	}
}
