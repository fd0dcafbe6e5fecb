//go:build embedded

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"rollcall/pkg/audit"
)

// local is a standalone under test.
type local struct {
	url, clickhouse, kafka string
	stop                   func() int
}

func anyPorts(data string) []string {
	return []string{"--data", data, "--kafka-port", "0", "--clickhouse-port", "0", "--clickhouse-http-port", "0",
		"--gateway.listen", "127.0.0.1:0", "--private.listen", "127.0.0.1:0"}
}

// startStandalone returns once it says that it is up.
func startStandalone(t *testing.T, data string, args ...string) local {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	a, _, stderr := newApp()
	reader, writer := io.Pipe()
	a.stdout = writer
	ended := make(chan int, 1)
	go func() {
		ended <- run(ctx, a, slices.Concat([]string{"standalone"}, anyPorts(data), args))
		_ = writer.Close()
	}()
	var said strings.Builder
	for lines := bufio.NewScanner(reader); lines.Scan(); {
		said.WriteString(lines.Text() + "\n")
		if strings.HasPrefix(lines.Text(), "Stop with") {
			find := func(pattern string) string {
				found := regexp.MustCompile(pattern).FindStringSubmatch(said.String())
				if found == nil {
					t.Fatalf("no %s in: %s", pattern, said.String())
				}
				return found[1]
			}
			return local{
				url: find(`--url (\S+)`), clickhouse: "127.0.0.1:" + find(`--port (\d+)`), kafka: find(`Kafka\s+(\S+)`),
				stop: func() int {
					cancel()
					return <-ended
				},
			}
		}
	}
	cancel()
	t.Fatalf("standalone ended with %d: %s", <-ended, stderr)
	return local{}
}

const reportID = "7b2f0c3e-98a1-4c0e-9d6f-0d3c6a1e5b11"

func writeReport(t *testing.T, dir string) (report, licence string) {
	t.Helper()
	now := time.Now().UTC()
	content, err := json.Marshal(map[string]any{
		"report_id": reportID, "kind": "DAILY", "sent_at": now.Format(time.RFC3339), "day": now.Format(time.DateOnly),
		"installation_id": "7b2f0c3e-98a1-4c0e-9d6f-0d3c6a1e5b12", "host_id": "7b2f0c3e-98a1-4c0e-9d6f-0d3c6a1e5b13",
		"session_id": "7b2f0c3e-98a1-4c0e-9d6f-0d3c6a1e5b14", "session_started_at": now.Add(-time.Hour).Format(time.RFC3339),
		"sequence": 1, "consent": "FULL", "policy_version": 1,
		"customer":    map[string]any{"company_name": "Customer 0001", "email": "admin@example.org", "licence_key": "AAAAA-BBBBB"},
		"application": map[string]any{"name": "roboserver", "version": "11.5.0", "edition": "enterprise"},
		"host":        map[string]any{"os_name": "linux", "os_version": "6.1", "architecture": "amd64", "cpu_count": 4},
		"counters":    map[string]any{"steps_executed": 112}, "gauges": map[string]any{}, "distincts": map[string]any{},
	})
	if err != nil {
		t.Fatal(err)
	}
	report, licence = filepath.Join(dir, "report.json"), filepath.Join(dir, "licence.txt")
	for path, text := range map[string]string{report: string(content), licence: "aaaaa bbbbb\n"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return report, licence
}

// awaitEnd asks where the report is until it has its end.
func awaitEnd(t *testing.T, s local, licence, keys string) audit.Whereabouts {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); {
		code, stdout, stderr := command(t, "where", reportID, "--licence-key-file", licence, "--clickhouse.addresses", s.clickhouse,
			"--keystore.dir", keys, "--output", "json")
		var found whereResult
		if err := json.Unmarshal([]byte(stdout), &found); err != nil || code != exitDone && code != exitDiffers {
			t.Fatalf("where: exit %d, %v, %s", code, err, stderr)
		}
		if code == exitDone {
			return found.Whereabouts
		}
	}
	t.Fatal("the report has no end after a minute")
	return audit.Whereabouts{}
}

// One report goes the whole way; a restart forgets nothing.
func TestStandalone(t *testing.T) {
	dir := t.TempDir()
	data, keys := filepath.Join(dir, "data"), filepath.Join(dir, "data", "keys")
	report, licence := writeReport(t, dir)
	s := startStandalone(t, data)
	if code, _, stderr := command(t, append([]string{"standalone"}, anyPorts(data)...)...); code != exitFailed || !strings.Contains(stderr, "another rollcall runs on") {
		t.Errorf("a second one in the same directory: exit %d, %s", code, stderr)
	}
	for range 2 { // a duplicate changes nothing
		if code, stdout, stderr := command(t, "send", "--zstd", "--url", s.url, report); code != exitDone {
			t.Fatalf("send: exit %d, %s, %s", code, stdout, stderr)
		}
	}
	if found := awaitEnd(t, s, licence, keys); found.End != "landed" {
		t.Errorf("the report ended as %+v, want landed", found)
	}
	if code := s.stop(); code != exitDone {
		t.Errorf("stop: exit %d", code)
	}

	s = startStandalone(t, data)
	if found := awaitEnd(t, s, licence, keys); found.End != "landed" {
		t.Errorf("after a restart the report is %+v, want landed", found)
	}
	code, stdout, stderr := command(t, "audit", "--wait", "1m", "--kafka.brokers", s.kafka, "--clickhouse.addresses", s.clickhouse)
	if code != exitDone || !strings.Contains(stdout, "2 offsets audited, 0 missing") {
		t.Errorf("audit after a restart: exit %d, %s%s", code, stdout, stderr)
	}
	if code := s.stop(); code != exitDone {
		t.Errorf("stop: exit %d", code)
	}
}

// The demonstration in small: every count is what the fleet truly did.
func TestDemo(t *testing.T) {
	dir := t.TempDir()
	args := append([]string{"demo", "--exit", "--licences", "20", "--installations", "60", "--days", "3"}, anyPorts(dir)...)
	code, stdout, stderr := command(t, args...)
	lines := strings.Split(strings.TrimSpace(stdout), "\n")
	if last := lines[len(lines)-1]; code != exitDone || !regexp.MustCompile(`^\d{3,} cells compared, 0 differ$`).MatchString(last) {
		log, _ := os.ReadFile(filepath.Join(dir, "rollcall.log"))
		t.Fatalf("exit %d, last line %q, %s%s", code, last, stderr, log)
	}
	for _, title := range []string{"Feature usage", "Legacy features", "Licences", "offsets audited, 0 missing"} {
		if !strings.Contains(stdout, title) {
			t.Errorf("the demonstration does not show %q", title)
		}
	}
	if code, _, stderr := command(t, append([]string{"demo"}, anyPorts(dir)...)...); code != exitUsage || !strings.Contains(stderr, "not empty") {
		t.Errorf("a second demonstration in the same directory: exit %d, %s", code, stderr)
	}
}
