package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

func write(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestDecode(t *testing.T) {
	const good = "apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec: {ports: [{port: 80}]}\n"
	for name, test := range map[string]struct{ document, want string }{
		"right":                {good, ""},
		"two":                  {"---\n# nothing\n---\n" + good + "---\n" + good, ""},
		"unknown field":        {strings.Replace(good, "ports", "prots", 1), `unknown field "spec.prots"`},
		"wrong type":           {strings.Replace(good, "80", "eighty", 1), "cannot unmarshal"},
		"field twice":          {strings.Replace(good, "name: a", "name: a, name: b", 1), "already set"},
		"unknown kind":         {strings.Replace(good, "Service", "Servize", 1), "no kind"},
		"a kind by definition": {"apiVersion: keda.sh/v1alpha1\nkind: ScaledObject\n", ""},
	} {
		err := decodeFiles(&bytes.Buffer{}, []string{write(t, "manifests.yaml", test.document)})
		if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
			t.Errorf("%s: %v, want %q", name, err, test.want)
		}
	}
}

func TestReadTable(t *testing.T) {
	page := func(rows string) string {
		return write(t, "page.md", "# Page\n"+tableBegin+"\n| from | to | port | why |\n|---|---|---|---|\n"+rows+tableEnd+"\n")
	}
	got, err := readTable(page("| a, b | `c` | 1/TCP, 2/UDP | because |\n"))
	if err != nil {
		t.Fatal(err)
	}
	want := map[connection]bool{{"a", "c", "1/TCP"}: true, {"a", "c", "2/UDP"}: true, {"b", "c", "1/TCP"}: true, {"b", "c", "2/UDP"}: true}
	if missing, excess := differences(want, got); len(missing)+len(excess) > 0 {
		t.Errorf("missing %v, excess %v", missing, excess)
	}
	for _, wrong := range []string{page(""), page("| a | b | 1/TCP | x |\n| a | b | 1/TCP | y |\n"), write(t, "page.md", "nothing")} {
		if _, err := readTable(wrong); err == nil {
			t.Error("a page without a table, or with a connection twice, was taken")
		}
	}
}

// reaching lets pods of one part reach those of another namespace.
func reaching(part, namespace string, number int) *networking.NetworkPolicy {
	p, tcp := intstr.FromInt(number), core.ProtocolTCP
	return &networking.NetworkPolicy{
		ObjectMeta: meta.ObjectMeta{Name: part, Namespace: "rollcall"},
		Spec: networking.NetworkPolicySpec{
			PodSelector: meta.LabelSelector{MatchLabels: map[string]string{"component": part}},
			PolicyTypes: []networking.PolicyType{networking.PolicyTypeIngress, networking.PolicyTypeEgress},
			Egress: []networking.NetworkPolicyEgressRule{{
				To:    []networking.NetworkPolicyPeer{{NamespaceSelector: &meta.LabelSelector{MatchLabels: map[string]string{core.LabelMetadataName: namespace}}}},
				Ports: []networking.NetworkPolicyPort{{Protocol: &tcp, Port: &p}},
			}},
		},
	}
}

func TestAllowed(t *testing.T) {
	c := &cluster{
		pods: []endpoint{
			{name: "sink", ours: true, namespace: "rollcall", labels: map[string]string{"component": "sink"}, address: "10.60.0.1"},
			{name: "keys", ours: true, namespace: "rollcall", labels: map[string]string{"component": "keys"}, address: "10.60.0.2"},
		},
		around:   strangers("rollcall"),
		policies: []*networking.NetworkPolicy{reaching("sink", "clickhouse", 9000), reaching("keys", "nowhere", 1)},
	}
	c.ports = c.portsOfInterest()
	got, asked := c.allowed(c.policies)
	if missing, excess := differences(map[connection]bool{{"sink", "clickhouse", "9000/TCP"}: true}, got); len(missing)+len(excess) > 0 || asked == 0 {
		t.Errorf("asked %d; missing %v, excess %v", asked, missing, excess)
	}
	open, _ := c.allowed(nil)
	if len(open) != asked {
		t.Errorf("without policies %d of %d are allowed", len(open), asked)
	}
	for _, r := range never() {
		found := false
		for connection := range open {
			found = found || r.forbids(connection)
		}
		if involved := r.from == "sink" || r.from == "keys" || r.to == "keys"; involved && !found {
			t.Errorf("no rule forbids %s to %s where everything is open", r.from, r.to)
		}
	}
}

