package enricher

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"rollcall/pkg/fault"
	"rollcall/pkg/health"
	"rollcall/pkg/record"
	"rollcall/pkg/registry"
	"rollcall/pkg/relay"
	"rollcall/pkg/retention"
	"rollcall/pkg/telemetry"
	"rollcall/pkg/topics"
	catalogue "rollcall/schemas/metrics"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func ptr[T any](v T) *T { return &v }

func id(n int) uuid.UUID { return uuid.NewSHA1(uuid.Nil, fmt.Append(nil, n)) }

// Metric ids of the test's catalogue.
const (
	steps    = 1 // roboserver, at most 100 per CPU and day
	http     = 2 // roboserver, unbounded
	projects = 3 // management_console, at most 10
	uptime   = 4 // any application, unbounded
	oldPuts  = 5 // roboserver, retired
	newer    = 9 // not in the catalogue
)

func metrics(t testing.TB) *catalogue.Catalogue {
	t.Helper()
	var source strings.Builder
	source.WriteString("metrics:\n")
	for _, m := range []struct {
		id                           int
		name, application, lifecycle string
		bound                        int
	}{
		{steps, "steps", "roboserver", "active", 100},
		{http, "http", "roboserver", "active", 0},
		{projects, "projects", "management_console", "active", 10},
		{uptime, "uptime", "any", "legacy", 0},
		{oldPuts, "puts", "roboserver", "retired", 0},
	} {
		fmt.Fprintf(&source, "- {id: %d, name: %s, description: d, kind: counter, unit: \"1\", application: %s, collection: required, purpose: p, lifecycle: %s, since: \"1\", since_policy: 1, owner: o, plausible_max_per_cpu_day: %d}\n",
			m.id, m.name, m.application, m.lifecycle, m.bound)
	}
	c, err := catalogue.Load(fstest.MapFS{"metrics.yaml": {Data: []byte(source.String())}})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

const (
	today    = 20000
	received = today*dayMillis + dayMillis/2
)

// cleanReport is one that nothing is wrong with.
func cleanReport(values map[int32]int64) record.Clean {
	c := record.Clean{
		Lineage: record.Lineage{TopicID: id(100), Partition: 1, Offset: 2}, ReceivedAt: received, EdgeRegion: "eu",
		LicenceID: id(1), ReportID: id(2), InstallationID: id(3), HostID: id(4), SessionID: id(5),
		Kind: "DAILY", SentAt: received - 1000, Day: today, SessionStartedAt: received - 5000, Sequence: 1, Consent: "FULL", PolicyVersion: 1,
		Application: "roboserver", Version: "11.5.0.2", Edition: "enterprise", OSName: "linux", OSVersion: "5.15", Architecture: "amd64", CPUCount: 4,
	}
	for id := range values {
		c.MetricIDs = append(c.MetricIDs, id)
	}
	slices.Sort(c.MetricIDs)
	for _, id := range c.MetricIDs {
		c.MetricValues = append(c.MetricValues, values[id])
	}
	return c
}

func registered(cpus *int64) registry.Answer {
	return registry.Answer{Known: true, Found: true, Terms: record.Licence{ValidFrom: 100, EntitledCPUs: cpus}}
}

func TestNormalises(t *testing.T) {
	for in, want := range map[string]string{
		"11.5.0.2": "11.5.0.2", "11.05.0.02": "11.5.0.2", "11": "11", "11.0.0": "11.0.0", "1.2.3.4.5": "1.2.3.4", "00.000": "0.0",
		"": other, ".": other, "1.": other, ".1": other, "1..2": other, "1a": other, "1.2.3.4.x": other, other: other, "-1": other, "１": other,
	} {
		if got := release(in, versionNumbers); got != want {
			t.Errorf("version %q is %q, want %q", in, got, want)
		}
	}
	for in, want := range map[string]string{"10.0.19045": "10.0", "22.04": "22.4", "6": "6"} {
		if got := release(in, osVersionNumbers); got != want {
			t.Errorf("OS version %q is %q, want %q", in, got, want)
		}
	}
	for in, want := range map[string]string{
		"windows": "windows", "windows server 2022": "windows", "windows 11": "windows", "linux": "linux", "ubuntu": "linux", "rhel": "linux",
		"macos": "macos", "aix": "aix", "solaris": "solaris", "freebsd": other, "hp-ux": other, other: other, "": other, "windowsill": other,
	} {
		if got := osFamily(in); got != want {
			t.Errorf("family of %q is %q, want %q", in, got, want)
		}
	}
}

func TestNormalisingIsIdempotent(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text, numbers := rapid.StringMatching(`[0-9.]{0,12}`).Draw(t, "text"), rapid.IntRange(1, 5).Draw(t, "numbers")
		once := release(text, numbers)
		if twice := release(once, numbers); twice != once {
			t.Errorf("%q becomes %q, then %q", text, once, twice)
		}
	})
}

