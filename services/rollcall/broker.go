package main

import (
	"fmt"
	"log/slog"
	"strconv"

	"github.com/twmb/franz-go/pkg/kfake"

	"rollcall/pkg/kafka"
	"rollcall/pkg/topics"
)

// broker is the embedded development broker: one node on loopback whose log is on
// disk. It speaks Kafka's protocol over a real socket, and is no replacement for
// Kafka: no replication, and everything on the one disk.
type broker struct{ cluster *kfake.Cluster }

// openBroker starts a broker with its log in dir; port 0 picks one.
func openBroker(dir string, port int, logger *slog.Logger) (*broker, error) {
	cluster, err := kfake.NewCluster(
		kfake.Ports(port),
		kfake.ClusterID("rollcall-standalone"),
		kfake.DataDir(dir),
		// A 202 must survive a crash here too: acknowledged is written to disk.
		kfake.SyncWrites(),
		kfake.BrokerConfigs(map[string]string{"message.max.bytes": strconv.Itoa(topics.MaxMessageBytes)}),
		kfake.WithLogger(brokerLogger{logger}),
	)
	if err != nil {
		return nil, fmt.Errorf("start embedded broker in %s: %w", dir, err)
	}
	return &broker{cluster}, nil
}

// config is how to reach the broker.
func (b *broker) config() kafka.Config {
	return kafka.Config{Brokers: b.cluster.ListenAddrs(), ClientID: "rollcall"}
}

func (b *broker) Close() { b.cluster.Close() }

type brokerLogger struct{ to *slog.Logger }

// Logf passes on errors; the broker's warnings are about clients that come and go.
func (l brokerLogger) Logf(level kfake.LogLevel, format string, args ...any) {
	if level == kfake.LogLevelError {
		l.to.Error("embedded broker", "message", fmt.Sprintf(format, args...))
	}
}
