package testbed_test

import (
	"errors"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"rollcall/pkg/access"
	"rollcall/pkg/kafka"
	"rollcall/pkg/telemetry"
	"rollcall/scripts/testbed"
)

func secureClient(t *testing.T, config kafka.Config) *kgo.Client {
	t.Helper()
	client, err := kafka.NewClient(config, telemetry.Discard(), kgo.RequestRetries(0), kgo.RecordRetries(0), kgo.UnknownTopicRetries(0))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}

// A secure cluster lets in who has a password, and to what an ACL allows; users and
// ACLs outlive a restart.
func TestSecureKafkaAllowsWhatAnACLAllows(t *testing.T) {
	ctx := bounded(t)
	cluster := startKafka(ctx, t, testbed.KafkaOptions{Secure: true})
	admin := secureClient(t, cluster.Admin())
	createTopic(ctx, t, admin, "guarded", 1, 1)
	config, err := cluster.User(ctx, "reader")
	if err != nil {
		t.Fatal(err)
	}
	user := secureClient(t, config)
	write := func() error {
		return user.ProduceSync(ctx, &kgo.Record{Topic: "guarded", Value: []byte("x")}).FirstErr()
	}
	if err := write(); !errors.Is(err, kerr.TopicAuthorizationFailed) {
		t.Errorf("without an ACL: %v", err)
	}
	granted, err := kadm.NewClient(admin).CreateACLs(ctx, kadm.NewACLs().Allow("User:reader").Topics("guarded").Operations(kadm.OpWrite))
	if err != nil || granted[0].Err != nil {
		t.Fatal(err, granted)
	}
	await(t, "the ACL", func() bool { return write() == nil })
	stranger := config
	stranger.TLS, stranger.SASL = kafka.TLS{}, kafka.SASL{}
	if err := secureClient(t, stranger).Ping(ctx); err == nil {
		t.Error("a client without TLS and SASL is let in")
	}
	cluster.Nodes()[0].Kill()
	if err := cluster.Restart(ctx); err != nil {
		t.Fatal(err)
	}
	await(t, "the user after a restart", func() bool { return write() == nil })
}

// await asks until the answer is yes.
func await(t *testing.T, what string, done func() bool) {
	t.Helper()
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	deadline := time.After(time.Minute)
	for !done() {
		select {
		case <-ticker.C:
		case <-deadline:
			t.Fatalf("%s: not within a minute", what)
		}
	}
}

// A cluster without users and ACLs is not taken for one in which all is as it should be.
func TestOpenKafkaSaysThatItChecksNothing(t *testing.T) {
	ctx := bounded(t)
	cluster := startKafka(ctx, t, testbed.KafkaOptions{})
	if _, err := cluster.User(ctx, "reader"); err == nil {
		t.Error("an open cluster made a user")
	}
	if _, err := access.CompareACLs(ctx, secureClient(t, cluster.Admin()), access.ACLNames{}); !errors.Is(err, access.ErrNoAuthorizer) {
		t.Errorf("its ACLs: %v", err)
	}
}
