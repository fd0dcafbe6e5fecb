package pastyear

import (
	"strings"
	"testing"
	"time"

	chgo "github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	catalogue "rollcall/schemas/metrics"
)

func TestReleasesAreThoseOfTheStatement(t *testing.T) {
	if list := "['" + strings.Join(releases(), "', '") + "']"; !strings.Contains(read("states.sql"), list) {
		t.Errorf("states.sql gives other releases than %s", list)
	}
}

func TestReleaseFrom(t *testing.T) {
	for _, test := range []struct {
		release string
		want    uint16
	}{{"", 9}, {"9.0", 1}, {"10.4", 2}, {"11.0", 3}, {"11.5", 6}, {"12.0", 8}, {"13.0", 9}} {
		if got := releaseFrom(test.release, 9); got != test.want {
			t.Errorf("the first release from %q is %d, want %d", test.release, got, test.want)
		}
	}
}

// TestParametersCoverTheCatalogue: every metric is one that some installation reports.
func TestParametersCoverTheCatalogue(t *testing.T) {
	ids := map[uint16]bool{}
	for _, p := range metricParameters(catalogue.Embedded()) {
		if named := p.(driver.NamedValue); named.Name == "ids" || strings.HasSuffix(named.Name, "_ids") {
			for _, id := range named.Value.([]uint16) {
				ids[id] = true
			}
		}
	}
	for _, m := range catalogue.Embedded().All() {
		if !ids[m.ID] {
			t.Errorf("%s is in no statement", m.Name)
		}
	}
}

func TestOnlyNamedParametersAreSent(t *testing.T) {
	l := &loader{fixed: []any{chgo.Named("seed", 1), chgo.Named("last", "2026-01-01")}}
	if got := l.used("SELECT {seed:UInt64}"); len(got) != 1 || got[0].(driver.NamedValue).Name != "seed" {
		t.Errorf("got %v", got)
	}
}

func TestOptionsAreChecked(t *testing.T) {
	good := Options{Licences: 100, Days: Year, Reports: 100_000, Now: time.Now()}
	if err := good.Validate(); err != nil {
		t.Error(err)
	}
	for name, change := range map[string]func(*Options){
		"licences": func(o *Options) { o.Licences = 0 }, "days": func(o *Options) { o.Days = Year + 1 },
		"reports": func(o *Options) { o.Reports = 1 }, "time": func(o *Options) { o.Now = time.Time{} },
	} {
		o := good
		change(&o)
		if err := o.Validate(); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: error %v", name, err)
		}
	}
}
