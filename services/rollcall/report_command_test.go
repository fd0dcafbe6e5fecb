//go:build embedded

package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"rollcall/pkg/rollup"
	"rollcall/pkg/staticpage"
	catalogue "rollcall/schemas/metrics"
)

// reportPage writes the page and returns it with its data.
func (o *office) reportPage(dir string, more ...string) (string, staticpage.Content) {
	o.t.Helper()
	arguments := append([]string{"report", "--out", dir, "--output", "json"}, more...)
	code, stdout, stderr := command(o.t, append(arguments, o.flags[2:]...)...)
	var written staticpage.Written
	if err := json.Unmarshal([]byte(stdout), &written); code != exitDone || err != nil || written.Bytes == 0 || len(written.Files) != 2 {
		o.t.Fatalf("exit %d, %v: %s%s", code, err, stdout, stderr)
	}
	page, err := os.ReadFile(filepath.Join(written.Dir, "index.html"))
	if err != nil {
		o.t.Fatal(err)
	}
	data, err := os.ReadFile(filepath.Join(written.Dir, "data.json"))
	if err != nil {
		o.t.Fatal(err)
	}
	var content staticpage.Content
	if err := json.Unmarshal(data, &content); err != nil {
		o.t.Fatal(err)
	}
	return string(page), content
}

// TestReport: an empty database has a page that says so; what lands is on the next page,
// in the same directory; what is somebody else's stays.
func TestReport(t *testing.T) {
	const metric = "feature_excel_ole"
	o := newOffice(t)
	if err := rollup.LandCatalogue(t.Context(), o.conn, catalogue.Embedded()); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "page")
	page, content := o.reportPage(dir)
	if !content.Empty() || !strings.Contains(page, "Nothing was reported for these days.") {
		t.Errorf("an empty page says %+v", content)
	}

	licence := o.pseudonyms.LicenceID(soughtKey)
	o.retire(licence, metric, 7)
	o.settle()
	page, content = o.reportPage(dir)
	if content.Empty() || strings.Contains(page, "Nothing was reported") || content.Retirement.ValidLicences != 1 {
		t.Errorf("with a licence that reports: %+v", content)
	}
	for _, f := range content.Retirement.Features {
		if want := map[bool]int{true: 1, false: 0}[f.Metric == metric]; f.Licences.Used != want {
			t.Errorf("%s is used by %d licences, want %d", f.Metric, f.Licences.Used, want)
		}
	}
	if newest := content.Coverage[len(content.Coverage)-1]; newest.InForce != 1 || newest.Reporting != 1 || len(content.Coverage) != 18 {
		t.Errorf("coverage of %d days, at last %+v", len(content.Coverage), newest)
	}
	if strings.Contains(page, soughtKey) {
		t.Error("the page has a licence key")
	}

	foreign := t.TempDir()
	if err := os.WriteFile(filepath.Join(foreign, "mine"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if code, _, stderr := command(t, append([]string{"report", "--out", foreign}, o.flags[2:]...)...); code != exitUsage || !strings.Contains(stderr, "--force") {
		t.Errorf("a foreign directory: exit %d, %s", code, stderr)
	}
	o.reportPage(foreign, "--force")
	if _, err := os.Stat(filepath.Join(foreign, "mine")); err != nil {
		t.Errorf("what was there: %v", err)
	}
}

// TestReportWithoutServer: the error says what is not there, and nothing is written.
func TestReportWithoutServer(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "page")
	code, stdout, stderr := command(t, "report", "--out", dir, "--clickhouse.addresses", "127.0.0.1:9", "--clickhouse.dial-timeout", "100ms")
	if _, err := os.Stat(dir); code != exitFailed || stdout != "" || !strings.Contains(stderr, "127.0.0.1:9") || !os.IsNotExist(err) {
		t.Errorf("exit %d, %q, %s, %v", code, stdout, stderr, err)
	}
	if code, _, stderr := command(t, "report"); code != exitUsage || !strings.Contains(stderr, "--out") {
		t.Errorf("without a directory: exit %d, %s", code, stderr)
	}
}
