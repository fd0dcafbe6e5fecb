package fleet

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"rollcall/pkg/client"
)

// digest covers everything that a plan gives away.
func digest(t *testing.T, plan *Plan) string {
	t.Helper()
	sum := sha256.New()
	out := json.NewEncoder(sum)
	for d := range plan.Deliveries() {
		if err := out.Encode([]any{d.ReceivedAt, d.Address, d.Phase, d.Copy, d.Report(), d.report.product.of.media, d.report.product.of.encoding}); err != nil {
			t.Fatal(err)
		}
	}
	for _, phase := range []int{PhaseBefore, PhaseHalfway} {
		if err := WriteLicences(sum, plan.Licences(), phase); err != nil {
			t.Fatal(err)
		}
	}
	if err := plan.Truth().write(sum); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%x", sum.Sum(nil))
}

func TestASeedGivesOneFleet(t *testing.T) {
	plan := testPlan(t, func(*Options) {})
	again := testPlan(t, func(*Options) {})
	other := testPlan(t, func(o *Options) { o.Seed = 2 })
	first := digest(t, plan)
	if first != digest(t, plan) {
		t.Error("a plan gives something else the second time")
	}
	if first != digest(t, again) {
		t.Error("the same options give another fleet")
	}
	if first == digest(t, other) {
		t.Error("another seed gives the same fleet")
	}
}

func TestDeliveriesCanBeLeft(t *testing.T) {
	n := 0
	for range testPlan(t, func(*Options) {}).Deliveries() {
		if n++; n == 5 {
			break
		}
	}
	if n != 5 {
		t.Errorf("%d deliveries", n)
	}
}

func TestDeliveriesKeepTheWindowAndTheirOrder(t *testing.T) {
	plan := testPlan(t, func(o *Options) {
		o.Installations, o.Late, o.Loss, o.Duplicates, o.Shuffle = 1_000, 0.1, 0.3, 0.5, 0
	})
	last := plan.Start()
	phase := PhaseBefore
	for d := range plan.Deliveries() {
		r := d.Report()
		if d.ReceivedAt.Before(last) || d.ReceivedAt.After(plan.Options().End) || d.Phase < phase {
			t.Fatalf("received at %v after %v, phase %d after %d", d.ReceivedAt, last, d.Phase, phase)
		}
		last, phase = d.ReceivedAt, d.Phase
		if received := clientDay(d.ReceivedAt.UnixMilli()); r.Day > received+1 || r.Day < received-8 {
			t.Fatalf("day %d received on %d", r.Day, received)
		}
		// The right judgement must not depend on how far the registration had come.
		if d.Phase == PhaseBefore && r.Day >= plan.days.effective {
			t.Fatalf("day %d delivered before the licences of %d are registered", r.Day, plan.days.effective)
		}
		if d.Address.IsPrivate() || d.Address.IsLoopback() || !d.Address.IsGlobalUnicast() {
			t.Fatalf("address %v is not a public one", d.Address)
		}
	}
}

func TestSessionsCountAsProductsDo(t *testing.T) {
	plan := testPlan(t, func(o *Options) { o.ReportsPerDay = 4 })
	sessions := map[uuid.UUID]map[int64]*client.Report{}
	for d := range plan.Deliveries() {
		r := d.Report()
		if sessions[r.SessionID] == nil {
			sessions[r.SessionID] = map[int64]*client.Report{}
		}
		if again := sessions[r.SessionID][r.Sequence]; again != nil {
			if diff := gocmp.Diff(again, r); diff != "" {
				t.Fatalf("a report sent again has changed:\n%s", diff)
			}
			continue
		}
		sessions[r.SessionID][r.Sequence] = r
	}
	for _, bySequence := range sessions {
		var reports []*client.Report
		for _, r := range bySequence {
			reports = append(reports, r)
		}
		slices.SortFunc(reports, func(a, b *client.Report) int { return cmp.Compare(a.Sequence, b.Sequence) })
		for n, r := range reports {
			if n == 0 {
				continue
			}
			before := reports[n-1]
			if r.Day < before.Day || r.ReportID == before.ReportID {
				t.Fatalf("report %d of a session is for day %d after %d", r.Sequence, r.Day, before.Day)
			}
			if r.Kind == client.Startup || before.Kind == client.Shutdown {
				t.Fatalf("%s follows %s", r.Kind, before.Kind)
			}
			for name, v := range before.Counters {
				if r.Day == before.Day && r.Counters[name] < v {
					t.Fatalf("%s falls from %d to %d within day %d", name, v, r.Counters[name], r.Day)
				}
			}
			a, b := *before, *r
			for _, p := range []*client.Report{&a, &b} { // what may change within a session
				p.ReportID, p.Kind, p.SentAt, p.Day, p.Sequence = uuid.Nil, "", 0, 0, 0
				p.Counters, p.Gauges, p.Distincts, p.Application.Edition, p.SessionStartedAt = nil, nil, nil, "", 0
			}
			if diff := gocmp.Diff(a, b); diff != "" {
				t.Fatalf("a session has changed:\n%s", diff)
			}
		}
	}
}

