//go:build embedded

package audit

import (
	"log/slog"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kgo"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"rollcall/pkg/telemetry"
	"rollcall/pkg/topics"
)

// An auditor that is started again and again, and never gets to its second look, is as old
// as the last audit that succeeded, in whatever process.
func TestTheAgeOfAnAuditOutlivesItsProcess(t *testing.T) {
	w := newWorld(t, 3)
	age := func(opts Options, looks int) time.Duration {
		t.Helper()
		reader := sdkmetric.NewManualReader()
		tel := telemetry.Discard()
		tel.Logger = slog.New(slog.DiscardHandler)
		tel.Meter = sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader)).Meter("t")
		watcher, err := NewWatcher(w.admin, w.conn, opts, tel)
		if err != nil {
			t.Fatal(err)
		}
		for range looks {
			if err := watcher.look(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		var all metricdata.ResourceMetrics
		if err := reader.Collect(t.Context(), &all); err != nil {
			t.Fatal(err)
		}
		if len(all.ScopeMetrics) == 0 {
			return -1
		}
		for _, m := range all.ScopeMetrics[0].Metrics {
			if data, ok := m.Data.(metricdata.Gauge[float64]); ok && m.Name == "rollcall.audit.age" {
				return time.Duration(data.DataPoints[0].Value * float64(time.Second))
			}
		}
		return -1
	}
	if got := age(Options{}, 1); got > time.Hour {
		t.Errorf("the first audit of all is %v old", got)
	}
	w.audit(Options{})
	w.later(3 * time.Hour)
	if got := age(Options{}, 0); got != -1 {
		t.Errorf("before ClickHouse was asked: %v, which says that an audit has just succeeded", got)
	}
	if got := age(Options{}, 1); got < 3*time.Hour || got > 4*time.Hour {
		t.Errorf("after a start: %v, want 3 hours", got)
	}
	if got := age(Options{KeepNothing: true}, 1); got > time.Hour {
		t.Errorf("it keeps nothing, and takes its age from others: %v", got)
	}
	if got := age(Options{}, 2); got > time.Hour {
		t.Errorf("after an audit: %v", got)
	}
	if got := age(Options{}, 1); got > time.Hour {
		t.Errorf("after the next start: %v", got)
	}
	if err := w.conn.Exec(t.Context(), "RENAME TABLE session_days TO away"); err != nil {
		t.Fatal(err)
	}
	w.later(3 * time.Hour)
	w.receipts(landed(0))
	if _, err := Audit(t.Context(), w.admin, w.conn, Options{}); err == nil {
		t.Fatal("an audit without session-days succeeded")
	}
	if since, ever, err := sinceKept(t.Context(), w.conn); err != nil || !ever || since < 3*time.Hour {
		t.Errorf("an audit that failed counts as one: %v, %v, %v", since, ever, err)
	}
}

// What came since the last look is on its way; what was there then and still has no
// receipt is missing.
func TestWatcherGivesReportsOneLook(t *testing.T) {
	w := newWorld(t, 3, 1)
	reader := sdkmetric.NewManualReader()
	tel := telemetry.Discard()
	tel.Logger = slog.New(slog.DiscardHandler)
	tel.Meter = sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader)).Meter("t")
	watcher, err := NewWatcher(w.admin, w.conn, Options{}, tel)
	if err != nil {
		t.Fatal(err)
	}
	look := func() map[string]int64 {
		t.Helper()
		if err := watcher.look(t.Context()); err != nil {
			t.Fatal(err)
		}
		var all metricdata.ResourceMetrics
		if err := reader.Collect(t.Context(), &all); err != nil {
			t.Fatal(err)
		}
		values := map[string]int64{}
		for _, m := range all.ScopeMetrics[0].Metrics {
			if data, ok := m.Data.(metricdata.Gauge[int64]); ok {
				values[m.Name] = data.DataPoints[0].Value
			}
		}
		return values
	}
	want := func(offsets, expired int64) map[string]int64 {
		return map[string]int64{"rollcall.audit.missing": offsets, "rollcall.audit.expired": expired, "rollcall.audit.state_missing": 0}
	}
	if diff := cmp.Diff(want(0, 0), look()); diff != "" {
		t.Errorf("first look: %s", diff)
	}
	if diff := cmp.Diff(want(4, 0), look()); diff != "" {
		t.Errorf("second look, no receipts: %s", diff)
	}
	w.receipts(receipt{partition: 0, offset: 0}, receipt{partition: 0, offset: 2}, receipt{partition: 1, offset: 0})
	if diff := cmp.Diff(want(1, 0), look()); diff != "" {
		t.Errorf("one receipt is missing: %s", diff)
	}
	w.receipts(receipt{partition: 0, offset: 1})
	w.produce(kgo.Record{Topic: topics.Raw, Partition: 1})
	if diff := cmp.Diff(want(0, 0), look()); diff != "" {
		t.Errorf("one record is new: %s", diff)
	}
	if diff := cmp.Diff(want(1, 0), look()); diff != "" {
		t.Errorf("it has had its look: %s", diff)
	}
	w.expire(1, 2)
	if diff := cmp.Diff(want(0, 1), look()); diff != "" {
		t.Errorf("the topic has lost it: %s", diff)
	}
}
