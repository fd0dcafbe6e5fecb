package main

import (
	"os"
	"strings"
	"testing"
)

// TestGeneratedScaling fails where docs/scaling.md is not what docs/proofs.md gives.
func TestGeneratedScaling(t *testing.T) {
	if err := run("../..", true); err != nil {
		t.Error(err)
	}
}

// A figure that the proofs no longer have is named.
func TestMissingFigures(t *testing.T) {
	_, err := read("| `outage` | nothing |", "")
	for _, want := range []string{"a row of pipeline-cpu", "a row of shards", "session-days"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want a word on %s", err, want)
		}
	}
}

// What is computed follows what was measured.
func TestPlanFollowsMeasurements(t *testing.T) {
	m := measured{
		gateway: 60, anonymizer: 30, enricher: 10, sink: 10, store: 30, raw: 400, clean: 200, usage: 200, sessionDay: 200, receipt: 50, licenceDay: 1000,
		computing: 0.6, computed: 130_000, memory: map[string]float64{"gateway": 512, "anonymizer": 256, "enricher": 128, "sink": 512},
	}
	a := assumptions()
	d := plan(1e6, m, a)
	if got := d.mean * daySeconds; got < 1_999_999 || got > 2_000_001 {
		t.Errorf("%v reports a day of a million installations that send 2", got)
	}
	// 1.2 M session-days × 100 days × 200 bytes, 2 M receipts × 31 × 50, 20,000 licences × 365 × 1,000: 34.4 GB, three times.
	if d.storeGB < 103.1 || d.storeGB > 103.3 || d.shards != 1 || d.servers != 3 {
		t.Errorf("ClickHouse: %.2f GB on %v servers of %v shards", d.storeGB, d.servers, d.shards)
	}
	dearer := m
	dearer.computing *= 100
	if more := plan(1e6, dearer, a); more.shards <= d.shards || more.cpuCost <= d.cpuCost {
		t.Errorf("a day that is a hundred times as dear takes %v shards for %.0f, and %v for %.0f before", more.shards, more.cpuCost, d.shards, d.cpuCost)
	}
	if _, err := os.Stat("../../docs/scaling.md"); err != nil {
		t.Error(err)
	}
}

// What is computed beside licence_day is in the CPUs of a server, and in the cost.
func TestPlanCountsWhatIsComputedBeside(t *testing.T) {
	m := measured{store: 30, computing: 0.6, computed: 130_000}
	a := assumptions()
	a.threads, a.duty, a.beside, a.busy = 4, 0.25, 0, 0.5
	without := plan(1e6, m, a)
	a.beside = 0.5
	with := plan(1e6, m, a)
	// 4 threads and a CPU for few inserts; half of 4 threads more at 50 % are 4 CPUs.
	if without.storeCPUs != 5 || with.storeCPUs != 9 || with.cpuCost <= without.cpuCost {
		t.Errorf("%v CPUs for %.0f, without what is beside %v for %.0f", with.storeCPUs, with.cpuCost, without.storeCPUs, without.cpuCost)
	}
	if with.rollupCPUs != 1 || with.besideCPUs != 2 {
		t.Errorf("rollups take %v and %v CPUs", with.rollupCPUs, with.besideCPUs)
	}
}

func TestCount(t *testing.T) {
	for n, want := range map[float64]string{0.25: "0.2", 3: "3", 999.6: "1,000", 1234567: "1,234,567", 12: "12", 100000: "100,000"} {
		if got := count(n); got != want {
			t.Errorf("%v is written %s, want %s", n, got, want)
		}
	}
}
