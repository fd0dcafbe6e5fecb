package kafka

import (
	"context"
	"crypto/tls"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.uber.org/goleak"

	"rollcall/pkg/credentials/credentialstest"
	"rollcall/pkg/telemetry"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestValidate(t *testing.T) {
	valid := Config{Brokers: []string{"127.0.0.1:9092"}, ClientID: "rollcall"}
	for name, change := range map[string]func(*Config){
		"":                           func(*Config) {},
		"kafka.brokers":              func(c *Config) { c.Brokers = nil },
		"not host:port":              func(c *Config) { c.Brokers = []string{"me:hunter2@broker:1"} },
		"kafka.client_id":            func(c *Config) { c.ClientID = "" },
		"tls.enabled is false":       func(c *Config) { c.TLS.CAFile = "ca.pem" },
		"belong together":            func(c *Config) { c.TLS = TLS{Enabled: true, CertFile: "cert.pem"} },
		"needs user and password":    func(c *Config) { c.SASL = SASL{Mechanism: "SCRAM-SHA-512", User: "u"} },
		"in the clear":               func(c *Config) { c.SASL = SASL{Mechanism: "PLAIN", User: "u", PasswordFile: "f"} },
		"mechanism is none":          func(c *Config) { c.SASL = SASL{User: "u"} },
		`mechanism is "GSSAPI"`:      func(c *Config) { c.SASL = SASL{Mechanism: "GSSAPI"} },
		"kafka.client_id is empty\n": func(c *Config) { c.ClientID, c.SASL.User = "", "u" }, // all at once
	} {
		cfg := valid
		change(&cfg)
		err := cfg.Validate()
		if name == "" && err != nil {
			t.Error(err)
		}
		if name != "" && (err == nil || !strings.Contains(err.Error(), name)) {
			t.Errorf("Validate = %v, want %q in it", err, name)
		}
	}
}

// A broker that asks for TLS and SASL lets in only who shows both.
func TestTLSAndSASL(t *testing.T) {
	dir, authority := t.TempDir(), credentialstest.NewAuthority(t)
	certificate := authority.Issue(t, "127.0.0.1", time.Hour).TLS
	for _, mechanism := range []string{"PLAIN", "SCRAM-SHA-512"} {
		cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.EnableSASL(), kfake.Superuser(mechanism, "rollcall", "right"),
			kfake.SeedTopics(1, "reports.raw"), kfake.TLS(&tls.Config{Certificates: []tls.Certificate{certificate}}))
		if err != nil {
			t.Fatal(err)
		}
		defer cluster.Close()
		for password, works := range map[string]bool{"right\n": true, "wrong": false} {
			file := filepath.Join(dir, "password")
			if err := os.WriteFile(file, []byte(password), 0o600); err != nil {
				t.Fatal(err)
			}
			client, err := NewClient(Config{
				Brokers: cluster.ListenAddrs(), ClientID: "test",
				TLS:  TLS{Enabled: true, CAFile: authority.File(t)},
				SASL: SASL{Mechanism: mechanism, User: "rollcall", PasswordFile: file},
			}, telemetry.Discard(), kgo.RequestRetries(0))
			if err != nil {
				t.Fatal(err)
			}
			if err := client.Ping(t.Context()); (err == nil) != works {
				t.Errorf("%s with %q: %v", mechanism, password, err)
			}
			client.Close()
		}
	}
}

func TestFilesAreChecked(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, []byte("\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, cfg := range []Config{
		{TLS: TLS{Enabled: true, CAFile: "/absent"}},
		{TLS: TLS{Enabled: true, CAFile: empty}},
		{TLS: TLS{Enabled: true, CertFile: empty, KeyFile: empty}},
		{SASL: SASL{Mechanism: "SCRAM-SHA-512", User: "u", PasswordFile: "/absent"}},
		{SASL: SASL{Mechanism: "SCRAM-SHA-512", User: "u", PasswordFile: empty}},
	} {
		cfg.Brokers, cfg.ClientID = []string{"127.0.0.1:1"}, "test"
		if client, err := NewClient(cfg, telemetry.Discard()); err == nil {
			client.Close()
			t.Errorf("%+v was accepted", cfg)
		}
	}
}

