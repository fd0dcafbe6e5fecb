package main

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ClickHouse/ch-go/compress"

	"rollcall/pkg/client"
	"rollcall/pkg/report"
	"rollcall/scripts/canary"
)

// fewBaits returns the first baits of a fleet and a search for their marks.
func fewBaits(t *testing.T, seed uint64) (*baits, *search) {
	t.Helper()
	fleet, err := newBaits(seed, 1)
	if err != nil {
		t.Fatal(err)
	}
	fleet.all = fleet.all[:3]
	last := fleet.all[2].marks
	fleet.marks = fleet.marks[:last[len(last)-1]+1]
	s, err := newSearch(fleet)
	if err != nil {
		t.Fatal(err)
	}
	return fleet, s
}

// TestBaitsAreWhatTheySay: those that a gateway is to take are whole reports, and those
// that it is to read and refuse are not.
func TestBaitsAreWhatTheySay(t *testing.T) {
	fleet, err := newBaits(1, 2)
	if err != nil {
		t.Fatal(err)
	}
	fates := map[fate]int{}
	for _, b := range fleet.all {
		fates[b.fate]++
		if b.header.Get("Content-Type") != client.Avro || b.header.Get("Content-Encoding") != "" || b.direct || b.unread {
			continue
		}
		_, err := report.Inspect(b.body)
		if ok := err == nil || errors.Is(err, report.ErrUnknownSchema); ok != (b.fate > refusedAtGateway) && b.header.Get("Rollcall-Simulated-Received-At") == "" {
			t.Errorf("%s: %v", b.name, err)
		}
	}
	for fate := refusedAtGateway; fate <= landsInClickHouse; fate++ {
		if fates[fate] < 2 {
			t.Errorf("%d baits of fate %d", fates[fate], fate)
		}
	}
	if len(fleet.licences()) == 0 || len(fleet.inside) == 0 {
		t.Error("no licence is registered, or no release is within its rule")
	}
}

// TestEveryTextOfABaitIsMarked: what a client can choose and no mark is in would leak
// unseen.
func TestEveryTextOfABaitIsMarked(t *testing.T) {
	fleet, err := newBaits(2, 1)
	if err != nil {
		t.Fatal(err)
	}
	searcher, err := canary.NewSearcher(fleet.marks)
	if err != nil {
		t.Fatal(err)
	}
	marked := func(text string) bool {
		var found canary.Findings
		searcher.ScanBytes([]byte(text), &found)
		return len(found.Hits()) > 0
	}
	for _, b := range fleet.all {
		r := b.report
		texts := []string{r.Customer.CompanyName, r.Customer.Email, r.Customer.LicenceKey, r.ReportID.String(), r.InstallationID.String(), r.HostID.String(), r.SessionID.String()}
		if !strings.Contains(r.Host.Architecture, insideWords()["host.architecture"]) {
			texts = append(texts, r.Application.Name, r.Application.Version, r.Application.Edition, r.Host.OSName, r.Host.OSVersion, r.Host.Architecture)
		}
		for name, values := range b.header {
			switch name {
			case "Content-Type", "Content-Encoding", "Traceparent": // words of the protocol, and what is linked on purpose
			default:
				texts = append(texts, values...)
			}
		}
		for _, text := range append(texts, b.target) {
			if !marked(text) {
				t.Errorf("%s: no mark is in %q", b.name, text)
			}
		}
		for _, metrics := range []map[string]int64{r.Counters, r.Gauges, r.Distincts} {
			n := 0
			for name := range metrics {
				if marked(name) {
					n++
				}
			}
			if n == 0 {
				t.Errorf("%s: no key of a map is marked", b.name)
			}
		}
	}
}

// TestFilesAreSearchedDecompressed: also those that a kill has cut off.
func TestFilesAreSearchedDecompressed(t *testing.T) {
	fleet, s := fewBaits(t, 3)
	dir := t.TempDir()
	email := fleet.all[0].report.Customer.Email
	// So often that hardly anything of it is left as it was.
	writer := compress.NewWriter(compress.LevelZero, compress.LZ4)
	if err := writer.Compress([]byte(strings.Repeat(email[:4]+"-"+email[4:]+" ", 50) + email)); err != nil {
		t.Fatal(err)
	}
	content := bytes.Clone(writer.Data)
	if err := os.WriteFile(filepath.Join(dir, "data.bin"), append(content, content[:len(content)/2]...), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.directory("files", dir); err != nil {
		t.Fatal(err)
	}
	if got := s.places["files, decompressed"]; got == nil || len(got.Hits()) == 0 {
		t.Error("what was compressed is not found")
	}
}

// TestInsideMarksAreToldByField: a release is noted by the field that holds it.
func TestInsideMarksAreToldByField(t *testing.T) {
	fleet, s := fewBaits(t, 4)
	for _, b := range fleet.all {
		if b.report.Host.OSName != insideWords()["host.os_name"] {
			continue
		}
		s.leaves("topic usage", "usage", map[string]any{"version": b.report.Application.Version, "flags": []any{"NONE", b.report.Host.OSVersion}, "os_name": b.report.Host.OSName})
		break
	}
	if !s.insideField["usage.version"]["application.version"] || !s.insideField["usage.flags"]["host.os_version"] || !s.insideField["usage.os_name"]["host.os_name"] {
		t.Errorf("noted: %v", s.insideField)
	}
	if len(s.place("topic usage").Hits()) > 0 {
		t.Error("what is within its rule counts as a leak")
	}
}

// TestControlNeedsEveryMark: one that is missing in one place is noticed.
func TestControlNeedsEveryMark(t *testing.T) {
	fleet, s := fewBaits(t, 5)
	run := &taintRun{env: &Environment{progress: &bytes.Buffer{}}, fleet: fleet, search: s}
	for _, r := range reaches() {
		for _, mark := range fleet.marks {
			s.searcher.ScanBytes(mark.Forms[0].Bytes, s.place(r.place))
		}
	}
	if figure, complete := run.judgeControl(); !complete {
		t.Fatalf("everything is everywhere: %s", figure)
	}
	delete(s.places, "topic usage")
	if figure, complete := run.judgeControl(); complete {
		t.Errorf("a place without anything: %s", figure)
	}
}
