package fleet

import (
	"net/netip"
	"testing"

	"github.com/google/uuid"

	"rollcall/pkg/client"
)

// Whatever the fleet is said to show must be in it: a proof that relies on, say,
// roaming sessions proves nothing over a fleet that has none.
func TestTheFleetHasWhatItIsSaidToHave(t *testing.T) {
	o := Proof()
	o.End = midnight
	plan, err := New(o, testMetrics())
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]int{}
	for _, l := range plan.licences {
		switch {
		case l.Phase == PhaseNever:
			seen["licence never registered"]++
		case l.Phase == PhaseHalfway:
			seen["licence registered half-way"]++
		case l.Terms[0].ValidUntil != nil:
			seen["licence that expires"]++
		case len(l.Terms) > 1:
			seen["licence extended"]++
		}
	}
	observeSessions(plan, seen)
	observeDeliveries(plan, seen)
	for _, want := range []string{
		"licence never registered", "licence registered half-way", "licence that expires", "licence extended",
		"crash", "rolling restart", "session of several days", "host reboot between sessions", "two installations on a host",
		"upgrade", "consent withdrawn", "consent given", "licence changed",
		"roams within a day", "IPv6", "client clock an hour off", "client clock off by minutes",
		"REQUIRED without optional metrics", "REQUIRED with optional metrics", "old policy", "unknown metric", "more than 50 unknown metrics", "metric in the wrong map",
		"negative", "above 2^53", "exactly 2^53", "suspect", "suspect by a licence registered half-way", "suspect by a licence registered before",
		"JSON", "late by days", "copy days later",
	} {
		if seen[want] == 0 {
			t.Errorf("the fleet has none: %s", want)
		}
	}
	if n := seen["consent ignored by a client that heeds it"]; n > 0 {
		t.Errorf("%d reports with optional metrics from clients that heed their consent", n)
	}
	t.Log(seen)
}

func observeSessions(plan *Plan, seen map[string]int) {
	previous := map[int]session{}
	onHost := map[int]int{}
	for _, i := range plan.installations {
		if onHost[i.host]++; onHost[i.host] > 1 {
			seen["two installations on a host"]++
		}
	}
	for _, s := range plan.sessions {
		host := plan.hosts[plan.installations[s.installation].host]
		if s.ending == byCrash {
			seen["crash"]++
		}
		if s.end-s.start > 3*day {
			seen["session of several days"]++
		}
		if before, ok := previous[s.installation]; ok {
			switch {
			case before.end > s.start:
				seen["rolling restart"]++
			case before.release != s.release:
				seen["upgrade"]++
			case before.licence != s.licence:
				seen["licence changed"]++
			case before.consent != s.consent && s.consent == client.ConsentRequired:
				seen["consent withdrawn"]++
			case before.consent != s.consent:
				seen["consent given"]++
			}
			if host.boot(before.start) != host.boot(s.start) {
				seen["host reboot between sessions"]++
			}
		}
		previous[s.installation] = s
	}
}

func observeDeliveries(plan *Plan, seen map[string]int) {
	type sessionDay struct {
		session uuid.UUID
		day     int32
	}
	addresses := map[sessionDay]netip.Addr{}
	known := map[string]Metric{}
	for _, m := range testMetrics() {
		known[m.Name] = m
	}
	for d := range plan.Deliveries() {
		r := d.Report()
		key := sessionDay{r.SessionID, r.Day}
		if known, ok := addresses[key]; ok && known != d.Address {
			seen["roams within a day"]++
		}
		addresses[key] = d.Address
		if d.Address.Is6() {
			seen["IPv6"]++
		}
		switch off := r.SentAt - d.report.made; {
		case off > hour || off < -hour:
			seen["client clock an hour off"]++
		case off > minute || off < -minute:
			seen["client clock off by minutes"]++
		}
		if late := d.received - d.report.made; late > 2*day && d.Copy == 0 {
			seen["late by days"]++
		} else if late > day && d.Copy > 0 {
			seen["copy days later"]++
		}
		if d.report.product.of.media == client.JSON {
			seen["JSON"]++
		}
		if r.PolicyVersion == 1 {
			seen["old policy"]++
		}
		observeValues(plan, known, d, r, seen)
	}
}

func observeValues(plan *Plan, known map[string]Metric, d Delivery, r *client.Report, seen map[string]int) {
	licence := plan.licences[d.report.product.session.licence]
	optional, unknown := false, 0
	for kind, values := range map[string]map[string]int64{counter: r.Counters, gauge: r.Gauges, distinct: r.Distincts} {
		for name, v := range values {
			m, ok := known[name]
			optional = optional || m.Optional
			switch {
			case !ok:
				unknown++
			case m.Kind != kind:
				seen["metric in the wrong map"]++
			case v < 0:
				seen["negative"]++
			case v == 1<<53:
				seen["exactly 2^53"]++
			case v > 1<<53:
				seen["above 2^53"]++
			case naiveSuspect(m, licence, r, v) == 1:
				seen["suspect"]++
				if naiveSuspect(m, Licence{}, r, v) == 0 {
					seen[map[int]string{
						PhaseHalfway: "suspect by a licence registered half-way", PhaseBefore: "suspect by a licence registered before",
					}[licence.Phase]]++
				}
			}
		}
	}
	if unknown > 50 {
		seen["more than 50 unknown metrics"]++
	} else if unknown > 0 {
		seen["unknown metric"]++
	}
	if r.Consent == client.ConsentRequired && optional {
		seen["REQUIRED with optional metrics"]++
		if !d.report.product.of.ignoresConsent {
			seen["consent ignored by a client that heeds it"]++
		}
	} else if r.Consent == client.ConsentRequired {
		seen["REQUIRED without optional metrics"]++
	}
}

// Legacy features die out: fewer installations use them at the end than at the
// start, while the others hold.
func TestLegacyFeaturesDieOut(t *testing.T) {
	o := Proof()
	o.End = midnight
	plan, err := New(o, testMetrics())
	if err != nil {
		t.Fatal(err)
	}
	metrics := testMetrics()
	type user struct {
		installation uuid.UUID
		metric       string
	}
	type use struct {
		day    int32
		legacy bool
	}
	users := map[use]map[user]bool{}
	for d := range plan.Deliveries() {
		r := d.Report()
		for _, m := range metrics {
			if m.Optional && r.Counters[m.Name] > 0 {
				key := use{r.Day - plan.days.first, m.Legacy}
				if users[key] == nil {
					users[key] = map[user]bool{}
				}
				users[key][user{r.InstallationID, m.Name}] = true
			}
		}
	}
	at := func(day int32, legacy bool) int { return len(users[use{day, legacy}]) }
	if early, late := at(2, true), at(11, true); late*2 > early || late == 0 {
		t.Errorf("legacy features have %d users on day 2 and %d on day 11", early, late)
	}
	if early, late := at(2, false), at(11, false); late*10 < early*9 {
		t.Errorf("the other features have %d users on day 2 and %d on day 11", early, late)
	}
}

func TestReleasesAreComparedByNumber(t *testing.T) {
	for _, test := range []struct {
		a, b string
		want bool
	}{{"9.0", "10.0", true}, {"10.0", "9.0", false}, {"11.5.0.2", "11.5", false}, {"11.5", "11.5.0.2", true}, {"11", "11.0", false}, {"x", "1", true}} {
		if got := older(test.a, test.b); got != test.want {
			t.Errorf("%s older than %s: %v", test.a, test.b, got)
		}
	}
}
