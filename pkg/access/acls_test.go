package access

import (
	"errors"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/sasl/plain"

	"rollcall/pkg/topics"
)

func newAdmin(t *testing.T, options ...kfake.Opt) *kgo.Client {
	t.Helper()
	cluster, err := kfake.NewCluster(append(options, kfake.NumBrokers(1), kfake.EnableSASL(), kfake.Superuser("PLAIN", "admin", "secret"))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	client, err := kgo.NewClient(kgo.SeedBrokers(cluster.ListenAddrs()...), kgo.SASL(plain.Auth{User: "admin", Pass: "secret"}.AsMechanism()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}

func TestApplyACLs(t *testing.T) {
	client := newAdmin(t, kfake.EnableACLs())
	names := ACLNames{
		Prefix: DefaultPrefix, Groups: map[string]string{GroupSink: "other-sink"}, Users: map[string]string{"gateway": "CN=gateway"},
	}
	want := ACLs(names)
	before, err := ApplyACLs(t.Context(), client, names)
	if err != nil || len(before.Missing) != len(want) {
		t.Fatalf("of an empty list %d of %d were missing, %v", len(before.Missing), len(want), err)
	}
	after, err := ApplyACLs(t.Context(), client, names)
	if err != nil || !after.Empty() {
		t.Fatalf("applied twice: %+v, %v", after, err)
	}
	have, err := describe(t.Context(), client)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, sorted(have)); diff != "" {
		t.Error(diff)
	}
	for _, acl := range []ACL{
		{"User:CN=gateway", Topic, topics.Raw, literal, Write, anywhere, true},
		{"User:rollcall-sink", Group, "other-sink", literal, Read, anywhere, true},
	} {
		if !slices.Contains(have, acl) {
			t.Errorf("no %+v", acl)
		}
	}
}

// Who was given more by hand loses it; what strangers may do is shown.
func TestACLsBeyondTheTable(t *testing.T) {
	client := newAdmin(t, kfake.EnableACLs())
	names := ACLNames{Prefix: DefaultPrefix}
	if _, err := ApplyACLs(t.Context(), client, names); err != nil {
		t.Fatal(err)
	}
	surplus := []ACL{
		{"User:rollcall-enricher", Topic, topics.Identities, literal, Read, anywhere, true},
		{"User:rollcall-sink", Topic, topics.Usage, literal, Read, "10.0.0.1", false},
		{"User:rollcall-sink", Cluster, clusterName, literal, Alter, anywhere, true},
	}
	foreign := []ACL{
		{"User:other", Topic, "rep", prefixed, Read, anywhere, true},
		{"User:other", Group, anywhere, literal, Read, anywhere, true},
		{"User:eve", Cluster, clusterName, literal, "ClusterAction", anywhere, true},
		{"User:eve", Topic, topics.Identities, literal, Read, anywhere, true},
	}
	harmless := []ACL{
		{"User:other", Topic, "orders", literal, Read, anywhere, true},
		{"User:other", Topic, topics.Raw, literal, Read, anywhere, false},
	}
	if err := add(t.Context(), client, slices.Concat(surplus, foreign, harmless)); err != nil {
		t.Fatal(err)
	}
	found, err := ApplyACLs(t.Context(), client, names)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(ACLDifferences{Missing: []ACL{}, Surplus: sorted(surplus), Foreign: sorted(foreign)}, found); diff != "" {
		t.Error(diff)
	}
	left, err := CompareACLs(t.Context(), client, names)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(ACLDifferences{Missing: []ACL{}, Surplus: []ACL{}, Foreign: sorted(foreign)}, left); diff != "" {
		t.Error(diff)
	}
}

// A cluster that checks nothing must not look like one without differences.
func TestClusterWithoutAuthorizer(t *testing.T) {
	client := newAdmin(t)
	cluster, err := CompareACLs(t.Context(), client, ACLNames{Prefix: DefaultPrefix})
	if err == nil && cluster.Empty() || err != nil && !errors.Is(err, ErrNoAuthorizer) {
		t.Errorf("%+v, %v", cluster, err)
	}
}

func TestEveryOperationHasItsNumber(t *testing.T) {
	for o := kmsg.ACLOperationRead; o <= kmsg.ACLOperationIdempotentWrite; o++ {
		for r := kmsg.ACLResourceTypeTopic; r <= kmsg.ACLResourceTypeTransactionalId; r++ {
			acl := ACL{Resource: resourceOf(r), Pattern: prefixed, Operation: operationOf(o), Allow: true}
			w, err := acl.wire()
			if want := (wire{r, kmsg.ACLResourcePatternTypePrefixed, o, kmsg.ACLPermissionTypeAllow}); err != nil || w != want {
				t.Errorf("%+v became %+v, %v", acl, w, err)
			}
		}
	}
	if _, err := (ACL{Resource: Topic, Pattern: literal, Operation: "Levitate"}).wire(); err == nil {
		t.Error("an unknown operation was taken")
	}
	for _, acl := range ACLs(ACLNames{}) {
		if _, err := acl.wire(); err != nil {
			t.Error(err)
		}
	}
}

func TestACLNamesAreChecked(t *testing.T) {
	if err := (ACLNames{Users: map[string]string{"gateway": "CN=g"}}).Validate(); err != nil {
		t.Error(err)
	}
	for _, users := range []map[string]string{{"nobody": "x"}, {"gateway": ""}} {
		if err := (ACLNames{Users: users}).Validate(); err == nil {
			t.Errorf("%v was taken", users)
		}
	}
}