func TestWindow(t *testing.T) {
	w := window{8, 1}
	for _, c := range []struct {
		day        int32
		receivedAt int64
		want       bool
	}{
		{today, received, true}, {today - 8, received, true}, {today - 9, received, false}, {today + 1, received, true}, {today + 2, received, false},
		{today - 8, (today+1)*dayMillis - 1, true}, {today - 8, (today + 1) * dayMillis, false},
		{0, received, false}, {math.MaxInt32, received, false}, {math.MinInt32, received, false},
		{-1, -1, true}, {-10, -1, false}, {math.MaxInt32, math.MaxInt64, false}, {math.MinInt32, math.MinInt64, false},
	} {
		if got := w.holds(c.day, c.receivedAt); got != c.want {
			t.Errorf("day %d received at %d: %v, want %v", c.day, c.receivedAt, got, c.want)
		}
	}
}

func newHandler(t testing.TB, terms ...record.Licence) *handler {
	t.Helper()
	client, err := kgo.NewClient()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return &handler{
		judge: newJudge(metrics(t)), window: window{8, 1}, registry: registry.New(client, &health.Checks{}, telemetry.Discard()),
		judged: newTallies(noopCounter(t)),
	}
}

func encode(t testing.TB, clean record.Clean) []byte {
	t.Helper()
	data, err := record.Append(nil, &clean)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestHandles(t *testing.T) {
	h := newHandler(t)
	clean := cleanReport(map[int32]int64{steps: 400, http: -1, projects: 41})
	clean.Version, clean.OSName, clean.OSVersion = "11.05.0.2.7", "ubuntu", "22.04.1"
	var subject relay.Subject
	out, err := h.Handle(context.Background(), &kgo.Record{Value: encode(t, clean)}, &subject)
	if err != nil || len(out) != 1 {
		t.Fatalf("%d records, %v", len(out), err)
	}
	if out[0].Topic != topics.Usage || !slices.Equal(out[0].Key, clean.InstallationID[:]) {
		t.Errorf("topic %s, key %x", out[0].Topic, out[0].Key)
	}
	var got record.Usage
	if err := record.Decode(out[0].Value, &got); err != nil {
		t.Fatal(err)
	}
	want := record.Usage{Clean: cleanReport(map[int32]int64{steps: 400}), SuspectIDs: []int32{projects}, SuspectValues: []int64{41}, RefusedIDs: []int32{http},
		Flags: []string{flagUnknownLicence, flagForeignMetric, flagRefusedValue, flagSuspectValue}}
	want.Version, want.OSName, want.OSVersion = "11.5.0.2", "linux", "22.4"
	want.Unknown = []record.UnknownMetric{}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("usage (-want +got):\n%s", diff)
	}
	wantSubject := relay.Subject{Lineage: &want.Lineage, LicenceID: &want.LicenceID, ReportID: &want.ReportID, ReceivedAt: &want.ReceivedAt}
	if diff := cmp.Diff(wantSubject, subject); diff != "" {
		t.Errorf("subject (-want +got):\n%s", diff)
	}
}

