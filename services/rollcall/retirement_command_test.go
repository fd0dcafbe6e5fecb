//go:build embedded

package main

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"rollcall/pkg/identity"
	"rollcall/pkg/record"
	"rollcall/pkg/retirement"
	"rollcall/pkg/rollup"
	"rollcall/pkg/telemetry"
	catalogue "rollcall/schemas/metrics"
)

// retire lands terms of a licence and its reports of every fifth day, with the values of a metric.
func (o *office) retire(licence uuid.UUID, metric string, value uint64) {
	o.t.Helper()
	m, ok := catalogue.Embedded().Metric(metric)
	if !ok {
		o.t.Fatalf("no metric %s", metric)
	}
	if err := o.conn.Exec(o.t.Context(), "INSERT INTO licences (licence_id, valid_from, version) VALUES (?, '2020-01-01', 1)", licence); err != nil {
		o.t.Fatal(err)
	}
	batch, err := o.conn.PrepareBatch(o.t.Context(), "INSERT INTO session_days (licence_id, installation_id, session_id, day, application, sequence, kind, consent, policy_version, app_version, `values`)")
	if err != nil {
		o.t.Fatal(err)
	}
	for back := 1; back < 90; back += 5 {
		day := time.Now().UTC().AddDate(0, 0, -back)
		if err := batch.Append(licence, licence, uuid.New(), day, m.Application, uint64(1), "DAILY", "FULL", int32(1), "11.5", map[uint16]uint64{m.ID: value}); err != nil {
			o.t.Fatal(err)
		}
	}
	if err := batch.Send(); err != nil {
		o.t.Fatal(err)
	}
}

// settle computes what the views answer from.
func (o *office) settle() {
	o.t.Helper()
	const marks = "INSERT INTO dirty_days (day, source, position, marked_at) SELECT DISTINCT day, 'test', 1, now64(3) FROM session_days"
	if err := o.conn.Exec(o.t.Context(), marks); err != nil {
		o.t.Fatal(err)
	}
	recomputer, err := rollup.New(rollup.Config{Threads: 2}, o.conn, telemetry.Discard())
	if err != nil {
		o.t.Fatal(err)
	}
	if _, err := recomputer.Settle(o.t.Context()); err != nil {
		o.t.Fatal(err)
	}
}

// TestRetirement: everybody sees how many, the steward alone which and who, once it is logged.
func TestRetirement(t *testing.T) {
	const metric = "feature_excel_ole" // removed in 12.0
	o := newOffice(t)
	if err := rollup.LandCatalogue(t.Context(), o.conn, catalogue.Embedded()); err != nil {
		t.Fatal(err)
	}
	sought := o.pseudonyms.LicenceID(soughtKey)
	o.retire(sought, metric, 7)
	for range 20 {
		o.retire(uuid.New(), metric, 0)
	}
	o.settle()
	o.keep(record.Identity{Kind: record.IdentityCompany, Subject: o.pseudonyms.Company(sought)}, identity.OfCompany("Sought 0047", soughtKey), time.Now())

	store := o.flags[2:]
	code, stdout, stderr := command(t, append([]string{"retirement", "--metric", metric, "--release", "12.0", "--output", "json"}, store...)...)
	var report retirement.Report
	if err := json.Unmarshal([]byte(stdout), &report); code != exitDone || err != nil {
		t.Fatalf("exit %d, %v: %s", code, err, stderr)
	}
	f := report.Features[0]
	if report.ValidLicences != 21 || len(report.Features) != 1 || f.Licences.Used != 1 || f.Licences.Unused != 20 || f.Verdict != retirement.Keep || f.Use.Total != "126" {
		t.Errorf("%+v", report)
	}
	if report.Release == nil || report.Release.Breaks != 1 || strings.Contains(stdout, sought.String()) {
		t.Errorf("what breaks: %+v; or the licence is named", report.Release)
	}
	code, stdout, stderr = command(t, append([]string{"retirement"}, store...)...)
	if code != exitDone || !strings.Contains(stdout, metric+": keep. Of 21 licences seen in 90 days 1 used it; none is dark.") || strings.Contains(stdout, sought.String()) {
		t.Errorf("exit %d: %s%s", code, stdout, stderr)
	}

	code, stdout, stderr = o.steward("breaking", "--release", "12.0", "--reason", "CASE-7", "--output", "json")
	var found []stewardBroken
	if err := json.Unmarshal([]byte(stdout), &found); code != exitDone || err != nil {
		t.Fatalf("exit %d, %v: %s", code, err, stderr)
	}
	if len(found) != 1 || found[0].Licence != sought || len(found[0].Identities) != 1 || found[0].Identities[0].Company != "Sought 0047" || found[0].Metrics[0] != metric {
		t.Errorf("%+v", found)
	}
	entries := o.entries()
	if len(entries) != 1 || entries[0].Action != actionBreaking || entries[0].LicenceID != sought || entries[0].Reason != "CASE-7" {
		t.Errorf("the log says %+v", entries)
	}
	code, stdout, _ = o.steward("breaking", "--release", "12.0", "--reason", "CASE-7")
	if code != exitDone || !strings.Contains(stdout, "Sought 0047") {
		t.Errorf("exit %d: %s", code, stdout)
	}
}

func TestRetirementRefuses(t *testing.T) {
	for _, args := range [][]string{
		{"--metric", "steps_executed"}, {"--metric", "nothing"}, {"--days", "8"}, {"--days", "120"}, {"--until", "yesterday"},
		{"--until", time.Now().UTC().Format(time.DateOnly)}, {"--release", "next"}, {"--sensitivity", "0.5"},
	} {
		if code, _, stderr := command(t, append([]string{"retirement", "--clickhouse.addresses", "127.0.0.1:1"}, args...)...); code != exitUsage {
			t.Errorf("%v: exit %d, %s", args, code, stderr)
		}
	}
}
