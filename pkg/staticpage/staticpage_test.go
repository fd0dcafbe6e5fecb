package staticpage

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"html"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"rollcall/pkg/compliance"
	"rollcall/pkg/retirement"
)

var update = flag.Bool("update", false, "write the golden files")

func share(s float64) *float64 { return &s }

func licence(n byte) uuid.UUID { return uuid.UUID{0x25, 0xd6, 0x9a, 0x37, 15: n} }

// sample is a page in which everything is said at least once.
func sample() *Content {
	limit := int64(16)
	bounds := func(low, high, worst float64) retirement.Bounds {
		return retirement.Bounds{LowShare: low, HighShare: high, WorstShare: worst, Sensitivity: 3}
	}
	feature := func(name string, v retirement.Verdict, used, dark int, b retirement.Bounds) retirement.Feature {
		return retirement.Feature{
			Metric: name, Application: "roboserver", ReplacedBy: "feature_new", RemovedIn: "12.0", Verdict: v, Bounds: b,
			Policy: retirement.Policy{RemoveBelow: 0.005, KeepAbove: 0.02, Sensitivity: 3}, Trend: retirement.Trend{Direction: retirement.Falling},
			Licences: retirement.Licences{Valid: 200, Used: used, Unused: 200 - used - dark, Dark: dark, DarkReasons: map[string]int{"silent": dark}},
			Use:      retirement.Use{LastDay: "2026-03-14"}, Explanation: "Because of " + name + ".",
		}
	}
	return &Content{
		MadeAt: time.Date(2026, 3, 16, 9, 30, 0, 0, time.UTC), Version: "1.2.3", First: "2026-03-02", Last: "2026-03-15", Days: 14, Recent: "2026-03-02",
		Activity: []Activity{{"active", true, 190}, {"silent", true, 10}, {"active", false, 2}},
		Coverage: []Coverage{
			{Day: "2026-03-14", InForce: 200, Reporting: 188, FullConsent: 120, NewestReceipt: time.Date(2026, 3, 15, 0, 1, 0, 0, time.UTC)},
			{Day: "2026-03-15", InForce: 200, Reporting: 190, FullConsent: 121, WithoutTerms: 2, NewestReceipt: time.Date(2026, 3, 16, 9, 29, 0, 0, time.UTC)},
		},
		Installations: []Installations{{Day: "2026-03-15", Application: "roboserver", Active: 1234, Silent: 17, New: 3}},
		Metrics: []Metric{
			{Metric: "feature_rest_step", Application: "roboserver", Description: "Uses of REST steps.", Lifecycle: "active", Weeks: []Week{
				{Week: "2026-03-02", Installations: 100, Covered: 80, Used: 40, Adoption: share(0.5), LicencesCovered: 30, LicencesUsed: 20},
				{Week: "2026-03-09", Installations: 110, Covered: 90, Used: 60, Adoption: share(2. / 3), LicencesCovered: 31, LicencesUsed: 25},
			}},
			{Metric: "feature_soap_step", Application: "roboserver", Lifecycle: "legacy", Weeks: []Week{
				{Week: "2026-03-09", Installations: 9, Covered: 0, Used: 0},
			}},
		},
		Segments: []Segment{
			{"edition_sold", "basic", "feature_rest_step", "roboserver", 40, 10}, {"edition_sold", "enterprise", "feature_rest_step", "roboserver", 50, 50},
			{"edition_sold", "", "feature_rest_step", "roboserver", 3, 1}, {"version", "11.5", "feature_rest_step", "roboserver", 90, 60},
			{"version", "9.2", "feature_soap_step", "roboserver", 0, 0},
		},
		Retirement: &retirement.Report{First: "2026-03-02", Last: "2026-03-15", Days: 14, ValidLicences: 200, Features: []retirement.Feature{
			feature("feature_kept", retirement.Keep, 30, 10, bounds(0.15, 0.22, 0.2)), feature("feature_gone", retirement.Remove, 0, 1, bounds(0, 0.001, 0.005)),
			feature("feature_dark", retirement.NotEnough, 0, 150, bounds(0, 0.3, 0.75)), feature("feature_few", retirement.Deprecate, 1, 2, bounds(0.005, 0.015, 0.015)),
		}},
		Compliance: &compliance.Report{From: "2026-03-02", To: "2026-03-15", Grace: 14, Licences: 190, Clean: 186, Findings: []compliance.Finding{
			{LicenceID: licence(1), Entitlement: "cpus", Verdict: compliance.Unsure, UnsureDays: 2, Last: "2026-03-15", Open: true, Entitled: &limit, Certain: 12, Possible: 20, Worst: "2026-03-15"},
			{LicenceID: licence(2), Entitlement: "cpus", Verdict: compliance.Over, Days: 15, LongestRun: 15, Last: "2026-03-14", Entitled: &limit, Certain: 48, Possible: 48, Worst: "2026-03-13"},
			{LicenceID: licence(3), Entitlement: "edition", Verdict: compliance.Grace, Days: 1, LongestRun: 1, Last: "2026-03-03", Certain: 1, Possible: 1, Worst: "2026-03-03"},
		}, Signs: []compliance.Sign{{LicenceID: licence(4), Sign: compliance.SignNetworks, Days: 1, First: "2026-03-04", Last: "2026-03-04", Most: 14, Unit: "networks", Omitted: 1}}},
		Uptake: []Uptake{
			{"2026-03-09", "roboserver", "version", "9.2", 10}, {"2026-03-09", "roboserver", "version", "11.5", 90},
			{"2026-03-14", "roboserver", "version", "11.5", 95}, {"2026-03-15", "roboserver", "version", "11.5", 90}, {"2026-03-15", "roboserver", "version", "12.0", 10},
			{"2026-03-15", "roboserver", "edition", "basic", 60}, {"2026-03-15", "roboserver", "edition", "(other)", 40},
			{"2026-03-15", "roboserver", "edition_sold", "basic", 90}, {"2026-03-15", "roboserver", "edition_sold", "", 10},
		},
		Quality: Quality{
			Days: []QualityDay{
				{Day: "2026-03-14", Landed: 2400, DeadLetters: map[string]uint64{"unknown_schema": 2, "malformed": 1}, DelayMedian: 0.4, DelayP99: 190, Suspect: 3, Refused: 1, Forks: 1},
				{Day: "2026-03-15", Landed: 0, DeadLetters: map[string]uint64{}},
			},
			Implausible: []MetricQuality{{"steps_executed", "roboserver", 2000, 3, 1, 2}}, Unknown: []Unknown{{licence(9).String(), "COUNTER", "roboserver", 4, 9, "2026-03-03", "2026-03-15"}},
			UnknownTotal: 21, Clocks: Clocks{SessionDays: 2400, MinuteAhead: 4, HourAhead: 1, HourBehind: 9}, Quarantined: 1,
		},
	}
}

