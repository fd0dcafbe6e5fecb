package anonymizer

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.opentelemetry.io/otel/metric"
	"go.uber.org/goleak"

	"rollcall/pkg/envelope"
	"rollcall/pkg/geoip"
	"rollcall/pkg/geoip/geoiptest"
	"rollcall/pkg/health"
	"rollcall/pkg/keystore"
	"rollcall/pkg/pseudonym"
	"rollcall/pkg/record"
	"rollcall/pkg/relay"
	"rollcall/pkg/report"
	"rollcall/pkg/telemetry"
	"rollcall/pkg/topics"
	catalogue "rollcall/schemas/metrics"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const testLicenceKey = "ABCD-1234-EFGH-5678"

// bench is a handler with everything real around it but Kafka.
type bench struct {
	t        testing.TB
	handler  *handler
	keyDir   string
	keys     *keystore.Directory
	licences *pseudonym.Licences
	plain    *envelope.Plain
	checks   *health.Checks
	metrics  *instruments
	known    map[uuid.UUID]bool
	received time.Time
	offset   int64
}

func newBench(t testing.TB) *bench { return newBenchWith(t, telemetry.Discard().Meter) }

func newBenchWith(t testing.TB, meter metric.Meter) *bench {
	t.Helper()
	b := &bench{t: t, keyDir: filepath.Join(t.TempDir(), "keys"), checks: &health.Checks{}, known: map[uuid.UUID]bool{}, received: time.Now(), offset: 100}
	b.maintain(b.received)
	var err error
	if b.keys, err = keystore.Open(b.keyDir); err != nil {
		t.Fatal(err)
	}
	pepper, err := b.keys.Key(keystore.Pepper, keystore.PepperEpoch)
	if err != nil {
		t.Fatal(err)
	}
	b.licences = pseudonym.New(pepper)
	b.plain = &envelope.Plain{}
	opener, err := envelope.NewHybridOpener(b.keys)
	if err != nil {
		t.Fatal(err)
	}
	if b.metrics, err = newInstruments(meter, catalogue.Embedded()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.metrics.close)
	b.handler, err = newHandler(Config{Group: "g", IdentityCacheEntries: 100}, Deps{
		Keys: b.keys, Opener: opener, GeoIP: testGeoIP(t), Catalogue: catalogue.Embedded(), Checks: b.checks, Telemetry: telemetry.Discard(),
	}, func(licence uuid.UUID) bool { return b.known[licence] }, b.metrics)
	if err != nil {
		t.Fatal(err)
	}
	b.handler.topicID = uuid.MustParse("99999999-0000-0000-0000-000000000000")
	return b
}

func (b *bench) maintain(now time.Time) {
	b.t.Helper()
	if _, err := keystore.Maintain(b.keyDir, now, keystore.MaintainOptions{}); err != nil {
		b.t.Fatal(err)
	}
}

