package kafka

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"rollcall/pkg/credentials"
	"rollcall/pkg/telemetry"
)

const (
	metadataMinAge = 250 * time.Millisecond
	// metadataMaxAge is how long a partition that was added may go unnoticed. Producers
	// may notice it before consumers do, and what they write to it waits that long: with
	// the library's default of 5 min that would break the promise of freshness.
	metadataMaxAge = 10 * time.Second
)

// NewClient makes a client for cfg; opts come after what cfg sets. It connects to
// nothing yet. Errors are of the configuration or of the files that it names.
func NewClient(cfg Config, tel telemetry.Telemetry, opts ...kgo.Opt) (*kgo.Client, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	hook, err := newHook(tel.Meter)
	if err != nil {
		return nil, fmt.Errorf("make Kafka metrics: %w", err)
	}
	base := []kgo.Opt{
		kgo.SeedBrokers(cfg.Brokers...),
		kgo.ClientID(cfg.ClientID),
		kgo.WithHooks(hook),
		kgo.WithLogger(logger{tel.Logger}),
		// The default of 5 s is how long a partition without a leader, or with too few
		// replicas, would wait to be tried again.
		kgo.MetadataMinAge(metadataMinAge),
		kgo.MetadataMaxAge(metadataMaxAge),
	}
	mechanism, err := cfg.SASL.mechanism(tel.Logger)
	if err != nil {
		return nil, err
	}
	if mechanism != nil {
		base = append(base, kgo.SASL(mechanism))
	}
	unobserve := func() {}
	if cfg.TLS.Enabled {
		files, err := cfg.TLS.client(tel.Logger)
		if err != nil {
			return nil, err
		}
		if unobserve, err = files.Observe(tel.Meter, "kafka"); err != nil {
			return nil, fmt.Errorf("make Kafka metrics: %w", err)
		}
		base = append(base, kgo.Dialer(dialer(files)), kgo.WithHooks(closing(unobserve)))
	}
	client, err := kgo.NewClient(append(base, opts...)...)
	if err != nil {
		unobserve()
		return nil, fmt.Errorf("make Kafka client: %w", err)
	}
	return client, nil
}

// dialTimeout bounds connecting, the handshake included; it is the library's own.
const dialTimeout = 10 * time.Second

// dialer connects by TLS, each time with what the files hold by then.
func dialer(files *credentials.Client) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		dialer := tls.Dialer{NetDialer: &net.Dialer{Timeout: dialTimeout}, Config: files.Config()}
		return dialer.DialContext(ctx, network, address)
	}
}

// closing is called when the client is closed.
type closing func()

func (c closing) OnClientClosed(*kgo.Client) { c() }

// TopicID returns the id that the cluster gave the topic when it was created: it
// tells a topic from an earlier one of the same name.
func TopicID(ctx context.Context, client *kgo.Client, topic string) (uuid.UUID, error) {
	// With this option the answer comes from a broker, not from the client's cache.
	details, err := kadm.NewClient(client).ListTopics(kadm.WithAuthorizedOps(ctx), topic)
	if err != nil {
		return uuid.Nil, fmt.Errorf("look up topic %s: %w", topic, err)
	}
	detail, ok := details[topic]
	if !ok {
		return uuid.Nil, fmt.Errorf("look up topic %s: not in the answer", topic)
	}
	if detail.Err != nil {
		return uuid.Nil, fmt.Errorf("look up topic %s: %w", topic, detail.Err)
	}
	id := uuid.UUID(detail.ID)
	if id == uuid.Nil {
		return uuid.Nil, fmt.Errorf("look up topic %s: the brokers give topics no ids (Kafka before 2.8)", topic)
	}
	return id, nil
}

// logger passes on what the client library has to say, from warnings up: its
// messages name brokers, topics and groups, never a record.
type logger struct{ to *slog.Logger }

func (l logger) Level() kgo.LogLevel { return kgo.LogLevelWarn }

func (l logger) Log(level kgo.LogLevel, message string, keyvals ...any) {
	severity := slog.LevelWarn
	if level == kgo.LogLevelError {
		severity = slog.LevelError
	}
	l.to.With("said", message).Log(context.Background(), severity, "Kafka client library", keyvals...)
}