func render(t *testing.T, c *Content) string {
	t.Helper()
	var page bytes.Buffer
	if err := Render(&page, c); err != nil {
		t.Fatal(err)
	}
	return page.String()
}

// TestGolden holds what the page says, without the style and the scripts that it carries.
func TestGolden(t *testing.T) {
	empty := &Content{MadeAt: sample().MadeAt, First: "2026-03-02", Last: "2026-03-15", Days: 14, Recent: "2026-03-02", Retirement: &retirement.Report{}, Compliance: &compliance.Report{}}
	carried := regexp.MustCompile(`(?s)(<style>|<script>).*?(</style>|</script>)|'sha256-[^;]*`)
	for name, content := range map[string]*Content{"sample": sample(), "empty": empty} {
		t.Run(name, func(t *testing.T) {
			got := carried.ReplaceAllString(html.UnescapeString(render(t, content)), "$1…$2")
			path := filepath.Join("testdata", name+".html")
			if *update {
				if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(got, "\n")); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// TestHostileNames: what the page shows came from outside once, and must stay text.
func TestHostileNames(t *testing.T) {
	const evil = `</script></style><script>alert(1)</script><img src=x onerror=alert(2)>"'` + "`${alert(3)}<!--\u2028"
	c := sample()
	c.Version = evil
	for i := range c.Metrics {
		c.Metrics[i].Metric, c.Metrics[i].Application, c.Metrics[i].Description, c.Metrics[i].Lifecycle = evil, evil, evil, evil
	}
	for i := range c.Segments {
		c.Segments[i].Segment, c.Segments[i].Metric = evil, evil
	}
	for i := range c.Uptake {
		c.Uptake[i].Segment, c.Uptake[i].Application = evil, evil
	}
	f := &c.Retirement.Features[0]
	f.Metric, f.Explanation, f.ReplacedBy, f.Use.LastDay, f.Verdict, f.Licences.DarkReasons = evil, evil, evil, evil, evil, map[string]int{evil: 1}
	c.Compliance.Findings[0].Entitlement, c.Compliance.Findings[0].Verdict, c.Compliance.Signs[0].Sign, c.Compliance.Signs[0].Unit = evil, evil, evil, evil
	c.Quality.Days[0].DeadLetters = map[string]uint64{evil: 1}
	c.Quality.Implausible[0].Metric, c.Quality.Unknown[0].Kind, c.Quality.Unknown[0].Hash = evil, evil, evil

	page := render(t, c)
	if want := render(t, sample()); strings.Count(page, "<script") != strings.Count(want, "<script") || strings.Count(page, "</script") != strings.Count(want, "</script") {
		t.Error("a name opens or closes a script")
	}
	for _, spoilt := range []string{"<img", "onerror=alert(2)>", "<!--"} {
		if strings.Contains(withoutCarried(t, page), spoilt) {
			t.Errorf("the page has %s", spoilt)
		}
	}
	var read plots
	block := regexp.MustCompile(`(?s)<script type="application/json" id="plots">(.*?)</script>`).FindStringSubmatch(page)
	if block == nil {
		t.Fatal("the plots' data is cut off")
	}
	if err := json.Unmarshal([]byte(block[1]), &read); err != nil || read.Features[0].Name != words(evil) {
		t.Errorf("the plots' data does not come through: %v %+v", err, read.Features)
	}
}

// withoutCarried removes what the page carries by itself.
func withoutCarried(t *testing.T, page string) string {
	t.Helper()
	own, err := loadAssets()
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{string(own.Library), string(own.Script), string(own.Style)} {
		if !strings.Contains(page, text) {
			t.Fatal("the page does not carry its assets as they are")
		}
		page = strings.ReplaceAll(page, text, "")
	}
	return page
}

// TestPolicyFits: a browser runs what has one of the policy's hashes, so each must be
// that of what stands in the page, to the byte.
func TestPolicyFits(t *testing.T) {
	page := render(t, sample())
	policy := html.UnescapeString(regexp.MustCompile(`Content-Security-Policy" content="([^"]*)"`).FindStringSubmatch(page)[1])
	if !strings.HasPrefix(policy, "default-src 'none';") || strings.Contains(policy, "unsafe") || strings.Contains(policy, "http") {
		t.Errorf("the policy is %s", policy)
	}
	blocks := regexp.MustCompile(`(?s)<(?:script|style)>(.*?)</(?:script|style)>`).FindAllStringSubmatch(page, -1)
	if len(blocks) != 3 {
		t.Fatalf("%d blocks of style and script", len(blocks))
	}
	for _, block := range blocks {
		sum := sha256.Sum256([]byte(block[1]))
		if hash := base64.StdEncoding.EncodeToString(sum[:]); !strings.Contains(policy, hash) {
			t.Errorf("nothing allows the block that begins %.40s", block[1])
		}
	}
	if outside := regexp.MustCompile(`(?:src|href)="([^"#][^"]*)"`).FindAllStringSubmatch(withoutCarried(t, page), -1); len(outside) != 1 || outside[0][1] != "data:," {
		t.Errorf("the page refers to %v", outside)
	}
}

func TestDirectory(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "some", "report")
	first, err := Write(dir, sample(), false)
	if err != nil {
		t.Fatal(err)
	}
	var size int64
	for _, name := range first.Files {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		size += info.Size()
	}
	if first.Dir != dir || size != first.Bytes || len(first.Files) != 2 {
		t.Errorf("%+v, %d bytes are there", first, size)
	}
	later := sample()
	later.Last = "2026-03-31"
	if _, err := Write(dir, later, false); err != nil {
		t.Fatalf("over an earlier page: %v", err)
	}
	data, err := os.ReadFile(filepath.Join(dir, dataFile))
	var read Content
	if err := errors.Join(err, json.Unmarshal(data, &read)); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(later, &read); diff != "" {
		t.Errorf("data.json (-want +got):\n%s", diff)
	}
	if left, err := os.ReadDir(filepath.Dir(dir)); err != nil || len(left) != 1 {
		t.Errorf("beside the page: %v %v", left, err)
	}
}

func TestForeignDirectory(t *testing.T) {
	for name, content := range map[string]string{"notes.txt": "mine", "index.html": "<title>another page</title>"} {
		dir := t.TempDir()
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Write(dir, sample(), false); !errors.Is(err, ErrForeign) {
			t.Errorf("with %s in it: %v", name, err)
		}
		if kept, err := os.ReadFile(path); err != nil || string(kept) != content {
			t.Errorf("%s is %q, %v", name, kept, err)
		}
		if _, err := Write(dir, sample(), true); err != nil {
			t.Errorf("forced, with %s in it: %v", name, err)
		}
		if kept, err := os.ReadFile(path); name == "notes.txt" && (err != nil || string(kept) != content) {
			t.Errorf("forced: %s is %q, %v", name, kept, err)
		}
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Write(file, sample(), true); err == nil {
		t.Error("a file was taken for a directory")
	}
}

func TestNumbers(t *testing.T) {
	for _, test := range []struct{ got, want string }{
		{count(uint64(0)), "0"}, {count(uint64(999)), "999"}, {count(uint64(1000)), "1,000"}, {count(uint64(18446744073709551615)), "18,446,744,073,709,551,615"}, {count(1234567), "1,234,567"},
		{percent(0), "0 %"}, {percent(1), "100 %"}, {percent(0.9999), "> 99.9 %"}, {percent(0.00001), "< 0.1 %"}, {percent(0.034), "3.4 %"}, {percent(0.5), "50 %"}, {percent(2. / 3), "67 %"}, {percent(0.995), "99.5 %"},
		{maybePercent(nil), "not known"}, {points(share(0.5), share(0.6254)), "+12.5"}, {points(share(0.5), share(0.25)), "−25"}, {points(share(0.1), share(0.1)), "0"}, {points(nil, share(1)), "not known"},
		{seconds(0.41), "0.4 s"}, {seconds(119), "119.0 s"}, {seconds(190), "3.2 min"}, {seconds(7200), "2.0 h"}, {seconds(3 * 86400), "3.0 days"},
		{bracket(3, 3), "3"}, {bracket(3, 1200), "3 to 1,200"}, {deadLetters(map[string]uint64{"a_b": 1, "c": 20, "d": 0}), "20 c, 1 a b"},
		{line("11.5.0.2"), "11.5"}, {line("12"), "12"}, {line("(other)"), "(other)"}, {longDay("2026-03-05"), "5 March 2026"}, {list([]string{"a", "b", "c"}), "a, b and c"},
	} {
		if test.got != test.want {
			t.Errorf("%q, want %q", test.got, test.want)
		}
	}
	releases := []string{"9.2", "10.3", "11.5", "11.10", "12.0", "(other)"}
	for i := range releases[1:] {
		if compareSegments(releases[i], releases[i+1]) >= 0 || compareSegments(releases[i+1], releases[i]) <= 0 {
			t.Errorf("%s is not before %s", releases[i], releases[i+1])
		}
	}
}

// TestVanishedFeature: what nobody can use any more in the newest week is not told as if
// its last week were that one.
func TestVanishedFeature(t *testing.T) {
	c := sample()
	c.Metrics[1].Weeks = []Week{{Week: "2026-03-02", Installations: 9, Covered: 9, Used: 9, Adoption: share(1)}}
	rows, weeks := featureRows(c.Metrics)
	if len(weeks) != 2 || rows[1].Metric.Metric != "feature_soap_step" || rows[1].After.Adoption != nil || rows[1].After.Installations != 0 {
		t.Errorf("%v %+v", weeks, rows[1])
	}
	if diff := cmp.Diff([]string{"100 %", "–"}, rows[1].Cells); diff != "" {
		t.Error(diff)
	}
	if got := useSentence(c.Metrics); !strings.HasPrefix(got, "1 of 2 features") {
		t.Error(got)
	}
}

// TestLists: what is gravest comes first, and a long list says that it is cut.
func TestLists(t *testing.T) {
	c := sample()
	one := c.Compliance.Findings[1]
	for n := range 60 {
		more := one
		more.Certain = uint64(100 + n)
		c.Compliance.Findings = append(c.Compliance.Findings, more)
	}
	v := newView(c)
	if len(v.Findings) != mostFindings || v.Findings[0].Certain != 159 || len(v.Plots.Compliance) != mostBars || v.Plots.Compliance[0].Certain != 159./16 {
		t.Errorf("%d findings, first %+v; %d plotted, first %+v", len(v.Findings), v.Findings[0], len(v.Plots.Compliance), v.Plots.Compliance[0])
	}
	if want := fmt.Sprintf("The %d gravest of 63 findings", mostFindings); !strings.Contains(render(t, c), want) {
		t.Errorf("the page does not say %q", want)
	}
	if v.Facts.Over != 1 || v.Facts.Unsure != 1 || v.Facts.InGrace != 1 {
		t.Errorf("licences: %+v", v.Facts)
	}
}
