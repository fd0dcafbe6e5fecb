package main

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"rollcall/pkg/compliance"
)

func TestComplianceOptions(t *testing.T) {
	now := time.Date(2026, 3, 15, 9, 0, 0, 0, time.UTC)
	base := complianceCommand{GraceDays: 14, Networks: 10, Countries: 3, Overlap: time.Hour, Rows: 20}
	day := func(text string) time.Time {
		d, err := time.Parse(time.DateOnly, text)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	want := compliance.Options{From: day("2026-02-12"), To: day("2026-03-14"), Grace: 14, Networks: 10, Countries: 3, Overlap: time.Hour, Rows: 20}
	got, err := base.options(now)
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("by default: %v (-want +got):\n%s", err, diff)
	}
	named := base
	named.From, named.To, named.Licence = "2026-01-01", "2026-01-31", "25d69a37-f8a1-fd5f-57bc-89b75c392a50"
	want.From, want.To, want.Licence = day("2026-01-01"), day("2026-01-31"), uuid.MustParse(named.Licence)
	got, err = named.options(now)
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("as named: %v (-want +got):\n%s", err, diff)
	}
	for name, spoil := range map[string]func(*complianceCommand){
		"--from":    func(c *complianceCommand) { c.From = "1 January" },
		"--to":      func(c *complianceCommand) { c.To = "2026-02-30" },
		"--licence": func(c *complianceCommand) { c.Licence = "EX-0001" },
		"window":    func(c *complianceCommand) { c.From = "2026-04-01" },
		"grace":     func(c *complianceCommand) { c.GraceDays = -1 },
	} {
		wrong := base
		spoil(&wrong)
		if _, err := wrong.options(now); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s spoilt: %v", name, err)
		}
	}
}

func TestComplianceTable(t *testing.T) {
	a, stdout, _ := newApp()
	limit := int64(16)
	report := &compliance.Report{
		From: "2026-03-01", To: "2026-03-14", Licences: 3, Clean: 1,
		Findings: []compliance.Finding{{Entitlement: "cpus", Verdict: compliance.Unsure, Entitled: &limit, Certain: 12, Possible: 20, Worst: "2026-03-14", UnsureDays: 1, Last: "2026-03-14", Open: true}},
		Signs:    []compliance.Sign{{Sign: compliance.SignClone, Most: 2, Unit: "hosts at once", Days: 1, First: "2026-03-02", Last: "2026-03-02", Rows: make([]compliance.Row, 2), Omitted: 3}},
	}
	if err := (output{}).show(a.stdout, report, func(w *columns) { complianceTable(w, report) }); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"12 to 20", "2026-03-14 (may change)", "cloned installation", "2 hosts at once", "3 licences with usage, 1 findings, 1 signs, 1 licences with neither"} {
		if !strings.Contains(stdout.String(), want) {
			t.Errorf("the table lacks %q:\n%s", want, stdout)
		}
	}
}
