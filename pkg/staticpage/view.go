package staticpage

import (
	"cmp"
	"maps"
	"slices"

	"rollcall/pkg/compliance"
	"rollcall/pkg/retirement"
)

// mostFindings is how many findings and signs the page lists: beyond that a list is
// not read, and `rollcall compliance` has them all.
const mostFindings = 40

// view is the content as the template wants it.
type view struct {
	*Content
	Policy          string // the page's Content-Security-Policy
	Assets          assets
	Plots           plots
	Features        []featureRow
	Weeks           []string
	Heat            []heatTable
	Verdicts        []verdictCount
	RetirementOrder []retirement.Feature
	Findings        []compliance.Finding
	Signs           []compliance.Sign
	Applications    []applicationUptake
	Editions        []editionRow
	Facts           facts
	plotted         []plotFinding
}

func sortedBy[V any](m map[string]V, compare func(a, b string) int) []string {
	return slices.SortedFunc(maps.Keys(m), compare)
}

func newView(c *Content) *view {
	v := &view{Content: c}
	v.Features, v.Weeks = featureRows(c.Metrics)
	v.Heat = heatTables(c.Segments)
	if c.Retirement != nil {
		v.RetirementOrder = slices.Clone(c.Retirement.Features)
		slices.SortStableFunc(v.RetirementOrder, func(a, b retirement.Feature) int {
			return cmp.Or(cmp.Compare(rank(a.Verdict), rank(b.Verdict)), cmp.Compare(a.Bounds.HighShare, b.Bounds.HighShare))
		})
		v.Verdicts = verdictCounts(c.Retirement.Features)
	}
	if c.Compliance != nil {
		sorted := gravest(c.Compliance.Findings)
		v.Findings, v.plotted = sorted[:min(mostFindings, len(sorted))], plotFindings(sorted)
		v.Signs = c.Compliance.Signs[:min(mostFindings, len(c.Compliance.Signs))]
	}
	v.Applications, v.Editions = uptakeTables(c.Uptake), editionRows(c.Uptake)
	v.Facts = newFacts(c)
	v.Plots = newPlots(v)
	return v
}

// featureRow is the use of a feature at both ends of the window.
type featureRow struct {
	Metric
	Before Week // its first
	// After is the newest week of all; nobody could use it then: nothing is known.
	After Week
	// Whole tells whether there are two weeks to compare.
	Whole bool
	Cells []string // adoption of each of the page's weeks
}

// featureRows returns the features by adoption, the highest first, and the weeks.
func featureRows(metrics []Metric) ([]featureRow, []string) {
	var weeks []string
	for _, m := range metrics {
		for _, w := range m.Weeks {
			weeks = append(weeks, w.Week)
		}
	}
	slices.Sort(weeks)
	weeks = slices.Compact(weeks)
	var rows []featureRow
	for _, m := range metrics {
		row := featureRow{Metric: m, Before: m.Weeks[0], Whole: len(m.Weeks) > 1}
		if newest := m.Weeks[len(m.Weeks)-1]; newest.Week == weeks[len(weeks)-1] {
			row.After = newest
		}
		of := map[string]string{}
		for _, w := range m.Weeks {
			of[w.Week] = maybePercent(w.Adoption)
		}
		for _, w := range weeks {
			row.Cells = append(row.Cells, cmp.Or(of[w], "–"))
		}
		rows = append(rows, row)
	}
	slices.SortStableFunc(rows, func(a, b featureRow) int { return cmp.Compare(known(b.After.Adoption), known(a.After.Adoption)) })
	return rows, weeks
}

// known orders what is not known below everything else.
func known(share *float64) float64 {
	if share == nil {
		return -1
	}
	return *share
}

// heatTable is the adoption of features by a dimension: a plot that is a table.
type heatTable struct {
	Dimension, Title string
	Columns          []string
	Rows             []heatRow
}

type heatRow struct {
	Metric, Application string
	Cells               []heatCell
}

// heatCell is the share of covered installations that used a feature. Its class shades
// it, from h0 to h9; the number is always in it.
type heatCell struct{ Text, Class, Detail string }

func heatTables(segments []Segment) []heatTable {
	titles := map[string]string{"edition_sold": "Edition sold", "industry": "Industry", "version": "Release", "os": "Operating system"}
	var tables []heatTable
	for _, dimension := range dimensions() {
		t := heatTable{Dimension: dimension, Title: titles[dimension]}
		cells := map[[2]string]map[string]Segment{}
		for _, s := range segments {
			if s.Dimension != dimension {
				continue
			}
			key := [2]string{s.Metric, s.Application}
			if cells[key] == nil {
				cells[key] = map[string]Segment{}
			}
			cells[key][s.Segment] = s
			t.Columns = append(t.Columns, s.Segment)
		}
		slices.SortFunc(t.Columns, compareSegments)
		t.Columns = slices.Compact(t.Columns)
		for _, key := range slices.SortedFunc(maps.Keys(cells), func(a, b [2]string) int { return slices.Compare(a[:], b[:]) }) {
			row := heatRow{Metric: key[0], Application: key[1]}
			for _, column := range t.Columns {
				row.Cells = append(row.Cells, newHeatCell(cells[key][column]))
			}
			t.Rows = append(t.Rows, row)
		}
		if len(t.Rows) > 0 {
			tables = append(tables, t)
		}
	}
	return tables
}

// fewInstallations is below what a share is not worth a shade: of three, one is 33 %.
const fewInstallations = 5

func newHeatCell(s Segment) heatCell {
	if s.Covered == 0 {
		return heatCell{Text: "–", Class: "none", Detail: "nobody could be seen using it"}
	}
	share := ratio(s.Used, s.Covered)
	cell := heatCell{Text: percent(share), Class: "h" + string(rune('0'+min(9, int(share*10)))), Detail: count(s.Used) + " of " + plural(s.Covered, "installation", "installations")}
	if s.Covered < fewInstallations {
		cell.Class = "few"
	}
	return cell
}

// verdictCount is how many legacy features have a verdict.
type verdictCount struct {
	Verdict retirement.Verdict
	N       int
}

func verdicts() []retirement.Verdict {
	return []retirement.Verdict{retirement.Remove, retirement.Deprecate, retirement.Keep, retirement.NotEnough}
}

func rank(v retirement.Verdict) int { return slices.Index(verdicts(), v) }

func verdictCounts(features []retirement.Feature) []verdictCount {
	var out []verdictCount
	for _, verdict := range verdicts() {
		n := 0
		for _, f := range features {
			if f.Verdict == verdict {
				n++
			}
		}
		out = append(out, verdictCount{verdict, n})
	}
	return out
}

// gravest sorts findings: the gravest verdict first, then by how far the entitlement
// was exceeded.
func gravest(all []compliance.Finding) []compliance.Finding {
	sorted := slices.Clone(all)
	order := []string{compliance.Over, compliance.Grace, compliance.Unsure}
	slices.SortStableFunc(sorted, func(a, b compliance.Finding) int {
		return cmp.Or(cmp.Compare(slices.Index(order, a.Verdict), slices.Index(order, b.Verdict)), cmp.Compare(excess(b), excess(a)), cmp.Compare(b.Days, a.Days))
	})
	return sorted
}

// excess is how many times the entitlement is in use for certain; 0: no number was sold.
func excess(f compliance.Finding) float64 {
	if f.Entitled == nil || *f.Entitled <= 0 {
		return 0
	}
	return float64(f.Certain) / float64(*f.Entitled)
}
