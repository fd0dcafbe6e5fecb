package fleet

import (
	"encoding/csv"
	"fmt"
	"io"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"
)

// Phases of a fleet: a licence of PhaseHalfway is registered between the
// deliveries of the first phase and those of the second.
const (
	PhaseNever   = 0
	PhaseBefore  = 1
	PhaseHalfway = 2
)

// Licence is one licence of the fleet.
type Licence struct {
	Key     string // canonical form: upper case, groups of five with dashes
	Company string
	Email   string
	// Phase says when the vendor registers it: PhaseNever, PhaseBefore or PhaseHalfway.
	Phase int
	Terms []Terms // ascending by ValidFrom; also of one never registered (its Terms are empty)

	country country
}

// Terms are what a licence entitles to from a day on. Days are days since
// 1970-01-01; a nil limit is no limit.
type Terms struct {
	ValidFrom             int32
	ValidUntil            *int32 // last day
	Edition               string
	Industry              string
	Region                string
	Partner               string
	EntitledCPUs          *int64
	EntitledRoboServers   *int64
	EntitledRobots        *int64
	EntitledUsers         *int64
	EntitledStepsPerMonth *int64
}

// keyAlphabet leaves out the letters that are taken for digits.
const keyAlphabet = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"

func licenceKey(r *rand.Rand) string {
	var key strings.Builder
	for i := range 25 {
		if i > 0 && i%5 == 0 {
			key.WriteByte('-')
		}
		key.WriteByte(keyAlphabet[r.IntN(len(keyAlphabet))])
	}
	return key.String()
}

func makeLicences(o Options, days span) []Licence {
	licences := make([]Licence, o.Licences)
	for i := range licences {
		r := stream(o.Seed, streamLicence, uint64(i))
		licences[i] = Licence{
			Key:     licenceKey(r),
			Company: fmt.Sprintf("Customer %04d", i+1),
			Email:   fmt.Sprintf("admin@customer-%04d.example.org", i+1),
			country: pick(r, countries()),
		}
		licences[i].register(r, days)
	}
	return licences
}

// register decides when the licence is registered and with which terms.
//
// How the pipeline judges a value depends on the terms in force on the report's
// day when the report is processed. So that it has one right answer:
// terms of a licence registered half-way begin on span.effective, a day of which no
// report can have been delivered before the registration; and where the end of
// the validity falls into the fleet, the CPUs are unlimited.
func (l *Licence) register(r *rand.Rand, days span) {
	terms := Terms{
		ValidFrom: days.first - 30 - int32(r.IntN(700)),
		Edition:   pick(r, editions()), Industry: pick(r, industries()), Region: l.country.region,
	}
	if chance(r, 0.4) {
		terms.Partner = fmt.Sprintf("Partner %02d", 1+r.IntN(9))
	}
	if chance(r, 0.5) {
		terms.EntitledRobots = limit(between(r, 10, 500))
		terms.EntitledRoboServers = limit(between(r, 1, 20))
		terms.EntitledUsers = limit(between(r, 5, 300))
		terms.EntitledStepsPerMonth = limit(between(r, 1, 500) * 1_000_000)
	}
	switch cpus := r.Float64(); {
	case cpus < 0.25: // fewer than any host of theirs has
		terms.EntitledCPUs = limit(between(r, 1, 3))
	case cpus < 0.8:
		terms.EntitledCPUs = limit(8 << r.IntN(6))
	}
	l.Phase, l.Terms = PhaseBefore, []Terms{terms}
	switch kind := r.Float64(); {
	case kind < 0.06:
		l.Phase, l.Terms = PhaseNever, nil
	case kind < 0.18:
		l.Phase, l.Terms[0].ValidFrom = PhaseHalfway, days.effective
	case kind < 0.24: // expires, or has expired
		until := days.first - 10 + int32(r.IntN(int(days.count)+10))
		l.Terms[0].ValidUntil, l.Terms[0].EntitledCPUs = &until, nil
	case kind < 0.32: // extended within the fleet
		more := terms
		more.ValidFrom = days.first + int32(r.IntN(int(days.count)))
		more.EntitledCPUs, more.Edition = limit(64), "enterprise"
		l.Terms = append(l.Terms, more)
	}
}

func limit(n int64) *int64 { return &n }

// on returns the terms in force on a day: the newest that began not after it.
func (l *Licence) on(day int32) (Terms, bool) {
	for i := len(l.Terms) - 1; i >= 0; i-- {
		if l.Terms[i].ValidFrom <= day {
			return l.Terms[i], true
		}
	}
	return Terms{}, false
}

// asEntered returns the key as an administrator types it, always the same for one
// installation: spaces, dashes and case differ, the licence does not.
func (l *Licence) asEntered(style int) string {
	switch style {
	case 1:
		return strings.ToLower(l.Key)
	case 2:
		return " " + strings.ReplaceAll(l.Key, "-", " ") + " "
	case 3:
		return strings.ReplaceAll(l.Key, "-", "")
	}
	return l.Key
}

// WriteLicences writes the terms of the licences that are registered in that phase
// as CSV for `rollcall licences apply`.
func WriteLicences(w io.Writer, licences []Licence, phase int) error {
	out := csv.NewWriter(w)
	rows := [][]string{{
		"licence_key", "valid_from", "valid_until", "edition", "industry", "region", "partner",
		"entitled_cpus", "entitled_roboservers", "entitled_robots", "entitled_users", "entitled_steps_per_month",
	}}
	for _, l := range licences {
		if l.Phase != phase || phase == PhaseNever {
			continue
		}
		for _, t := range l.Terms {
			until := ""
			if t.ValidUntil != nil {
				until = date(*t.ValidUntil)
			}
			rows = append(rows, []string{
				l.Key, date(t.ValidFrom), until, t.Edition, t.Industry, t.Region, t.Partner,
				optional(t.EntitledCPUs), optional(t.EntitledRoboServers), optional(t.EntitledRobots),
				optional(t.EntitledUsers), optional(t.EntitledStepsPerMonth),
			})
		}
	}
	if err := out.WriteAll(rows); err != nil {
		return fmt.Errorf("write licences: %w", err)
	}
	return nil
}

func optional(n *int64) string {
	if n == nil {
		return ""
	}
	return strconv.FormatInt(*n, 10)
}

// date renders a day since 1970-01-01.
func date(d int32) string {
	return time.UnixMilli(int64(d) * day).UTC().Format(time.DateOnly)
}
