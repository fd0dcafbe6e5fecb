package kafka

import (
	"context"
	"errors"
	"net"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// Keys of the Kafka protocol whose round trips are messaging operations.
const (
	keyProduce = 0
	keyFetch   = 1
)

// hook counts what passes between client and brokers, under the names of the
// OpenTelemetry messaging conventions where they have one. Batches are counted,
// not records: a hook per record would cost more than the count is worth.
type hook struct {
	connects  metric.Int64Counter
	duration  metric.Float64Histogram
	sent      metric.Int64Counter
	consumed  metric.Int64Counter
	throttled metric.Float64Counter
}

func newHook(meter metric.Meter) (*hook, error) {
	var (
		h    hook
		errs [5]error
	)
	h.connects, errs[0] = meter.Int64Counter("rollcall.kafka.connects",
		metric.WithUnit("{connect}"), metric.WithDescription("Connections opened to brokers, or tried."))
	h.duration, errs[1] = meter.Float64Histogram("messaging.client.operation.duration",
		metric.WithUnit("s"), metric.WithDescription("Round trips of produce and fetch requests to brokers."))
	h.sent, errs[2] = meter.Int64Counter("messaging.client.sent.messages",
		metric.WithUnit("{message}"), metric.WithDescription("Records that brokers acknowledged."))
	h.consumed, errs[3] = meter.Int64Counter("messaging.client.consumed.messages",
		metric.WithUnit("{message}"), metric.WithDescription("Records fetched from brokers."))
	h.throttled, errs[4] = meter.Float64Counter("rollcall.kafka.throttled",
		metric.WithUnit("s"), metric.WithDescription("Time for which brokers asked this client to hold back."))
	return &h, errors.Join(errs[:]...)
}

var system = attribute.String("messaging.system", "kafka")

func broker(meta kgo.BrokerMetadata) attribute.KeyValue {
	if meta.NodeID < 0 { // an address to start from: its id is not known yet
		return attribute.String("rollcall.kafka.broker", "seed")
	}
	return attribute.String("rollcall.kafka.broker", strconv.Itoa(int(meta.NodeID)))
}

func (h *hook) OnBrokerConnect(meta kgo.BrokerMetadata, _ time.Duration, _ net.Conn, err error) {
	attributes := []attribute.KeyValue{system, broker(meta)}
	if err != nil {
		attributes = append(attributes, attribute.String("error.type", errorType(err)))
	}
	h.connects.Add(context.Background(), 1, metric.WithAttributes(attributes...))
}

func (h *hook) OnBrokerE2E(_ kgo.BrokerMetadata, key int16, e2e kgo.BrokerE2E) {
	var name string
	switch key {
	case keyProduce:
		name = "send"
	case keyFetch:
		name = "poll"
	default:
		return
	}
	attributes := []attribute.KeyValue{system, attribute.String("messaging.operation.name", name)}
	if err := e2e.Err(); err != nil {
		attributes = append(attributes, attribute.String("error.type", errorType(err)))
	}
	h.duration.Record(context.Background(), e2e.DurationE2E().Seconds(), metric.WithAttributes(attributes...))
}

func (h *hook) OnProduceBatchWritten(_ kgo.BrokerMetadata, topic string, _ int32, batch kgo.ProduceBatchMetrics) {
	h.sent.Add(context.Background(), int64(batch.NumRecords), metric.WithAttributes(system,
		attribute.String("messaging.operation.name", "send"), attribute.String("messaging.destination.name", topic)))
}

func (h *hook) OnFetchBatchRead(_ kgo.BrokerMetadata, topic string, _ int32, batch kgo.FetchBatchMetrics) {
	h.consumed.Add(context.Background(), int64(batch.NumRecords), metric.WithAttributes(system,
		attribute.String("messaging.operation.name", "poll"), attribute.String("messaging.destination.name", topic)))
}

func (h *hook) OnBrokerThrottle(meta kgo.BrokerMetadata, interval time.Duration, _ bool) {
	h.throttled.Add(context.Background(), interval.Seconds(), metric.WithAttributes(system, broker(meta)))
}

// errorType is one of few words, so that a failing network makes few series.
func errorType(err error) string {
	var timeout interface{ Timeout() bool }
	switch {
	case errors.Is(err, context.Canceled):
		return "canceled"
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return "timeout"
	case errors.Is(err, net.ErrClosed):
		return "closed"
	}
	return "connection"
}