// A topic that was deleted and made again is another one: its id says so at once.
func TestTopicID(t *testing.T) {
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "reports.raw"))
	if err != nil {
		t.Fatal(err)
	}
	defer cluster.Close()
	client, err := NewClient(Config{Brokers: cluster.ListenAddrs(), ClientID: "test"}, telemetry.Discard())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx := t.Context()
	first, err := TopicID(ctx, client, "reports.raw")
	if err != nil || first == uuid.Nil {
		t.Fatalf("TopicID = %v, %v", first, err)
	}
	admin := kadm.NewClient(client)
	if _, err := admin.DeleteTopic(ctx, "reports.raw"); err != nil {
		t.Fatal(err)
	}
	if _, err := TopicID(ctx, client, "reports.raw"); err == nil {
		t.Error("TopicID of a deleted topic: no error")
	}
	if _, err := admin.CreateTopic(ctx, 1, 1, nil, "reports.raw"); err != nil {
		t.Fatal(err)
	}
	if second, err := TopicID(ctx, client, "reports.raw"); err != nil || second == first {
		t.Errorf("TopicID of the topic made again = %v, %v; the first was %v", second, err, first)
	}
}

func TestMetrics(t *testing.T) {
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "usage"))
	if err != nil {
		t.Fatal(err)
	}
	defer cluster.Close()
	reader := sdkmetric.NewManualReader()
	tel := telemetry.Discard()
	tel.Meter = sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader)).Meter("test")
	client, err := NewClient(Config{Brokers: cluster.ListenAddrs(), ClientID: "test"}, tel,
		kgo.ConsumeTopics("usage"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	for range 3 {
		if err := client.ProduceSync(t.Context(), &kgo.Record{Topic: "usage", Value: []byte("x")}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	for seen := 0; seen < 3; {
		fetches := client.PollFetches(t.Context())
		if err := fetches.Err0(); err != nil {
			t.Fatal(err)
		}
		seen += fetches.NumRecords()
	}
	// The client tells its hooks of a batch after it has told who produced it.
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	for {
		sums := collect(t, reader)
		if sums["messaging.client.sent.messages"] == 3 && sums["messaging.client.consumed.messages"] == 3 && sums["rollcall.kafka.connects"] > 0 {
			return
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			t.Fatalf("3 messages sent and consumed over at least one connection became %v", sums)
		}
	}
}

func collect(t *testing.T, reader sdkmetric.Reader) map[string]int64 {
	t.Helper()
	var all metricdata.ResourceMetrics
	if err := reader.Collect(context.WithoutCancel(t.Context()), &all); err != nil {
		t.Fatal(err)
	}
	sums := map[string]int64{}
	for _, scope := range all.ScopeMetrics {
		for _, m := range scope.Metrics {
			if sum, ok := m.Data.(metricdata.Sum[int64]); ok {
				for _, point := range sum.DataPoints {
					sums[m.Name] += point.Value
				}
			}
		}
	}
	return sums
}

// Ends are told of every partition of the topics asked for, again and again; a topic that
// is not there keeps nobody from hearing of the others.
func TestWatchEnds(t *testing.T) {
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(2, "a", "b"))
	if err != nil {
		t.Fatal(err)
	}
	defer cluster.Close()
	client, err := NewClient(Config{Brokers: cluster.ListenAddrs(), ClientID: "t"}, telemetry.Discard(), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	write := func(partition int32) {
		if err := client.ProduceSync(t.Context(), &kgo.Record{Topic: "a", Partition: partition}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	write(1)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	ends := map[int32]int64{}
	WatchEnds(ctx, client, time.Millisecond, func(topic string, partition int32, end int64) {
		if topic != "a" {
			t.Errorf("told of %s", topic)
		}
		if ends[partition] = end; partition == 1 && end == 1 {
			write(0)
		}
		if ends[0] >= 1 && ends[1] == 1 {
			cancel()
		}
	}, "a", "missing")
	if ends[0] < 1 || ends[1] != 1 {
		t.Errorf("ends %v", ends)
	}
}

// A broker that does not answer keeps nobody from hearing of what the others lead.
func TestWatchEndsWithoutOneBroker(t *testing.T) {
	cluster, err := kfake.NewCluster(kfake.NumBrokers(2), kfake.SeedTopics(2, "a"))
	if err != nil {
		t.Fatal(err)
	}
	defer cluster.Close()
	for partition := range int32(2) { // each is led by the broker of its number
		if err := cluster.MoveTopicPartition("a", partition, partition); err != nil {
			t.Fatal(err)
		}
	}
	cluster.ControlKey(int16(kmsg.ListOffsets), func(kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		return nil, errors.New("gone"), cluster.CurrentNode() == 0
	})
	client, err := NewClient(Config{Brokers: cluster.ListenAddrs(), ClientID: "t"}, telemetry.Discard(), kgo.RequestRetries(0))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	told := map[int32]bool{}
	WatchEnds(ctx, client, time.Millisecond, func(_ string, partition int32, _ int64) {
		told[partition] = true
		cancel()
	}, "a")
	if told[0] || !told[1] {
		t.Errorf("told of %v, want of partition 1", told)
	}
}
