package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"

	"rollcall/pkg/compliance"
	"rollcall/pkg/pseudonym"
)

// peakFinding is how peaks compare with the truth.
type peakFinding struct {
	cells   int
	numbers int // brackets that are a number
	closed  int // cells without an unclosed session
	missed  int // brackets that do not hold the truth
	above   int // cells whose truth is above what is certain
	below   int // cells whose truth is below what is possible
	widths  []float64
	naive   int     // cells in which the sum over installations is not the truth
	excess  float64 // that sum, over all cells, as a multiple of the truth
}

func (f *peakFinding) exact() bool {
	return f.cells > 0 && f.missed == 0 && f.numbers == f.cells && f.closed == f.cells
}

// bracketed reports whether every bracket holds the truth in a world that is rough enough
// to show it: one in which either end alone, and the naive sum, would have erred.
func (f *peakFinding) bracketed() bool {
	return f.cells > 0 && f.missed == 0 && 2*f.numbers >= f.cells && f.above > 0 && f.below > 0 && f.naive > 0
}

func (f *peakFinding) String() string {
	return fmt.Sprintf("%d cells, %d without the truth in the bracket, %d brackets are a number (%d cells without an unclosed session), median width %.0f CPUs "+
		"(%.0f where it is not 0), the lower end alone wrong in %d, the upper in %d; the naive sum wrong in %d, %.2f times the truth", f.cells, f.missed, f.numbers, f.closed,
		middle(f.widths), middle(slices.DeleteFunc(slices.Clone(f.widths), func(width float64) bool { return width == 0 })), f.above, f.below, f.naive, f.excess)
}

// middle is the median; 0 of nothing.
func middle(all []float64) float64 {
	if len(all) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(all))
	return sorted[len(sorted)/2]
}

