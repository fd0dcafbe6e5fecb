package gateway

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/goleak"

	"rollcall/pkg/envelope"
	"rollcall/pkg/health"
	"rollcall/pkg/record"
	"rollcall/pkg/report"
	"rollcall/pkg/telemetry"
	"rollcall/pkg/topics"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func testConfig() Config {
	return Config{
		Topics: topics.Options{Partitions: 2, ReplicationFactor: 1, MinInSync: 1},
		Listen: "127.0.0.1:0", EdgeID: "edge-7", EdgeRegion: "eu",
		HeaderTimeout: 2 * time.Minute, BodyTimeout: 2 * time.Minute, AckTimeout: 2 * time.Minute, IdleTimeout: 2 * time.Minute,
		DrainTimeout: 4 * time.Minute, MaxHeaderBytes: 16 << 10, MaxConnections: 512,
		MaxInFlightBytes: 64 << 20, MaxBufferedBytes: 64 << 20, MaxBufferedRecords: 50_000, Linger: time.Millisecond,
		NetworkRate: 1e6, NetworkBurst: 1e6, NetworkTableSize: 1024,
		NewLicenceRate: 1e6, NewLicenceBurst: 1e6, LicenceTableSize: 10_000,
		UnknownSchemaBytesPerSecond: 1, UnknownSchemaBurstBytes: 8 << 20,
	}
}

// bench is a gateway on a real listener before a fake broker.
type bench struct {
	t       *testing.T
	cfg     Config
	cluster *kfake.Cluster
	client  *kgo.Client
	service *Service
	checks  *health.Checks
	http    *http.Client
	url     string
	stop    context.CancelFunc // starts the drain
	done    chan error         // Run's result
	// open, where not nil, opens the envelopes; else they are plain.
	open func(assoc envelope.Associated, sealed []byte) (address netip.Addr, body []byte, err error)
}

type option func(*bench, *setup)

// setup is what a test may change before the gateway is made.
type setup struct {
	tel    telemetry.Telemetry
	sealer envelope.Sealer
	client []kgo.Opt
	// ack is how long the gateway waits for an acknowledgement; the producer's own
	// timeout cannot be as short as a test wants.
	ack time.Duration
	// drain is how long a stop may take: less than requests that are in time.
	drain time.Duration
}

func config(change func(*Config)) option { return func(b *bench, _ *setup) { change(&b.cfg) } }

// impatient makes a gateway that waits briefly for the broker: for tests that want no
// acknowledgement.
func impatient(b *bench, s *setup) { b.cfg.AckTimeout, s.ack = time.Second, 200*time.Millisecond }

func start(t *testing.T, options ...option) *bench {
	t.Helper()
	b := &bench{t: t, cfg: testConfig(), checks: &health.Checks{}, done: make(chan error, 1)}
	set := &setup{tel: telemetry.Discard(), sealer: &envelope.Plain{}}
	for _, o := range options {
		o(b, set)
	}
	var err error
	if b.cluster, err = kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(2, topics.Raw)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.cluster.Close)
	seeds := kgo.SeedBrokers(b.cluster.ListenAddrs()...)
	b.alterTopic(topics.Specs(b.cfg.Topics)[0].Configs())
	if b.client, err = kgo.NewClient(append(append(ProducerOptions(b.cfg), seeds), set.client...)...); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.client.Close)
	if b.service, err = New(b.cfg, b.client, set.sealer, b.checks, set.tel); err != nil {
		t.Fatal(err)
	}
	if set.ack > 0 {
		b.service.broker.timeout = set.ack
	}
	if set.drain > 0 {
		b.service.cfg.DrainTimeout = set.drain
	}
	if err := b.service.Listen(); err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{DisableCompression: true}
	b.http = &http.Client{Transport: transport, Timeout: 5 * time.Minute}
	b.url = "http://" + b.service.Addr().String() + route
	ctx, stop := context.WithCancel(t.Context())
	b.stop = stop
	go func() { b.done <- b.service.Run(ctx) }()
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		stop()
		if err := <-b.done; err != nil {
			t.Errorf("Run: %v", err)
		}
		b.done <- nil // for a test that has read it
	})
	return b
}

// ready reports what /readyz answers.
func (b *bench) ready() bool {
	answer := httptest.NewRecorder()
	b.checks.Ready(answer, nil)
	return answer.Code == http.StatusOK
}

// eventually waits until the condition holds.
func (b *bench) eventually(what string, holds func() bool) {
	b.t.Helper()
	for deadline := time.Now().Add(time.Minute); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			b.t.Fatalf("%s: not within a minute; failing: %v", what, b.checks.Failing())
		}
	}
}

// reply is an HTTP answer, read whole.
type reply struct {
	status  int
	header  http.Header
	body    []byte
	problem problem
	closes  bool // the connection ends with it
}

// do sends a request and reads the answer; a failed exchange fails the test.
func (b *bench) do(r *http.Request) reply {
	b.t.Helper()
	response, err := b.http.Do(r)
	if err != nil {
		b.t.Fatal(err)
	}
	return readReply(b.t, response)
}

