package sink

import (
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"rollcall/pkg/fault"
	"rollcall/pkg/record"
)

func TestCheckRefusesWhatWouldCountWrongly(t *testing.T) {
	var c checker
	good := func() record.Usage {
		return record.Usage{
			Clean:      record.Clean{Day: 20000, Sequence: 1, MetricIDs: []int32{1, math.MaxUint16}, MetricValues: []int64{0, 1 << 53}},
			SuspectIDs: []int32{2}, SuspectValues: []int64{9}, RefusedIDs: []int32{3},
		}
	}
	u := good()
	if err := c.check(&u); err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(*record.Usage){
		"a day before 1970":           func(u *record.Usage) { u.Day = -1 },
		"a day after 2149":            func(u *record.Usage) { u.Day = math.MaxUint16 + 1 },
		"a negative sequence":         func(u *record.Usage) { u.Sequence = -1 },
		"negative CPUs":               func(u *record.Usage) { u.CPUCount = -1 },
		"a negative ASN":              func(u *record.Usage) { u.ASN = -1 },
		"an ASN of 33 bits":           func(u *record.Usage) { u.ASN = 1 << 32 },
		"a negative count":            func(u *record.Usage) { u.StringsCut = -1 },
		"more ids than values":        func(u *record.Usage) { u.MetricIDs = append(u.MetricIDs, 9) },
		"more suspects than values":   func(u *record.Usage) { u.SuspectIDs = append(u.SuspectIDs, 9) },
		"metric 0":                    func(u *record.Usage) { u.MetricIDs[0] = 0 },
		"a negative metric":           func(u *record.Usage) { u.SuspectIDs[0] = -7 },
		"a metric of 17 bits":         func(u *record.Usage) { u.RefusedIDs[0] = 1 << 16 },
		"a metric twice":              func(u *record.Usage) { u.MetricIDs[1] = 1 },
		"a metric in both maps":       func(u *record.Usage) { u.SuspectIDs[0] = 1 },
		"a negative value":            func(u *record.Usage) { u.MetricValues[0] = -1 },
		"a value beyond 2^53":         func(u *record.Usage) { u.MetricValues[1]++ },
		"a suspect value beyond 2^53": func(u *record.Usage) { u.SuspectValues[0] = math.MaxInt64 },
	} {
		u := good()
		spoil(&u)
		var reject *fault.RejectError
		if err := c.check(&u); !errors.As(err, &reject) || reject.Reason != reasonMalformed {
			t.Errorf("%s: %v", name, err)
		}
		u = good()
		if err := c.check(&u); err != nil {
			t.Fatalf("after %s, a good record is refused: %v", name, err)
		}
	}
}

func TestRangesLeaveOutRefusedRows(t *testing.T) {
	for _, c := range []struct {
		rows    int
		refused []int
		want    [][2]int
	}{
		{0, nil, nil},
		{3, nil, [][2]int{{0, 3}}},
		{3, []int{0}, [][2]int{{1, 3}}},
		{5, []int{1, 2}, [][2]int{{0, 1}, {3, 5}}},
		{3, []int{2}, [][2]int{{0, 2}}},
		{2, []int{0, 1}, nil},
	} {
		b := newBatch(1)
		for range c.rows {
			b.state.add(&record.Usage{})
		}
		b.refused = c.refused
		if diff := cmp.Diff(c.want, b.ranges()); diff != "" {
			t.Errorf("%d rows without %v (-want +got):\n%s", c.rows, c.refused, diff)
		}
	}
}

// FuzzLineageOf: whatever a broken record holds, a lineage read off it is one that
// could be; of a whole record it is the record's.
func FuzzLineageOf(f *testing.F) {
	want := record.Lineage{TopicID: uuid.New(), Partition: 7, Offset: 1 << 40}
	whole, err := record.Append(nil, &record.Usage{Clean: record.Clean{Lineage: want, Kind: "DAILY", Consent: "FULL"}})
	if err != nil {
		f.Fatal(err)
	}
	if got := lineageOf(whole); got == nil || *got != want {
		f.Fatalf("lineage %v, want %v", got, want)
	}
	f.Add(whole)
	for i := range 40 {
		f.Add(whole[:i])
	}
	f.Fuzz(func(t *testing.T, value []byte) {
		var u record.Usage
		got := lineageOf(value)
		if got != nil && (got.Partition < 0 || got.Offset < 0) {
			t.Errorf("lineage %v", got)
		}
		if record.Decode(value, &u) == nil && u.Lineage.Partition >= 0 && u.Lineage.Offset >= 0 && (got == nil || *got != u.Lineage) {
			t.Errorf("lineage %v, but the record says %v", got, u.Lineage)
		}
	})
}

func TestIntervalGrowsWithTheNumberOfSinks(t *testing.T) {
	s := &Service{cfg: Config{}.WithDefaults(), partitions: 60, terms: map[partition]uint64{{"usage", 0}: 1, {"usage", 9}: 2, {"licences", 0}: 3}}
	if got := s.interval(); got != 1500*time.Millisecond { // 30 sinks, 20 inserts a second
		t.Errorf("one of 30 sinks waits %v", got)
	}
	for n := range int32(60) {
		s.terms[partition{"usage", n}] = 1
	}
	if got := s.interval(); got != 400*time.Millisecond {
		t.Errorf("the only sink waits %v", got)
	}
}

func TestConfigValidate(t *testing.T) {
	if err := (Config{}).Validate(); err != nil {
		t.Error(err)
	}
	for _, c := range []Config{
		{FlushRows: -1}, {FlushInterval: -1}, {MaxInsertsPerSecond: -1}, {FetchBytes: 100<<20 + 1},
		{SessionTimeout: 6*time.Second - 1}, {SessionTimeout: 30*time.Minute + 1},
	} {
		if c.Validate() == nil {
			t.Errorf("%+v is valid", c)
		}
	}
	for _, short := range []Config{{DrainTimeout: 20 * time.Second}, {InsertTimeout: 30 * time.Second}, {InsertTimeout: 29 * time.Second, FlushInterval: 2 * time.Second}} {
		if err := short.Validate(); err == nil || !strings.Contains(err.Error(), "sink.drain_timeout") {
			t.Errorf("a drain that one try uses up: %v", err)
		}
	}
	for _, c := range []Config{
		{InsertTimeout: 29 * time.Second, FlushInterval: time.Second}, {FetchBytes: 100 << 20},
		{SessionTimeout: 6 * time.Second}, {SessionTimeout: 30 * time.Minute},
	} {
		if err := c.Validate(); err != nil {
			t.Error(err)
		}
	}
	c := Config{}
	c.Rollup.DutyPercent = 101
	if c.Validate() == nil {
		t.Error("a rollup of 101 % is valid")
	}
}
