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
	numbers int // complete cells: brackets that are one number
	closed  int // cells without an unclosed session
	missed  int // brackets that do not hold the truth
	above   int // cells whose truth is above what is certain
	below   int // cells whose truth is below what is possible
	widths  []float64
	naive   int     // cells in which the sum over installations is not the truth
	excess  float64 // that sum, over all cells, as a multiple of the truth
	// doubtful are the cells with a session whose clock is not known to be right; they are
	// not among those above that were missed, but among those that err.
	doubtful map[licenceDay]bool
	erring   int                 // of doubtful, those that do not hold the truth
	excused  map[licenceDay]bool // cells of a wrong clock that looks right
	masked   int                 // of excused, those that do not hold the truth
}

func (f *peakFinding) exact() bool {
	return f.cells > 0 && f.missed == 0 && f.numbers == f.cells && f.closed == f.cells
}

// bracketed reports whether every bracket holds the truth, and at least half of the cells
// are complete, in a world that is rough enough to show it: one in which either end alone,
// and the naive sum, would have erred.
func (f *peakFinding) bracketed() bool {
	return f.cells > 0 && f.missed == 0 && 2*f.numbers >= f.cells && f.above > 0 && f.below > 0 && f.naive > 0
}

func (f *peakFinding) String() string {
	return fmt.Sprintf("%d cells, %d without the truth in the bracket, %d complete (their bracket is one number; %d without an unclosed session), median width %.0f CPUs "+
		"(%.0f where it is not 0), the lower end alone wrong in %d, the upper in %d; the naive sum wrong in %d, %.2f times the truth; %d doubted for reports that waited", f.cells, f.missed, f.numbers, f.closed,
		median(f.widths), median(slices.DeleteFunc(slices.Clone(f.widths), func(width float64) bool { return width == 0 })), f.above, f.below, f.naive, f.excess, len(f.doubtful))
}

// comparePeaks compares v1_peak_cpus with the truth of every licence and day, and beside
// it the sum of what installations reported.
func (p *pipeline) comparePeaks(ctx context.Context, w *serverWorld) (f *peakFinding, err error) {
	truth, ids := w.peaks(), p.idsOf(w)
	f = &peakFinding{doubtful: map[licenceDay]bool{}, excused: w.maskedCells()}
	rows, err := p.conn.Query(ctx, `SELECT peak.licence_id, toString(peak.day), cpus_certain, cpus_possible, unclosed, toUInt64(naive.value), clock_doubtful
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
			id                                           uuid.UUID
			day                                          string
			certain, possible, unclosed, naive, doubtful uint64
		)
		if err := rows.Scan(&id, &day, &certain, &possible, &unclosed, &naive, &doubtful); err != nil {
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
		if doubtful > 0 {
			f.doubtful[key] = true
		}
		f.compare(w, p.env, key, want, certain, possible, unclosed)
		all, sums = all+float64(want), sums+float64(naive)
		if naive != want {
			f.naive++
		}
	}
	for key, want := range truth { // nowhere in the view
		f.compare(w, p.env, key, want, 0, 0, 0)
	}
	f.excess = sums / max(1, all)
	return f, rows.Err()
}

func (f *peakFinding) compare(w *serverWorld, env *Environment, key licenceDay, want, certain, possible, unclosed uint64) {
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
	switch holds := certain <= want && want <= possible; {
	case holds:
	case w.skewed && f.doubtful[key]:
		f.erring++
	case f.excused[key]:
		f.masked++
	default:
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
	doubted int // neither, since a clock is doubtful
	details []string
}

func (f *truthFinding) holds() bool { return f.wanted > 0 && f.wrongly == 0 && f.untold == 0 }

func (f *truthFinding) String() string {
	text := fmt.Sprintf("%d true, %d told, %d false, %d untold", f.wanted, f.told, f.wrongly, f.untold)
	if f.doubted > 0 {
		text += fmt.Sprintf(", %d left open for a doubtful clock", f.doubted)
	}
	return text
}

func (f *truthFinding) wrong(format string, values ...any) {
	if len(f.details) < 20 {
		f.details = append(f.details, fmt.Sprintf(format, values...))
	}
}

// compareFindings compares the days on which licences are told to exceed their CPUs with
// those on which they did: every day that is told as certain must be true, and every true
// one be told, as certain or as unsure; in the first world, whose sessions are complete,
// as certain. Of the cells whose clocks are doubtful only this is asked: that none is told
// as certain which is not true.
func (p *pipeline) compareFindings(report *compliance.Report, doubtful map[licenceDay]bool, complete *serverWorld, rest ...*serverWorld) *truthFinding {
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
		peaks, masked := w.peaks(), w.maskedCells()
		for _, l := range w.licences {
			for day := range w.days {
				key := licenceDay{l.key, time.UnixMilli(w.first + int64(day)*dayMillis).UTC().Format(time.DateOnly)}
				state := told[key]
				over := l.registered && peaks[key] > uint64(l.cpus)
				switch {
				case masked[key]:
				case doubtful[key] && state != "over":
					f.doubted++
				default:
					f.count(key, over, state, n == 0 && !doubtful[key])
				}
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
			text := cloneOn(*row.InstallationID, row.Day)
			if row.ClockDoubtful && !want[text] {
				continue // it may be none, and says so
			}
			got[text] = true
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
