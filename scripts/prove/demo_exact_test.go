package main

import (
	"strings"
	"testing"
	"time"
)

const demoOutput = `clickhouse: ready after 6.8s
go: downloading golang.org/x/text v0.43.0
go build -o bin/rollcall ./services/rollcall
Starting broker, ClickHouse and the four services in somewhere
Calling home: 220 licences, 1100 installations, 14 days: 38727 reports, of which the network loses 1151 and repeats 4350

Feature usage: the most used

FEATURE  USES
a        1
b        2
c        3

Legacy features: are they dying out?

FEATURE  USES
a        1
b        2
c        3

Licences: the largest

LICENCE  DAYS
a        1
b        2
c        3

42780 offsets audited, 0 missing, 0 session-days without their state
89944 cells compared, 0 differ
`

// printed is a run that printed a line a second.
func printed(output string) *demoRun {
	run := &demoRun{}
	run.follow(strings.NewReader(output), func(string) {})
	for i := range run.lines {
		run.lines[i].at = time.Unix(int64(i), 0)
	}
	return run
}

func TestDemoFiguresAreRead(t *testing.T) {
	figures, err := printed(demoOutput).read(true)
	if err != nil {
		t.Fatal(err)
	}
	want := demoFigures{licences: 220, installations: 1100, days: 14, reports: 38727, cells: 89944, offsets: 42780, took: 27 * time.Second, played: 25 * time.Second}
	if figures != want || !figures.hold() {
		t.Errorf("got %+v, want %+v", figures, want)
	}
	figures.took = demoLimit
	if figures.hold() {
		t.Error("three minutes are too long, and hold")
	}
}

func TestDemoThatIsNotExactIsRefused(t *testing.T) {
	for _, change := range [][2]string{
		{"89944 cells compared, 0 differ", "89944 cells compared, 1 differ (1 in value, 0 missing, 0 extra)"},
		{"audited, 0 missing", "audited, 3 missing"},
		{"0 session-days without", "1 session-days without"},
		{"Licences: the largest", "Nothing"},
		{"go: downloading", "go: cached"},
		{"clickhouse: ready", "clickhouse: cached"},
	} {
		if _, err := printed(strings.Replace(demoOutput, change[0], change[1], 1)).read(true); err == nil {
			t.Errorf("%q was taken", change[1])
		}
	}
}
