package staticpage

import (
	"cmp"
	"slices"
	"time"
)

// applicationUptake is the releases of one application over time.
type applicationUptake struct {
	Application string
	Releases    []string // oldest first
	Rows        []uptakeRow
	Newest      []releaseShare // of the last day, newest release first
}

type uptakeRow struct {
	Day   string
	Cells []string
}

type releaseShare struct {
	Release string
	N       uint64
	Share   float64
}

// uptakeTables puts releases side by side: a row a week and the newest day. The plot
// has every day, data.json too.
func uptakeTables(all []Uptake) []applicationUptake {
	byApplication := map[string]map[string]map[string]uint64{} // application, day, release
	for _, u := range all {
		if u.Dimension != "version" {
			continue
		}
		if byApplication[u.Application] == nil {
			byApplication[u.Application] = map[string]map[string]uint64{}
		}
		if byApplication[u.Application][u.Day] == nil {
			byApplication[u.Application][u.Day] = map[string]uint64{}
		}
		byApplication[u.Application][u.Day][u.Segment] = u.Installations
	}
	var tables []applicationUptake
	for _, application := range sortedBy(byApplication, func(a, b string) int { return cmp.Compare(b, a) }) {
		tables = append(tables, newApplicationUptake(application, byApplication[application]))
	}
	return tables
}

func newApplicationUptake(application string, byDay map[string]map[string]uint64) applicationUptake {
	t := applicationUptake{Application: application}
	for _, releases := range byDay {
		for release := range releases {
			t.Releases = append(t.Releases, release)
		}
	}
	slices.SortFunc(t.Releases, compareSegments)
	t.Releases = slices.Compact(t.Releases)
	days := sortedBy(byDay, cmp.Compare[string])
	for i, day := range days {
		if i < len(days)-1 && !isMonday(day) {
			continue
		}
		row := uptakeRow{Day: day}
		for _, release := range t.Releases {
			row.Cells = append(row.Cells, count(byDay[day][release]))
		}
		t.Rows = append(t.Rows, row)
	}
	newest := byDay[days[len(days)-1]]
	var whole uint64
	for _, n := range newest {
		whole += n
	}
	for _, release := range slices.Backward(t.Releases) {
		t.Newest = append(t.Newest, releaseShare{Release: release, N: newest[release], Share: ratio(newest[release], whole)})
	}
	return t
}

func isMonday(text string) bool {
	t, err := time.Parse(time.DateOnly, text)
	return err == nil && t.Weekday() == time.Monday
}

// editionRow is an edition as it was sold and as it is reported.
type editionRow struct {
	Edition        string
	Sold, Reported uint64
}

func editionRows(all []Uptake) []editionRow {
	found := map[string]editionRow{}
	for _, u := range all {
		row := found[u.Segment]
		row.Edition = u.Segment
		switch u.Dimension {
		case "edition":
			row.Reported += u.Installations
		case "edition_sold":
			row.Sold += u.Installations
		default:
			continue
		}
		found[u.Segment] = row
	}
	var rows []editionRow
	for _, edition := range sortedBy(found, compareSegments) {
		rows = append(rows, found[edition])
	}
	return rows
}