func TestRefuses(t *testing.T) {
	h := newHandler(t)
	good := encode(t, cleanReport(nil))
	with := func(change func(*record.Clean)) []byte {
		c := cleanReport(map[int32]int64{steps: 1, http: 2})
		change(&c)
		return encode(t, c)
	}
	foreign := slices.Clone(good)
	foreign[2] ^= 0xff
	for name, c := range map[string]struct {
		value  []byte
		reason string // empty: held
		path   string
		known  bool // the subject is
	}{
		"empty":               {nil, reasonMalformedRecord, "", false},
		"cut":                 {good[:len(good)-1], reasonMalformedRecord, "", false},
		"trailing byte":       {append(slices.Clone(good), 0), reasonMalformedRecord, "", false},
		"unknown fingerprint": {foreign, "", "", false},
		"a value too many":    {with(func(c *record.Clean) { c.MetricValues = append(c.MetricValues, 1) }), reasonMalformedRecord, "metric_values", true},
		"an id twice":         {with(func(c *record.Clean) { c.MetricIDs[1] = c.MetricIDs[0] }), reasonMalformedRecord, "metric_ids", true},
		"ids not ascending":   {with(func(c *record.Clean) { slices.Reverse(c.MetricIDs) }), reasonMalformedRecord, "metric_ids", true},
		"id 0":                {with(func(c *record.Clean) { c.MetricIDs[0] = 0 }), reasonMalformedRecord, "metric_ids", true},
		"an id of 17 bits":    {with(func(c *record.Clean) { c.MetricIDs[1] = 1 << 16 }), reasonMalformedRecord, "metric_ids", true},
		"sequence 0":          {with(func(c *record.Clean) { c.Sequence = 0 }), reasonSequence, "sequence", true},
		"a negative sequence": {with(func(c *record.Clean) { c.Sequence = math.MinInt64 }), reasonSequence, "sequence", true},
		"nine days old":       {with(func(c *record.Clean) { c.Day = today - 9 }), reasonDayOutside, "day", true},
		"1970":                {with(func(c *record.Clean) { c.Day = 0 }), reasonDayOutside, "day", true},
		"2099":                {with(func(c *record.Clean) { c.Day = 47400 }), reasonDayOutside, "day", true},
	} {
		t.Run(name, func(t *testing.T) {
			var subject relay.Subject
			out, err := h.Handle(context.Background(), &kgo.Record{Value: c.value}, &subject)
			var (
				reject *fault.RejectError
				hold   *fault.HoldError
			)
			switch {
			case len(out) > 0:
				t.Error("it came through")
			case c.reason == "" && !errors.As(err, &hold):
				t.Errorf("error %v, want a hold", err)
			case c.reason != "" && (!errors.As(err, &reject) || reject.Reason != c.reason || reject.FieldPath != c.path):
				t.Errorf("error %v, want %s at %q", err, c.reason, c.path)
			}
			if (subject.Lineage != nil) != c.known || (subject.ReportID != nil) != c.known {
				t.Errorf("subject %+v", subject)
			}
		})
	}
}

func FuzzHandle(f *testing.F) {
	h := newHandler(f)
	f.Add(encode(f, cleanReport(map[int32]int64{steps: 400, http: -1, newer: math.MaxInt64})))
	f.Add([]byte{0xc3, 1})
	f.Fuzz(func(t *testing.T, value []byte) {
		var subject relay.Subject
		out, err := h.Handle(context.Background(), &kgo.Record{Value: value}, &subject)
		if (err == nil) != (len(out) == 1) {
			t.Errorf("%d records with error %v", len(out), err)
		}
		if err != nil {
			var fatal *fault.FatalError
			if fault.IsRetry(err) || errors.As(err, &fatal) {
				t.Errorf("neither refused nor held: %v", err)
			}
			return
		}
		var usage record.Usage
		if err := record.Decode(out[0].Value, &usage); err != nil {
			t.Errorf("what was written cannot be read: %v", err)
		}
	})
}

func TestReasonsAndFlagsAreDocumented(t *testing.T) {
	docs, err := os.ReadFile("../../docs/dead-letters.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, word := range []string{
		reasonMalformedRecord, reasonDayOutside, reasonSequence, relay.ReasonTooLarge,
		flagUnknownLicence, flagOutsideValidity, flagForeignMetric, flagRetiredMetric, flagRefusedValue, flagSuspectValue,
		flagKindMismatch, flagClockSkew, flagBadCPUCount, flagSimulated,
	} {
		if !strings.Contains(string(docs), "`"+word+"`") {
			t.Errorf("%s is not in docs/dead-letters.md", word)
		}
	}
}

func TestValidatesTheConfiguration(t *testing.T) {
	if err := (Config{Group: "g", WindowPastDays: 8, WindowFutureDays: 1}).Validate(); err != nil {
		t.Error(err)
	}
	if err := (Config{Group: "g", WindowPastDays: retention.MaxWindowDays}).Validate(); err != nil {
		t.Error(err)
	}
	if err := (Config{Group: "g", WindowPastDays: retention.MaxWindowDays + 1}).Validate(); err == nil {
		t.Error("a window is accepted whose reports may come too late to count")
	}
	err := Config{WindowPastDays: -1, WindowFutureDays: 1000}.Validate()
	for _, field := range []string{"group", "window_past_days", "window_future_days"} {
		if err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("no word of %s: %v", field, err)
		}
	}
}

func BenchmarkHandle(b *testing.B) {
	values := map[int32]int64{}
	for _, m := range catalogue.Embedded().All()[:40] {
		values[int32(m.ID)] = 1000
	}
	h := newHandler(b)
	h.judge = newJudge(catalogue.Embedded())
	in := &kgo.Record{Value: encode(b, cleanReport(values))}
	b.ReportAllocs()
	for b.Loop() {
		var subject relay.Subject
		if _, err := h.Handle(context.Background(), in, &subject); err != nil {
			b.Fatal(err)
		}
	}
}