// postAside posts a report while the test goes on. The channel gets its answer and ends.
func (b *bench) postAside(body []byte) <-chan reply {
	b.t.Helper()
	request, answered := b.request(body), make(chan reply, 1)
	go func() {
		defer close(answered) // the test may end here, too
		response, err := b.http.Do(request)
		if err != nil {
			b.t.Error(err)
			return
		}
		answered <- readReply(b.t, response)
	}()
	return answered
}

func readReply(t *testing.T, response *http.Response) reply {
	t.Helper()
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	got := reply{status: response.StatusCode, header: response.Header, body: body, closes: response.Close}
	if len(body) > 0 && response.Header.Get("Content-Type") == "application/problem+json" {
		if err := json.Unmarshal(body, &got.problem); err != nil {
			t.Fatalf("%s: %v", body, err)
		}
	}
	return got
}

// request makes a POST of a body, with header names and values in turn.
func (b *bench) request(body []byte, headers ...string) *http.Request {
	b.t.Helper()
	r, err := http.NewRequestWithContext(b.t.Context(), http.MethodPost, b.url, bytes.NewReader(body))
	if err != nil {
		b.t.Fatal(err)
	}
	r.Header.Set("Content-Type", typeAvro)
	for i := 0; i < len(headers); i += 2 {
		if headers[i+1] == "" {
			r.Header.Del(headers[i])
			continue
		}
		r.Header.Add(headers[i], headers[i+1])
	}
	return r
}

func (b *bench) post(body []byte, headers ...string) reply {
	b.t.Helper()
	return b.do(b.request(body, headers...))
}

// taken is a record of reports.raw, opened.
type taken struct {
	raw     record.Raw
	address netip.Addr
	body    []byte
	headers []kgo.RecordHeader
}

// records reads all of reports.raw, which has that many records.
func (b *bench) records(n int) []taken {
	b.t.Helper()
	var high int64
	for _, partition := range b.cluster.PartitionInfos(topics.Raw) {
		high += partition.HighWatermark
	}
	if high != int64(n) {
		b.t.Fatalf("%d records stand in %s, want %d", high, topics.Raw, n)
	}
	consumer, err := kgo.NewClient(kgo.SeedBrokers(b.cluster.ListenAddrs()...), kgo.ConsumeTopics(topics.Raw))
	if err != nil {
		b.t.Fatal(err)
	}
	defer consumer.Close()
	var all []taken
	for len(all) < n {
		fetches := consumer.PollFetches(b.t.Context())
		if err := fetches.Err(); err != nil {
			b.t.Fatal(err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			var one taken
			if err := record.Decode(r.Value, &one.raw); err != nil {
				b.t.Error(err)
			}
			if b.open != nil {
				one.address, one.body, err = b.open(envelope.Associated{
					ReceivedAt: one.raw.ReceivedAt, EdgeID: one.raw.EdgeID, EdgeRegion: one.raw.EdgeRegion,
					SchemaFingerprint: one.raw.SchemaFingerprint, Simulated: one.raw.Simulated,
				}, one.raw.Envelope)
			} else {
				one.address, one.body, err = (&envelope.Plain{}).Open(envelope.Associated{}, one.raw.Envelope)
			}
			if err != nil {
				b.t.Error(err)
			}
			one.headers = r.Headers
			all = append(all, one)
		})
	}
	return all
}

// testReport is a report whose id tells it from others.
func testReport() report.Report {
	return report.Report{
		ReportID: uuid.New(), Kind: report.Daily, SentAt: 1_790_000_000_000, Day: 20_717, InstallationID: uuid.New(), HostID: uuid.New(),
		SessionID: uuid.New(), SessionStartedAt: 1_789_999_000_000, Sequence: 1, Consent: report.ConsentFull, PolicyVersion: 1,
		Customer:    report.Customer{CompanyName: "Company", Email: "admin@example.org", LicenceKey: "ABCD-1234"},
		Application: report.Application{Name: "roboserver", Version: "11.5.0.2", Edition: "enterprise"},
		Host:        report.Host{OSName: "linux", OSVersion: "6.1", Architecture: "amd64", CPUCount: 8},
		Counters:    map[string]int64{"steps_executed": 12},
	}
}

func avroOf(t testing.TB, r report.Report) []byte {
	t.Helper()
	data, err := r.AppendAvro(nil)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func jsonOf(t testing.TB, r report.Report) []byte {
	t.Helper()
	data, err := r.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// dial opens a raw connection to the gateway.
func (b *bench) dial() net.Conn {
	b.t.Helper()
	conn, err := net.Dial("tcp", b.service.Addr().String())
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// alterTopic changes settings of reports.raw.
func (b *bench) alterTopic(settings map[string]string) {
	b.t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(b.cluster.ListenAddrs()...))
	if err != nil {
		b.t.Fatal(err)
	}
	defer client.Close()
	var changes []kadm.AlterConfig
	for name, value := range settings {
		if name != "unclean.leader.election.enable" { // this broker has none
			changes = append(changes, kadm.AlterConfig{Op: kadm.SetConfig, Name: name, Value: &value})
		}
	}
	answers, err := kadm.NewClient(client).AlterTopicConfigs(b.t.Context(), changes, topics.Raw)
	if err == nil {
		_, err = answers.On(topics.Raw, func(r *kadm.AlterConfigsResponse) error { return r.Err })
	}
	if err != nil {
		b.t.Fatal(err)
	}
}