// testGeoIP knows 203.0.113.0/24 (DK, 64500) and 2001:db8::/32 (NO).
func testGeoIP(t testing.TB) *geoip.DB {
	t.Helper()
	countries := geoiptest.New("Test-Country")
	countries.Add("203.0.113.0/24", map[string]any{"country_code": "DK"})
	countries.Add("2001:db8::/32", map[string]any{"country_code": "NO"})
	dir := t.TempDir()
	country, systems := filepath.Join(dir, "country.mmdb"), filepath.Join(dir, "asn.csv")
	for path, content := range map[string][]byte{country: countries.Bytes(), systems: []byte("203.0.113.0,203.0.113.255,64500,Example\n")} {
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	db, err := geoip.Open(country, systems)
	if err != nil {
		t.Fatal(err)
	}
	return db
}

func testAddress() netip.Addr { return netip.MustParseAddr("203.0.113.77") }

// sample is a RoboServer's report with 25 catalogued metrics.
func sample() *report.Report {
	r := &report.Report{
		ReportID: uuid.MustParse("0198f2a1-7d3c-7abc-8def-0123456789ab"), Kind: report.Daily, SentAt: 1_790_000_000_123, Day: 20_717,
		InstallationID: uuid.MustParse("11111111-2222-4333-8444-555555555555"), HostID: uuid.MustParse("21111111-2222-4333-8444-555555555555"),
		SessionID: uuid.MustParse("31111111-2222-4333-8444-555555555555"), SessionStartedAt: 1_789_999_000_000, Sequence: 7,
		Consent: report.ConsentFull, PolicyVersion: 3,
		Customer:    report.Customer{CompanyName: "Customer 0001 & Søn", Email: "Admin@Example.org", LicenceKey: testLicenceKey},
		Application: report.Application{Name: "roboserver", Version: "11.5.0.2", Edition: "enterprise"},
		Host:        report.Host{OSName: "Linux", OSVersion: "5.15.0-91-generic", Architecture: "x86_64", CPUCount: 8},
		Counters:    map[string]int64{}, Gauges: map[string]int64{}, Distincts: map[string]int64{},
	}
	n := int64(0)
	for _, m := range catalogue.Embedded().All() {
		if m.Application == "management_console" || n == 25 {
			continue
		}
		n++
		mapOf(r, m.Kind)[m.Name] = n * 1_000_003
	}
	return r
}

func mapOf(r *report.Report, kind catalogue.Kind) map[string]int64 {
	return map[catalogue.Kind]map[string]int64{catalogue.Counter: r.Counters, catalogue.Gauge: r.Gauges, catalogue.Distinct: r.Distincts}[kind]
}

// raw returns the record of a report as the gateway writes it, at the next offset.
func (b *bench) raw(r *report.Report, address netip.Addr) *kgo.Record {
	b.t.Helper()
	data, err := r.AppendAvro(nil)
	if err != nil {
		b.t.Fatal(err)
	}
	return b.rawBody(data[10:], address)
}

func (b *bench) rawBody(body []byte, address netip.Addr) *kgo.Record {
	b.t.Helper()
	raw := record.Raw{ReceivedAt: b.received.UnixMilli(), EdgeID: "edge-1", EdgeRegion: "eu", SchemaFingerprint: report.Newest()}
	var err error
	raw.Envelope, err = b.plain.Seal(envelope.Associated{
		ReceivedAt: raw.ReceivedAt, EdgeID: raw.EdgeID, EdgeRegion: raw.EdgeRegion, SchemaFingerprint: raw.SchemaFingerprint,
	}, address, body)
	if err != nil {
		b.t.Fatal(err)
	}
	return b.record(&raw)
}

func (b *bench) record(raw *record.Raw) *kgo.Record {
	b.t.Helper()
	value, err := record.Append(nil, raw)
	if err != nil {
		b.t.Fatal(err)
	}
	b.offset++
	return &kgo.Record{Topic: topics.Raw, Partition: 3, Offset: b.offset, Value: value}
}

func (b *bench) handle(in *kgo.Record) ([]*kgo.Record, *relay.Subject, error) {
	var subject relay.Subject
	out, err := b.handler.Handle(b.t.Context(), in, &subject)
	return out, &subject, err
}

// clean handles a report and returns its clean form, and the identities where there are any.
func (b *bench) clean(r *report.Report) (*record.Clean, []*record.Identity) {
	b.t.Helper()
	out, _, err := b.handle(b.raw(r, testAddress()))
	if err != nil {
		b.t.Fatal(err)
	}
	clean, identities, err := decode(out)
	if err != nil {
		b.t.Fatal(err)
	}
	return clean, identities
}

func decode(out []*kgo.Record) (*record.Clean, []*record.Identity, error) {
	var clean *record.Clean
	var identities []*record.Identity
	for _, r := range out {
		switch r.Topic {
		case topics.Clean:
			clean = new(record.Clean)
			if err := record.Decode(r.Value, clean); err != nil {
				return nil, nil, err
			}
		case topics.Identities:
			identity := new(record.Identity)
			if err := record.Decode(r.Value, identity); err != nil {
				return nil, nil, err
			}
			identities = append(identities, identity)
		default:
			return nil, nil, fmt.Errorf("a record for the topic %s", r.Topic)
		}
	}
	if clean == nil {
		return nil, nil, fmt.Errorf("no clean report among %d records", len(out))
	}
	return clean, identities, nil
}
