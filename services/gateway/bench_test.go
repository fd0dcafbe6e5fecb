package gateway

import (
	"bytes"
	"io"
	"net/http"
	"testing"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"rollcall/pkg/envelope"
	"rollcall/pkg/health"
	"rollcall/pkg/telemetry"
	"rollcall/pkg/topics"
)

// discarded is a response writer without a connection.
type discarded struct {
	header http.Header
	status int
}

func (d *discarded) Header() http.Header         { return d.header }
func (d *discarded) Write(b []byte) (int, error) { return len(b), nil }
func (d *discarded) WriteHeader(status int)      { d.status = status }

// BenchmarkHandler measures what the gateway adds to the server and the producer:
// both handlers await the broker's acknowledgement, the bare one does no more.
func BenchmarkHandler(b *testing.B) {
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(6, topics.Raw))
	if err != nil {
		b.Fatal(err)
	}
	defer cluster.Close()
	client, err := kgo.NewClient(append(ProducerOptions(testConfig()), kgo.SeedBrokers(cluster.ListenAddrs()...))...)
	if err != nil {
		b.Fatal(err)
	}
	defer client.Close()
	service, err := New(testConfig(), client, &envelope.Plain{}, &health.Checks{}, telemetry.Discard())
	if err != nil {
		b.Fatal(err)
	}
	bare := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			b.Error(err)
		}
		acked := make(chan error, 1)
		client.TryProduce(r.Context(), &kgo.Record{Topic: topics.Raw, Value: body}, func(_ *kgo.Record, err error) { acked <- err })
		if err := <-acked; err != nil {
			b.Error(err)
		}
		w.WriteHeader(http.StatusAccepted)
	})
	r := testReport()
	for _, name := range []string{"robots_executed", "values_returned", "bytes_loaded", "http_requests", "values_stored"} {
		r.Counters[name] = 1234567
	}
	body := avroOf(b, r)
	for name, handler := range map[string]http.Handler{"gateway": service, "bare": bare} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetParallelism(64)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					request, err := http.NewRequestWithContext(b.Context(), http.MethodPost, route, bytes.NewReader(body))
					if err != nil {
						b.Error(err)
						return
					}
					request.RemoteAddr = "192.0.2.7:1"
					request.Header.Set("Content-Type", typeAvro)
					w := discarded{header: http.Header{}}
					handler.ServeHTTP(&w, request)
					if w.status != http.StatusAccepted {
						b.Errorf("status %d", w.status)
						return
					}
				}
			})
		})
	}
}