func TestHoldings(t *testing.T) {
	claim := func(volume, name string) core.Volume {
		return core.Volume{Name: volume, VolumeSource: core.VolumeSource{PersistentVolumeClaim: &core.PersistentVolumeClaimVolumeSource{ClaimName: name}}}
	}
	secret := func(volume, name, key string) core.Volume {
		return core.Volume{Name: volume, VolumeSource: core.VolumeSource{Secret: &core.SecretVolumeSource{SecretName: name, Items: []core.KeyToPath{{Key: key, Path: key}}}}}
	}
	pod := func(account string, volumes ...core.Volume) *core.PodTemplateSpec {
		yes, no := true, false
		return &core.PodTemplateSpec{Spec: core.PodSpec{
			ServiceAccountName: account, AutomountServiceAccountToken: &no, EnableServiceLinks: &no, Volumes: volumes,
			SecurityContext: &core.PodSecurityContext{RunAsNonRoot: &yes, SeccompProfile: &core.SeccompProfile{Type: core.SeccompProfileTypeRuntimeDefault}},
			Containers: []core.Container{{Name: "c", Image: "rollcall:1", SecurityContext: &core.SecurityContext{
				AllowPrivilegeEscalation: &no, ReadOnlyRootFilesystem: &yes, Capabilities: &core.Capabilities{Drop: []core.Capability{"ALL"}},
			}}},
		}}
	}
	right := func() holdings {
		return holdings{
			"keys":       pod("keys", claim("master", "m"), claim("gateway", "g"), claim("anonymizer", "a")),
			"gateway":    pod("gateway", claim("keystore", "g"), secret("kafka-password", "users", "gateway"), secret("kafka-ca", "authorities", "ca.crt"), secret("tls", "reports", "tls.crt")),
			"anonymizer": pod("anonymizer", claim("keystore", "a"), secret("kafka-password", "users", "anonymizer"), secret("kafka-ca", "authorities", "ca.crt"), secret("tls", "reports", "tls.crt")),
		}
	}
	if err := checkPods(right()); err != nil {
		t.Fatal(err)
	}
	for what, test := range map[string]struct {
		change func(holdings)
		want   string
	}{
		"another's keys": {func(h holdings) { h["gateway"].Spec.Volumes[0] = claim("keystore", "a") }, "gateway mounts the keys of anonymizer"},
		"all keys":       {func(h holdings) { h["anonymizer"].Spec.Volumes[0] = claim("keystore", "m") }, "anonymizer mounts the keys of master"},
		"another's Secret": {func(h holdings) {
			h["gateway"].Spec.InitContainers = []core.Container{{Args: []string{"keys", "unpack", "anonymizer"}}}
		}, "gateway unpacks the keys of anonymizer"},
		"another's password": {func(h holdings) { h["gateway"].Spec.Volumes[1] = secret("kafka-password", "users", "anonymizer") }, "mount the same secret users/anonymizer"},
		"one volume of keys": {func(h holdings) {
			h["keys"].Spec.Volumes[1] = claim("gateway", "m")
			h["gateway"].Spec.Volumes[0] = claim("keystore", "m")
		}, "master and gateway have the same volume of keys m"},
		"a Secret whole": {func(h holdings) { h["gateway"].Spec.Volumes[1].Secret.Items = nil }, "anonymizer and gateway mount the same secret users/(all)"},
		"a key beside the authorities": {func(h holdings) {
			h["gateway"].Spec.Volumes[1] = secret("kafka-ca", "users", "ca.crt")
			h["gateway"].Spec.Volumes[1].Secret.Items = nil
		}, "mount the same secret users/(all)"},
		"another's account":     {func(h holdings) { h["gateway"].Spec.ServiceAccountName = "anonymizer" }, "share the account anonymizer"},
		"a token":               {func(h holdings) { h["gateway"].Spec.AutomountServiceAccountToken = nil }, "gateway mounts its account's token"},
		"variables of Services": {func(h holdings) { h["gateway"].Spec.EnableServiceLinks = nil }, "is given variables of Services"},
		"a root file system":    {func(h holdings) { h["gateway"].Spec.Containers[0].SecurityContext.ReadOnlyRootFilesystem = nil }, "can be written to"},
		"privileges":            {func(h holdings) { h["gateway"].Spec.HostNetwork = true }, "PodSecurity restricted"},
	} {
		pods := right()
		test.change(pods)
		if err := checkPods(pods); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", what, err, test.want)
		}
	}
}

