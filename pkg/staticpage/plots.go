package staticpage

import (
	"slices"

	"rollcall/pkg/compliance"
	"rollcall/pkg/retirement"
)

// mostBars is how many licences the plot of compliance has room for.
const mostBars = 15

// plots is what the page's script draws: the tables' numbers, and nothing else.
type plots struct {
	Features   []plotFeature     `json:"features"`
	Retirement []plotRetirement  `json:"retirement"`
	Compliance []plotFinding     `json:"compliance"`
	Uptake     []plotApplication `json:"uptake"`
	Editions   []plotEdition     `json:"editions"`
	Coverage   []plotCoverage    `json:"coverage"`
	Quality    []plotQuality     `json:"quality"`
}

type plotFeature struct {
	Key    string      `json:"key"`
	Name   string      `json:"name"`
	Legacy bool        `json:"legacy"`
	Before *float64    `json:"before"` // null: no earlier week
	After  *float64    `json:"after"`
	Weeks  []plotValue `json:"weeks"`
}

type plotValue struct {
	Day   string   `json:"day"`
	Value *float64 `json:"value"`
}

type plotRetirement struct {
	Name    string             `json:"name"`
	Verdict retirement.Verdict `json:"verdict"`
	Low     float64            `json:"low"`
	High    float64            `json:"high"`
	Worst   float64            `json:"worst"`
	Keep    float64            `json:"keep"`
}

type plotFinding struct {
	Name     string  `json:"name"`
	Verdict  string  `json:"verdict"`
	Certain  float64 `json:"certain"` // times the entitlement
	Possible float64 `json:"possible"`
}

type plotApplication struct {
	Application string     `json:"application"`
	Releases    []string   `json:"releases"`
	Days        []plotDays `json:"days"`
}

type plotDays struct {
	Day     string `json:"day"`
	Release string `json:"release"`
	N       uint64 `json:"n"`
}

type plotEdition struct {
	Edition  string `json:"edition"`
	Sold     uint64 `json:"sold"`
	Reported uint64 `json:"reported"`
}

type plotCoverage struct {
	Day       string `json:"day"`
	InForce   uint64 `json:"in_force"`
	Reporting uint64 `json:"reporting"`
	Full      uint64 `json:"full"`
}

type plotQuality struct {
	Day    string  `json:"day"`
	Landed uint64  `json:"landed"`
	Dead   uint64  `json:"dead"`
	Median float64 `json:"median"`
	P99    float64 `json:"p99"`
}

func newPlots(v *view) plots {
	p := plots{}
	for _, f := range v.Features {
		plotted := plotFeature{Key: f.Metric.Metric + " " + f.Application, Name: words(f.Metric.Metric), Legacy: f.Lifecycle == "legacy", After: f.After.Adoption}
		if f.Whole {
			plotted.Before = f.Before.Adoption
		}
		for _, w := range f.Weeks {
			plotted.Weeks = append(plotted.Weeks, plotValue{w.Week, w.Adoption})
		}
		p.Features = append(p.Features, plotted)
	}
	for _, f := range v.RetirementOrder {
		p.Retirement = append(p.Retirement, plotRetirement{
			Name: words(f.Metric), Verdict: f.Verdict, Low: f.Bounds.LowShare, High: f.Bounds.HighShare, Worst: f.Bounds.WorstShare, Keep: f.Policy.KeepAbove,
		})
	}
	p.Compliance = v.plotted
	for _, a := range v.Applications {
		plotted := plotApplication{Application: a.Application, Releases: a.Releases}
		for _, u := range v.Uptake {
			if u.Dimension == "version" && u.Application == a.Application {
				plotted.Days = append(plotted.Days, plotDays{u.Day, u.Segment, u.Installations})
			}
		}
		p.Uptake = append(p.Uptake, plotted)
	}
	for _, e := range v.Editions {
		p.Editions = append(p.Editions, plotEdition{segmentName(e.Edition), e.Sold, e.Reported})
	}
	for _, c := range v.Coverage {
		p.Coverage = append(p.Coverage, plotCoverage{c.Day, c.InForce, c.Reporting, c.FullConsent})
	}
	for _, d := range v.Quality.Days {
		p.Quality = append(p.Quality, plotQuality{d.Day, d.Landed, d.Dead(), d.DelayMedian, d.DelayP99})
	}
	return p
}

// plotFindings are the gravest with a number to compare with, but for those that a
// short time excuses.
func plotFindings(findings []compliance.Finding) []plotFinding {
	var out []plotFinding
	for _, f := range findings {
		if f.Entitled == nil || *f.Entitled <= 0 || f.Verdict == compliance.Grace {
			continue
		}
		limit := float64(*f.Entitled)
		out = append(out, plotFinding{
			Name: shortID(f.LicenceID.String()) + " · " + words(f.Entitlement), Verdict: f.Verdict, Certain: float64(f.Certain) / limit, Possible: float64(f.Possible) / limit,
		})
	}
	return slices.Clip(out[:min(mostBars, len(out))])
}

// shortID is the beginning of a pseudonym, enough to find it in the table.
func shortID(id string) string { return id[:min(8, len(id))] }
