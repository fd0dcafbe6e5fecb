package anonymizer

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"rollcall/pkg/record"
	"rollcall/pkg/report"
	catalogue "rollcall/schemas/metrics"
)

// firstMetric returns the first metric of the catalogue that fits.
func firstMetric(t *testing.T, fits func(m *catalogue.Metric) bool) *catalogue.Metric {
	t.Helper()
	for _, m := range catalogue.Embedded().All() {
		if fits(m) {
			return m
		}
	}
	t.Fatal("the catalogue has no such metric")
	return nil
}

// TestConsent is the table of what each consent lets pass.
func TestConsent(t *testing.T) {
	required := firstMetric(t, func(m *catalogue.Metric) bool {
		return m.Collection == catalogue.Required && m.Kind == catalogue.Counter
	})
	optional := firstMetric(t, func(m *catalogue.Metric) bool {
		return m.Collection == catalogue.Optional && m.Kind == catalogue.Counter && m.SincePolicy == 1
	})
	later := firstMetric(t, func(m *catalogue.Metric) bool { return m.Collection == catalogue.Optional && m.SincePolicy == 2 })
	b := newBench(t)
	type outcome struct {
		Kept                        []int32
		Unknown                     []record.UnknownMetric
		Dropped, Optional, Mismatch int32
	}
	hashed := func(kind, name string) []record.UnknownMetric {
		return []record.UnknownMetric{{Hash: b.licences.MetricHash(kind, name), Kind: kind, Value: 5}}
	}
	for _, test := range []struct {
		name    string
		consent string
		policy  int32
		metric  string
		kind    catalogue.Kind
		want    outcome
	}{
		{"required", report.ConsentRequired, 1, required.Name, required.Kind, outcome{Kept: []int32{int32(required.ID)}}},
		{"required, no policy", report.ConsentRequired, 0, required.Name, required.Kind, outcome{Kept: []int32{int32(required.ID)}}},
		{"required with full consent", report.ConsentFull, 1, required.Name, required.Kind, outcome{Kept: []int32{int32(required.ID)}}},
		{"optional without consent", report.ConsentRequired, 9, optional.Name, optional.Kind, outcome{Optional: 1}},
		{"optional with consent", report.ConsentFull, 1, optional.Name, optional.Kind, outcome{Kept: []int32{int32(optional.ID)}}},
		{"optional, consent to an older policy", report.ConsentFull, 1, later.Name, later.Kind, outcome{Optional: 1}},
		{"optional, consent to its policy", report.ConsentFull, 2, later.Name, later.Kind, outcome{Kept: []int32{int32(later.ID)}}},
		{"unknown without consent", report.ConsentRequired, 9, "what_is_this", catalogue.Gauge, outcome{Dropped: 1}},
		{"unknown with consent", report.ConsentFull, 0, "what_is_this", catalogue.Gauge, outcome{Unknown: hashed("GAUGE", "what_is_this")}},
		{"another case is unknown", report.ConsentFull, 1, strings.ToUpper(required.Name), required.Kind, outcome{Unknown: hashed("COUNTER", strings.ToUpper(required.Name))}},
		{"optional in the wrong map, without consent", report.ConsentRequired, 9, optional.Name, catalogue.Distinct, outcome{Optional: 1, Mismatch: 1}},
		{"optional in the wrong map, consent to an older policy", report.ConsentFull, 1, later.Name, catalogue.Distinct, outcome{Optional: 1, Mismatch: 1}},
		{"optional in the wrong map, with consent", report.ConsentFull, 2, later.Name, catalogue.Distinct, outcome{Unknown: hashed("DISTINCT", later.Name), Mismatch: 1}},
		{"required in the wrong map, without consent", report.ConsentRequired, 1, required.Name, catalogue.Distinct, outcome{Dropped: 1, Mismatch: 1}},
		{"required in the wrong map, with consent", report.ConsentFull, 1, required.Name, catalogue.Distinct, outcome{Unknown: hashed("DISTINCT", required.Name), Mismatch: 1}},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := sample()
			r.Consent, r.PolicyVersion = test.consent, test.policy
			clear(r.Counters)
			clear(r.Gauges)
			clear(r.Distincts)
			mapOf(r, test.kind)[test.metric] = 5
			clean, _ := b.clean(r)
			got := outcome{clean.MetricIDs, clean.Unknown, clean.UnknownDropped, clean.OptionalDropped, clean.KindMismatches}
			if diff := cmp.Diff(test.want, got, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// TestManyUnknownMetrics: the first 50 by name cross, whatever map they are in.
func TestManyUnknownMetrics(t *testing.T) {
	b, r := newBench(t), sample()
	for i := range 10_000 {
		r.Counters[fmt.Sprintf("u%05d", i)] = int64(i)
	}
	r.Gauges["u00003"] = -7
	clean, _ := b.clean(r)
	if len(clean.Unknown) != maxUnknown || clean.UnknownDropped != 10_001-maxUnknown || len(clean.MetricIDs) != 25 {
		t.Fatalf("%d unknown kept, %d dropped, %d known", len(clean.Unknown), clean.UnknownDropped, len(clean.MetricIDs))
	}
	var want []record.UnknownMetric
	for i := range maxUnknown - 1 {
		name := fmt.Sprintf("u%05d", i)
		want = append(want, record.UnknownMetric{Hash: b.licences.MetricHash("COUNTER", name), Kind: "COUNTER", Value: int64(i)})
		if i == 3 {
			want = append(want, record.UnknownMetric{Hash: b.licences.MetricHash("GAUGE", name), Kind: "GAUGE", Value: -7})
		}
	}
	if diff := cmp.Diff(want, clean.Unknown); diff != "" {
		t.Errorf("unknown (-want +got):\n%s", diff)
	}
	if r, _ := b.clean(sample()); len(r.Unknown) != 0 || r.UnknownDropped != 0 {
		t.Errorf("the next report has %d unknown metrics of this one", len(r.Unknown))
	}
}

// TestSelectionProperty: every metric of a report is kept, hashed or counted, exactly
// once, and ids ascend.
func TestSelectionProperty(t *testing.T) {
	b := newBench(t)
	names := []string{"a", "b", "nothing", ""}
	for _, m := range catalogue.Embedded().All() {
		names = append(names, m.Name)
	}
	metrics := rapid.MapOfN(rapid.SampledFrom(names), rapid.Int64(), 0, len(names))
	rapid.Check(t, func(t *rapid.T) {
		r := sample()
		r.Counters, r.Gauges, r.Distincts = metrics.Draw(t, "counters"), metrics.Draw(t, "gauges"), metrics.Draw(t, "distincts")
		r.Consent = rapid.SampledFrom([]string{report.ConsentRequired, report.ConsentFull}).Draw(t, "consent")
		r.PolicyVersion = rapid.Int32Range(-1, 3).Draw(t, "policy")
		clean, _ := b.clean(r)
		sent := len(r.Counters) + len(r.Gauges) + len(r.Distincts)
		if got := len(clean.MetricIDs) + len(clean.Unknown) + int(clean.UnknownDropped+clean.OptionalDropped); got != sent {
			t.Fatalf("%d metrics were sent, %d are accounted for", sent, got)
		}
		if !slices.IsSorted(clean.MetricIDs) || len(slices.Compact(slices.Clone(clean.MetricIDs))) != len(clean.MetricIDs) {
			t.Fatalf("ids do not ascend: %v", clean.MetricIDs)
		}
		if len(clean.MetricValues) != len(clean.MetricIDs) {
			t.Fatalf("%d values of %d metrics", len(clean.MetricValues), len(clean.MetricIDs))
		}
		for i, id := range clean.MetricIDs {
			m, _ := catalogue.Embedded().ByID(uint16(id))
			if value, ok := mapOf(r, m.Kind)[m.Name]; !ok || value != clean.MetricValues[i] {
				t.Fatalf("%s is %d, sent was %d", m.Name, clean.MetricValues[i], value)
			}
			if m.Collection == catalogue.Optional && (r.Consent != report.ConsentFull || r.PolicyVersion < m.SincePolicy) {
				t.Fatalf("%s passed without consent", m.Name)
			}
		}
		for _, m := range catalogue.Embedded().All() {
			if m.Collection == catalogue.Required || r.Consent == report.ConsentFull && r.PolicyVersion >= m.SincePolicy {
				continue
			}
			for _, u := range clean.Unknown {
				if u.Hash == b.licences.MetricHash(u.Kind, m.Name) {
					t.Fatalf("%s passed as a hash without consent", m.Name)
				}
			}
		}
	})
}

// TestConsentOfEachReport: a report is judged by its own consent alone, whatever came
// before it from the same session.
func TestConsentOfEachReport(t *testing.T) {
	b := newBench(t)
	optional := firstMetric(t, func(m *catalogue.Metric) bool {
		return m.Collection == catalogue.Optional && m.Kind == catalogue.Counter && m.SincePolicy == 1
	})
	for n, consent := range []string{report.ConsentFull, report.ConsentRequired, report.ConsentFull, report.ConsentRequired, report.ConsentRequired} {
		r := sample()
		r.Consent, r.Sequence, r.Counters = consent, int64(n+1), map[string]int64{optional.Name: int64(n), "nobody_knows": 1}
		clean, _ := b.clean(r)
		full := consent == report.ConsentFull
		if kept := slices.Contains(clean.MetricIDs, int32(optional.ID)); kept != full || (len(clean.Unknown) > 0) != full || clean.Consent != consent {
			t.Errorf("report %d, %s: optional kept %t, %d unknown", n+1, consent, kept, len(clean.Unknown))
		}
	}
}

// TestRequiredOfALaterPolicy: what a later policy made required is not collected from
// who agreed to an earlier one; what the first one requires always is.
func TestRequiredOfALaterPolicy(t *testing.T) {
	for _, test := range []struct {
		since, agreed int32
		covered       bool
	}{{1, 1, true}, {1, 0, true}, {1, -1, true}, {2, 1, false}, {2, 0, false}, {2, 2, true}, {2, 3, true}} {
		s := selection{policyVersion: test.agreed}
		why, covered := s.covers(&catalogue.Metric{Collection: catalogue.Required, SincePolicy: test.since})
		if covered != test.covered || !covered && why != dropPolicy {
			t.Errorf("since policy %d, agreed to %d: covered %t, reason %v", test.since, test.agreed, covered, why)
		}
	}
	b := newBench(t)
	for _, m := range catalogue.Embedded().All() { // required ones are counted by metric too
		b.metrics.drop(m.ID, dropPolicy)
		if n := b.metrics.dropped[m.ID][dropPolicy].Load(); n != 1 {
			t.Errorf("%s was counted %d times", m.Name, n)
		}
	}
}