func TestTruthFileReadsBack(t *testing.T) {
	truth := testPlan(t, func(*Options) {}).Truth()
	path := filepath.Join(t.TempDir(), "truth.jsonl")
	if err := truth.WriteFile(path); err != nil {
		t.Fatal(err)
	}
	got, err := ReadTruth(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := gocmp.Diff(truth, got); diff != "" {
		t.Error(diff)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	cut := whole[:bytes.LastIndexByte(bytes.TrimSpace(whole), '\n')+1]
	if err := os.WriteFile(path, cut, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadTruth(path); err == nil {
		t.Error("a truth that is cut short is read")
	}
	if err := truth.WriteFile(filepath.Join(path, "no", "such")); err == nil {
		t.Error("written where there is no directory")
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(path), "*")); len(left) != 1 {
		t.Errorf("files left behind: %v", left)
	}
}

func TestLicencesFileOfEachPhase(t *testing.T) {
	licences := []Licence{
		{Key: "A-1", Phase: PhaseBefore, Terms: []Terms{
			{ValidFrom: 20_000, ValidUntil: new(int32(20_100)), Edition: "basic", Industry: "retail", Region: "EMEA", EntitledCPUs: limit(4)},
			{ValidFrom: 20_050, Edition: "enterprise", Industry: "retail", Region: "EMEA", Partner: "Partner 01", EntitledStepsPerMonth: limit(7)},
		}},
		{Key: "B-2", Phase: PhaseHalfway, Terms: []Terms{{ValidFrom: 20_001}}},
		{Key: "C-3", Phase: PhaseNever},
	}
	const header = "licence_key,valid_from,valid_until,edition,industry,region,partner," +
		"entitled_cpus,entitled_roboservers,entitled_robots,entitled_users,entitled_steps_per_month\n"
	want := map[int]string{
		PhaseBefore: header + "A-1,2024-10-04,2025-01-12,basic,retail,EMEA,,4,,,,\n" +
			"A-1,2024-11-23,,enterprise,retail,EMEA,Partner 01,,,,,7\n",
		PhaseHalfway: header + "B-2,2024-10-05,,,,,,,,,,\n",
		PhaseNever:   header,
	}
	for phase, want := range want {
		var out bytes.Buffer
		if err := WriteLicences(&out, licences, phase); err != nil {
			t.Fatal(err)
		}
		if diff := gocmp.Diff(want, out.String()); diff != "" {
			t.Errorf("phase %d:\n%s", phase, diff)
		}
	}
}

func TestOptionsOutOfRangeAreRefused(t *testing.T) {
	for name, change := range map[string]func(*Options){
		"no licence":             func(o *Options) { o.Licences = 0 },
		"fewer than licences":    func(o *Options) { o.Installations = o.Licences - 1 },
		"no day":                 func(o *Options) { o.Days = 0 },
		"no report":              func(o *Options) { o.ReportsPerDay = 0 },
		"a share of 2":           func(o *Options) { o.Loss = 2 },
		"a share below 0":        func(o *Options) { o.Duplicates = -0.1 },
		"too late for a window":  func(o *Options) { o.LateDays = MaxLateDays + 1 },
		"a shuffle of two days":  func(o *Options) { o.Shuffle = 48 * time.Hour },
		"late without a measure": func(o *Options) { o.Late = -1 },
	} {
		o := Demo()
		change(&o)
		if _, err := New(o, testMetrics()); err == nil {
			t.Errorf("%s: planned", name)
		}
	}
	if _, err := New(Demo(), nil); err == nil {
		t.Error("planned without metrics")
	}
}

// The truth is worth nothing if it counts with the code that it is to judge.
func TestNothingOfThePipelineIsImported(t *testing.T) {
	allowed := []string{"rollcall/pkg/client", "rollcall/schemas/avro", "rollcall/schemas/metrics"}
	for _, dir := range []string{".", "../client"} {
		files, err := filepath.Glob(filepath.Join(dir, "*.go"))
		if err != nil || len(files) == 0 {
			t.Fatal(err, files)
		}
		for _, file := range files {
			parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
			if err != nil {
				t.Fatal(err)
			}
			for _, imported := range parsed.Imports {
				path, err := strconv.Unquote(imported.Path.Value)
				if err != nil {
					t.Fatal(err)
				}
				if strings.HasPrefix(path, "rollcall/") && !slices.Contains(allowed, path) {
					t.Errorf("%s imports %s", file, path)
				}
				if path == "rollcall/schemas/metrics" && filepath.Base(file) != "metric.go" && !strings.HasSuffix(file, "_test.go") {
					t.Errorf("%s imports the catalogue, which is for metric.go to copy", file)
				}
			}
		}
	}
}
