package enricher

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"rollcall/pkg/keystore"
	"rollcall/pkg/retention"
	"rollcall/pkg/rollup"
	"rollcall/pkg/topics"
)

// A report of the oldest day that any window lets through counts in its day and its week,
// although it is replayed with its key's last breath and both topics hold it up: were the
// greatest window a day longer, there is a day that would not.
func TestGreatestWindowLandsHoweverLate(t *testing.T) {
	wait := map[string]time.Duration{}
	for _, spec := range topics.Specs(topics.Options{Partitions: 1, ReplicationFactor: 1, MinInSync: 1}) {
		wait[spec.Name] = spec.Retention + 24*time.Hour // its last segment
	}
	lost := func(received time.Time, windowDays int) bool {
		opened, _, err := keystore.Due(keystore.ID{Class: keystore.Opening, Epoch: keystore.DayEpoch(received)})
		if err != nil {
			t.Fatal(err)
		}
		day := received.Truncate(24*time.Hour).AddDate(0, 0, -windowDays)
		monday := day.AddDate(0, 0, -(int(day.Weekday())+6)%7)
		return monday.Before(rollup.FirstLanding(opened.Add(wait[topics.Clean] + wait[topics.Usage] - 1)))
	}
	beyond := false
	for weekday := range 7 {
		received := time.Date(2026, 5, 4+weekday, 0, 0, 0, 0, time.UTC)
		if lost(received, retention.MaxWindowDays) {
			t.Errorf("received on a %v, it comes too late", received.Weekday())
		}
		beyond = beyond || lost(received, retention.MaxWindowDays+1)
	}
	if !beyond {
		t.Error("the window may be longer")
	}
}

// The chart accepts what the enricher does, and the pages say so.
func TestGreatestWindowIsToldEverywhere(t *testing.T) {
	content, err := os.ReadFile("../../helm/rollcall/values.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	type section struct {
		Maximum    int                `json:"maximum"`
		Properties map[string]section `json:"properties"`
	}
	var schema section
	if err := json.Unmarshal(content, &schema); err != nil {
		t.Fatal(err)
	}
	settings := schema.Properties["enricher"].Properties["config"].Properties
	for name, config := range map[string]func(int) Config{
		"window_past_days":   func(days int) Config { return Config{Group: "g", WindowPastDays: days} },
		"window_future_days": func(days int) Config { return Config{Group: "g", WindowFutureDays: days} },
	} {
		greatest := settings[name].Maximum
		if config(greatest).Validate() != nil || config(greatest+1).Validate() == nil {
			t.Errorf("the chart accepts %s to %d, the enricher does not, or more", name, greatest)
		}
	}
	for path, words := range map[string]string{
		"../../docs/configuration.md": fmt.Sprintf("a report's day may lie, at most %d.", retention.MaxWindowDays),
		// The view has the days before this one.
		"../../schemas/clickhouse/00009_quarantine.sql": fmt.Sprintf("toInt32(today()) + %d ", maxFutureDays+2),
		"../../docs/dead-letters.md":                    fmt.Sprintf("at most %d days", retention.MaxWindowDays),
	} {
		page, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(page), words) {
			t.Errorf("%s does not say %q", path, words)
		}
	}
}
