//go:build embedded

package compliance

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"rollcall/pkg/clickhouse/clickhousetest"
)

// A clock is doubtful unless a report came within a minute of its sending; then the days
// that the session may have run on by another clock are doubtful too, and nothing is over
// for certain.
func TestDoubtfulClocks(t *testing.T) {
	_, conn := clickhousetest.Database(t)
	const s, d, minute = "SHUTDOWN", "DAILY", 1.0 / 60
	cases := map[string]struct {
		said []said
		want []string // day: CPUs certain, sessions, doubtful, state
	}{
		"right":           {[]said{{kind: s, started: 1, sent: 5, late: minute / 2}}, []string{"0: 8 1 0 over"}},
		"a minute late":   {[]said{{kind: s, started: 1, sent: 5, late: minute}}, []string{"0: 8 1 0 over"}},
		"behind, or late": {[]said{{kind: s, started: 3, sent: 5, late: 2 * minute}}, []string{"0: 8 1 1 unsure"}},
		"ahead":           {[]said{{kind: s, started: 3, sent: 5, late: -2 * minute}}, []string{"0: 8 1 1 unsure"}},
		"flagged":         {[]said{{kind: s, started: 3, sent: 5, skewed: true}}, []string{"0: 8 1 1 unsure"}},
		"one of its reports in time": {
			[]said{{kind: d, started: 20, sent: 24, late: 3}, {kind: s, day: 1, started: 20, sent: 25, sequence: 1, late: minute / 2}}, []string{"0: 8 1 0 over", "1: 8 1 0 over"},
		},
		"one of its reports ahead": {
			[]said{{kind: d, started: 23, sent: 24, late: -minute * 3}, {kind: s, day: 1, started: 23, sent: 25, sequence: 1}}, []string{"0: 8 1 1 unsure", "1: 8 1 1 unsure"},
		},
		"may be of the day before": {[]said{{kind: s, day: 1, started: 25, sent: 27, late: -2}}, []string{"0: 0 1 1 ", "1: 8 1 1 unsure"}},
		"may be of the day after":  {[]said{{kind: s, started: 20, sent: 22, late: 2.5}}, []string{"0: 8 1 1 unsure", "1: 0 1 1 "}},
		"days too late":            {[]said{{kind: s, day: 3, started: 73, sent: 74, late: 70}}, []string{"2: 0 1 1 ", "3: 8 1 1 unsure", "4: 0 1 1 "}},
	}
	for name, c := range cases {
		register(t, conn, terms{licence: name, from: -100, cpus: ptr[int64](7)})
		for _, r := range c.said {
			r.licence, r.installation, r.session, r.host, r.cpus = name, name, name, name, 8
			land(t, conn, r)
		}
	}
	settle(t, conn)
	for name, c := range cases {
		got := lines(t, conn, `SELECT concat(toString(p.day - toDate(?)), ': ', toString(cpus_certain), ' ', toString(sessions), ' ', toString(p.clock_doubtful), ' ', toString(c.state))
			FROM v1_peak_cpus AS p LEFT JOIN (SELECT day, state FROM v1_compliance WHERE licence_id = ? AND entitlement = 'cpus') AS c USING (day) WHERE p.licence_id = ? ORDER BY p.day`,
			firstDay().Format(dateForm), id(name), id(name))
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// An installation that reported two editions which are not the one sold is one.
func TestForeignEditions(t *testing.T) {
	_, conn := clickhousetest.Database(t)
	register(t, conn, terms{licence: "sold", from: -100, edition: " Basic "})
	for n, edition := range []string{"enterprise", "professional", "basic", "basic", "professional", "(other)", "basic"} {
		land(t, conn, said{licence: "sold", installation: []string{"a", "a", "a", "b", "c", "d", "d"}[n], session: fmt.Sprint(n), host: "h", kind: "SHUTDOWN", started: 1, sent: 2, edition: edition})
	}
	settle(t, conn)
	got := lines(t, conn, "SELECT concat(entitlement, ' ', toString(used_certain), ' ', toString(used_possible), ' ', state) FROM v1_compliance WHERE licence_id = ? AND entitlement IN ('edition', 'validity') ORDER BY 1", id("sold"))
	if diff := cmp.Diff([]string{"edition 2 2 over", "validity 4 4 within"}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// counted counts the queries of a view.
type counted struct {
	Querier
	view    string
	queries int
}

func (c *counted) Query(ctx context.Context, query string, args ...any) (driver.Rows, error) {
	if strings.Contains(query, "FROM "+c.view+" ") {
		c.queries++
	}
	return c.Querier.Query(ctx, query, args...)
}

// However many findings there are, their sessions are asked for together: each finding
// has those of its own licence and worst day, and as many as were asked for.
func TestSessionsOfFindings(t *testing.T) {
	_, conn := clickhousetest.Database(t)
	one := ptr[int64](1)
	register(t, conn, terms{licence: "both", from: -100, cpus: one, servers: one}, terms{licence: "cpus", from: -100, cpus: one})
	land(t, conn, daily("cpus", 4, 3)...)
	for n := range 3 {
		land(t, conn, said{licence: "both", installation: fmt.Sprint(n), session: fmt.Sprint("both", n), host: fmt.Sprint(n), kind: "SHUTDOWN", started: 1 + float64(n)/10, sent: 2, sequence: 1, cpus: 4})
	}
	settle(t, conn)
	for _, rows := range []int{100, 2, 0} {
		o := options(3)
		o.From, o.To, o.Rows = firstDay(), firstDay().AddDate(0, 0, 10), rows
		asked := &counted{Querier: conn, view: "v1_sessions"}
		report, err := Examine(t.Context(), asked, o)
		if err != nil {
			t.Fatal(err)
		}
		got := map[string][]uuid.UUID{}
		for _, f := range report.Findings {
			name := map[uuid.UUID]string{id("both"): "both", id("cpus"): "cpus"}[f.LicenceID] + " " + f.Entitlement
			got[name] = nil
			for _, s := range f.Sessions {
				got[name] = append(got[name], s.SessionID)
			}
		}
		of := func(names ...string) (ids []uuid.UUID) {
			for _, name := range names[:min(rows, len(names))] {
				ids = append(ids, id(name))
			}
			return ids
		}
		all := of("both0", "both1", "both2")
		want := map[string][]uuid.UUID{"both cpus": all, "both roboservers": all, "cpus cpus": of("cpus0")}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("at most %d (-want +got):\n%s", rows, diff)
		}
		if asked.queries != min(rows, 1) {
			t.Errorf("at most %d: v1_sessions is asked %d times", rows, asked.queries)
		}
	}
}