// A part's user stands in its configuration or in its variables.
func TestUsers(t *testing.T) {
	rendering := func(gateway, topics, sink, migrate string) string {
		return write(t, "manifests.yaml", `---
apiVersion: v1
kind: ConfigMap
metadata: {name: gateway, labels: {app.kubernetes.io/component: gateway}}
data: {rollcall.yaml: "kafka: {sasl: {user: `+gateway+`}}"}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: sink, labels: {app.kubernetes.io/component: sink}}
data: {rollcall.yaml: "clickhouse: {user: `+sink+`}"}
---
apiVersion: batch/v1
kind: Job
metadata: {name: topics}
spec: {template: {metadata: {labels: {app.kubernetes.io/component: topics}}, spec: {containers: [{env: [{name: ROLLCALL_KAFKA_SASL_USER, value: `+topics+`}]}]}}}
---
apiVersion: batch/v1
kind: Job
metadata: {name: migrate}
spec: {template: {metadata: {labels: {app.kubernetes.io/component: migrate}}, spec: {containers: [{env: [{name: ROLLCALL_CLICKHOUSE_USER, value: `+migrate+`}]}]}}}
`)
	}
	for what, test := range map[string]struct{ path, want string }{
		"right":              {rendering("gateway", "topics", "sink", "migrate"), ""},
		"of two systems":     {rendering("sink", "migrate", "sink", "migrate"), ""},
		"one for Kafka":      {rendering("topics", "topics", "sink", "migrate"), "gateway and topics are the same user topics of kafka"},
		"one for ClickHouse": {rendering("gateway", "topics", "default", "default"), "migrate and sink are the same user default of clickhouse"},
	} {
		c, err := readCluster(test.path)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.users.check(); test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
			t.Errorf("%s: %v, want %q", what, err, test.want)
		}
	}
}

func TestStrictSchema(t *testing.T) {
	schema := map[string]any{
		"properties": map[string]any{
			"port":   map[string]any{"type": "string", "format": "int-or-string"},
			"labels": map[string]any{"type": "object", "additionalProperties": map[string]any{"type": "string"}},
			"inner":  map[string]any{"properties": map[string]any{"a": map[string]any{"type": "string"}}},
		},
	}
	strict(schema)
	properties := schema["properties"].(map[string]any)
	if schema["additionalProperties"] != false || properties["inner"].(map[string]any)["additionalProperties"] != false {
		t.Error("unknown fields are not refused")
	}
	if _, free := properties["labels"].(map[string]any)["additionalProperties"].(map[string]any); !free {
		t.Error("labels are no longer free")
	}
	if _, left := properties["port"].(map[string]any)["format"]; left {
		t.Error("a port is still a text alone")
	}
}