// comparePeaks compares v1_peak_cpus with the truth of every licence and day, and beside
// it the sum of what installations reported.
func (p *pipeline) comparePeaks(ctx context.Context, w *serverWorld) (f *peakFinding, err error) {
	truth, ids := w.peaks(), p.idsOf(w)
	f = &peakFinding{}
	rows, err := p.conn.Query(ctx, `SELECT peak.licence_id, toString(peak.day), cpus_certain, cpus_possible, unclosed, toUInt64(naive.value)
		FROM v1_peak_cpus AS peak
		LEFT JOIN (SELECT licence_id, day, value FROM v1_licence_day WHERE metric = 'cpus') AS naive ON peak.licence_id = naive.licence_id AND peak.day = naive.day
		WHERE peak.day >= toDate(?) AND peak.day < toDate(?)`, w.first/dayMillis, w.end()/dayMillis)
	if err != nil {
		return nil, fmt.Errorf("query peaks: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	var all, sums float64
	for rows.Next() {
		var (
			id                                 uuid.UUID
			day                                string
			certain, possible, unclosed, naive uint64
		)
		if err := rows.Scan(&id, &day, &certain, &possible, &unclosed, &naive); err != nil {
			return nil, fmt.Errorf("read peaks: %w", err)
		}
		l := ids[id]
		if l == nil {
			continue // of another world
		}
		key := licenceDay{l.key, day}
		want, known := truth[key]
		delete(truth, key)
		if !known && certain == 0 {
			continue // a day on which a session may have run on, and had not
		}
		f.compare(p.env, key, want, certain, possible, unclosed)
		all, sums = all+float64(want), sums+float64(naive)
		if naive != want {
			f.naive++
		}
	}
	for key, want := range truth { // nowhere in the view
		f.compare(p.env, key, want, 0, 0, 0)
	}
	f.excess = sums / max(1, all)
	return f, rows.Err()
}

func (f *peakFinding) compare(env *Environment, key licenceDay, want, certain, possible, unclosed uint64) {
	f.cells++
	f.widths = append(f.widths, float64(possible)-float64(certain))
	if certain == possible {
		f.numbers++
	}
	if unclosed == 0 {
		f.closed++
	}
	if want > certain {
		f.above++
	}
	if want < possible {
		f.below++
	}
	if want < certain || want > possible {
		f.missed++
		if f.missed <= 10 {
			env.Say("%s on %s: %d CPUs, told as %d to %d", key.licence, key.day, want, certain, possible)
		}
	}
}

// truthFinding is how what is told compares with what is true.
type truthFinding struct {
	wanted  int // true, so to be told
	told    int
	wrongly int // told and not true
	untold  int // true and not told
	details []string
}

func (f *truthFinding) holds() bool { return f.wanted > 0 && f.wrongly == 0 && f.untold == 0 }

func (f *truthFinding) String() string {
	return fmt.Sprintf("%d true, %d told, %d false, %d untold", f.wanted, f.told, f.wrongly, f.untold)
}

func (f *truthFinding) wrong(format string, values ...any) {
	if len(f.details) < 20 {
		f.details = append(f.details, fmt.Sprintf(format, values...))
	}
}

// compareFindings compares the days on which licences are told to exceed their CPUs with
// those on which they did: every day that is told as certain must be true, and every true
// one be told, as certain or as unsure; in the first world, whose sessions are complete,
// as certain.
func (p *pipeline) compareFindings(report *compliance.Report, complete *serverWorld, rest ...*serverWorld) *truthFinding {
	f := &truthFinding{}
	ids := p.idsOf(append(rest, complete)...)
	told := map[licenceDay]string{}
	for _, finding := range report.Findings {
		if finding.Entitlement != "cpus" {
			continue
		}
		for _, day := range finding.Evidence {
			told[licenceDay{ids[finding.LicenceID].key, day.Day}] = day.State
		}
		if len(finding.Sessions) == 0 {
			f.untold++
			f.wrong("%s exceeds its CPUs without a session to show", ids[finding.LicenceID].key)
		}
	}
	for n, w := range append([]*serverWorld{complete}, rest...) {
		peaks := w.peaks()
		for _, l := range w.licences {
			for day := range w.days {
				key := licenceDay{l.key, time.UnixMilli(w.first + int64(day)*dayMillis).UTC().Format(time.DateOnly)}
				state := told[key]
				over := l.registered && peaks[key] > uint64(l.cpus)
				f.count(key, over, state, n == 0)
			}
		}
	}
	return f
}

func (f *truthFinding) count(key licenceDay, over bool, state string, complete bool) {
	if over {
		f.wanted++
	}
	if state == "over" {
		f.told++
	}
	switch {
	case over && state == "" || over && state != "over" && complete:
		f.untold++
		f.wrong("%s exceeds its CPUs on %s, which is told as %q", key.licence, key.day, state)
	case !over && (state == "over" || complete && state != ""):
		f.wrongly++
		f.wrong("%s does not exceed its CPUs on %s, which is told as %q", key.licence, key.day, state)
	}
}

// compareSigns compares the signs of abuse with the customers that must show them.
func (p *pipeline) compareSigns(report *compliance.Report, abused map[string]*worldLicence, complete *serverWorld, rest ...*serverWorld) *truthFinding {
	f := &truthFinding{}
	want, got := map[string]bool{}, map[string]bool{}
	for sign, l := range abused {
		want[sign+" "+l.key] = true
	}
	want[compliance.SignCountries+" "+abused[compliance.SignNetworks].key] = true
	certain, possible := p.copies(complete), p.copies(append(rest, complete)...)
	maps.Copy(want, certain)
	ids := p.idsOf(append(rest, complete)...)
	for _, sign := range report.Signs {
		if len(sign.Rows) == 0 {
			f.wrong("%s is told without a row", sign.Sign)
			f.wrongly++
		}
		if sign.Sign != compliance.SignClone {
			got[sign.Sign+" "+ids[sign.LicenceID].key] = true
			continue
		}
		for _, row := range sign.Rows {
			got[cloneOn(*row.InstallationID, row.Day)] = true
		}
	}
	f.wanted, f.told = len(want), len(got)
	for text := range got {
		if !want[text] && !possible[text] {
			f.wrongly++
			f.wrong("told and not true: %s", text)
		}
	}
	for text := range want {
		if !got[text] {
			f.untold++
			f.wrong("true and not told: %s", text)
		}
	}
	return f
}

func cloneOn(installation uuid.UUID, day string) string {
	return compliance.SignClone + " " + installation.String() + " " + day
}

// copies are the installations that truly ran on several machines at once for more than
// an hour of a day.
func (p *pipeline) copies(worlds ...*serverWorld) map[string]bool {
	found := map[string]bool{}
	for _, w := range worlds {
		of := map[uuid.UUID][]*stay{}
		for _, s := range w.ran {
			of[s.installation] = append(of[s.installation], s)
		}
		for installation, stays := range of {
			for day := w.first; day < w.end(); day += dayMillis {
				if overlapMillis(stays, day, day+dayMillis) > hourMillis {
					id := p.scoped(stays[0].licence.key, pseudonym.Installation, installation)
					found[cloneOn(id, time.UnixMilli(day).UTC().Format(time.DateOnly))] = true
				}
			}
		}
	}
	return found
}

// overlapMillis is for how long there were two machines or more.
func overlapMillis(stays []*stay, from, to int64) int64 {
	moments := []int64{from, to}
	for _, s := range stays {
		moments = append(moments, min(max(s.from, from), to), min(max(s.to, from), to))
	}
	slices.Sort(moments)
	total := int64(0)
	for i := range len(moments) - 1 {
		machines := map[uuid.UUID]bool{}
		for _, s := range stays {
			if s.from <= moments[i] && moments[i] < s.to {
				machines[s.host] = true
			}
		}
		if len(machines) > 1 {
			total += moments[i+1] - moments[i]
		}
	}
	return total
}
