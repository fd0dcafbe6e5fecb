// Package staticpage makes the page that analysts and those who decide look at: how
// features are used, what can be retired, who is within the contract, which releases
// run, and how good the data is. It reads the views of analysts and nothing else, and
// writes one self-contained HTML file that needs no network and no server.
//
// Every number of a plot also stands in a table beside it, and every section says what
// it does not know. docs/report.md describes the page.
package staticpage

import (
	"time"

	"rollcall/pkg/compliance"
	"rollcall/pkg/retirement"
	catalogue "rollcall/schemas/metrics"
)

// recentDays is the length of what is told by day and changes fast: compliance and the
// quality of the data. Receipts live no longer.
const recentDays = 31

// Options say what a page is about.
type Options struct {
	// Window is what is looked at; sections that need less take its end.
	Window retirement.Window
	// MadeAt is the present.
	MadeAt time.Time
	// Version is the release that makes the page.
	Version string
	// Catalogue has the legacy metrics and their thresholds.
	Catalogue *catalogue.Catalogue
}

// recent returns the first day of what changes fast.
func (o Options) recent() time.Time {
	first := o.Window.Last.AddDate(0, 0, 1-recentDays)
	if first.Before(o.Window.First) {
		return o.Window.First
	}
	return first
}

// Content is all that the page says: data.json is just this.
type Content struct {
	MadeAt  time.Time `json:"made_at"`
	Version string    `json:"version"`
	First   string    `json:"first_day"` // 2006-01-02, as all days
	Last    string    `json:"last_day"`
	Days    int       `json:"days"`
	// Recent is the first day of compliance and data quality.
	Recent string `json:"recent_first_day"`

	Activity      []Activity         `json:"licence_activity"`
	Coverage      []Coverage         `json:"coverage"`
	Installations []Installations    `json:"installations"` // of the newest day with a report
	Metrics       []Metric           `json:"metrics"`
	Segments      []Segment          `json:"segments"`
	Retirement    *retirement.Report `json:"retirement"`
	Compliance    *compliance.Report `json:"compliance"`
	Uptake        []Uptake           `json:"uptake"`
	Quality       Quality            `json:"quality"`
}

// Empty tells whether nothing was reported in the window.
func (c *Content) Empty() bool { return len(c.Coverage) == 0 }

// Activity is a number of licences: active, silent or never heard of, with valid terms
// or without.
type Activity struct {
	Activity string `json:"activity"`
	InForce  bool   `json:"in_force"`
	Licences uint64 `json:"licences"`
}

// Coverage is a row of v1_coverage.
type Coverage struct {
	Day           string    `json:"day"`
	InForce       uint64    `json:"in_force"`
	Reporting     uint64    `json:"reporting"`
	FullConsent   uint64    `json:"full_consent"`
	WithoutTerms  uint64    `json:"without_terms"`
	NewestReceipt time.Time `json:"newest_receipt"`
}

// Share is what part of the customers of that day is heard; 0 where there is none.
func (c Coverage) Share() float64 { return ratio(c.Reporting, c.InForce) }

// Installations is a row of v1_installations.
type Installations struct {
	Day         string `json:"day"`
	Application string `json:"application"`
	Active      uint64 `json:"active"`
	Silent      uint64 `json:"silent"`
	New         uint64 `json:"new"`
	Returned    uint64 `json:"returned"`
	Gone        uint64 `json:"gone"`
}

// Metric is a feature, by week.
type Metric struct {
	Metric      string `json:"metric"`
	Application string `json:"application"`
	Description string `json:"description"`
	Lifecycle   string `json:"lifecycle"`
	Weeks       []Week `json:"weeks"` // whole ones, oldest first
}

// Week is a row of v1_feature_trend over all segments.
type Week struct {
	Week            string   `json:"week"` // its Monday
	Installations   uint64   `json:"installations"`
	Covered         uint64   `json:"covered"`
	Used            uint64   `json:"used"`
	Adoption        *float64 `json:"adoption"` // null: nothing is known
	LicencesCovered uint64   `json:"licences_covered"`
	LicencesUsed    uint64   `json:"licences_used"`
	Intensity       *float64 `json:"intensity"`
}

// Segment is the use of a metric in a part of the fleet, in the newest whole week.
// Releases are put together by their first two numbers.
type Segment struct {
	Dimension   string `json:"dimension"`
	Segment     string `json:"segment"`
	Metric      string `json:"metric"`
	Application string `json:"application"`
	Covered     uint64 `json:"covered"`
	Used        uint64 `json:"used"`
}

// Uptake is a number of installations on a day. Releases are put together by their
// first two numbers.
type Uptake struct {
	Day           string `json:"day"`
	Application   string `json:"application"`
	Dimension     string `json:"dimension"` // version, edition or edition_sold
	Segment       string `json:"segment"`
	Installations uint64 `json:"installations"`
}

// Quality says how far the numbers can be trusted.
type Quality struct {
	Days        []QualityDay    `json:"days"`
	Implausible []MetricQuality `json:"implausible_metrics"`
	Unknown     []Unknown       `json:"unknown_metrics"`
	// UnknownTotal is the number of unknown metrics, of which Unknown are the most frequent.
	UnknownTotal uint64 `json:"unknown_metrics_total"`
	Clocks       Clocks `json:"clocks"`
	Quarantined  uint64 `json:"quarantined"` // entries in force
}

// QualityDay is a row of v1_data_quality.
type QualityDay struct {
	Day         string            `json:"day"`
	Landed      uint64            `json:"reports_landed"`
	DeadLetters map[string]uint64 `json:"dead_letters"`
	DelayMedian float64           `json:"delay_median_s"`
	DelayP99    float64           `json:"delay_p99_s"`
	Forks       uint64            `json:"forked_sequences"`
	Suspect     uint64            `json:"suspect_values"`
	Refused     uint64            `json:"refused_values"`
	Simulated   uint64            `json:"simulated_session_days"`
}

// Dead is the number of dead letters of every class.
func (d QualityDay) Dead() uint64 {
	var sum uint64
	for _, n := range d.DeadLetters {
		sum += n
	}
	return sum
}

// MetricQuality counts session-days with a value that no sum has.
type MetricQuality struct {
	Metric      string `json:"metric"`
	Application string `json:"application"`
	Reported    uint64 `json:"reported"`
	Suspect     uint64 `json:"suspect"`
	Refused     uint64 `json:"refused"`
	Licences    uint64 `json:"suspect_licences"` // on the worst day
}

// Unknown is a metric that the catalogue does not have.
type Unknown struct {
	Hash          string `json:"name_hash"`
	Kind          string `json:"sent_as"`
	Application   string `json:"application"`
	Licences      uint64 `json:"licences"`      // on its busiest day
	Installations uint64 `json:"installations"` // on its busiest day
	First         string `json:"first_day"`
	Last          string `json:"last_day"`
}

// Clocks counts session-days by how far the client's clock is off.
type Clocks struct {
	SessionDays uint64 `json:"session_days"`
	MinuteAhead uint64 `json:"minute_ahead"`
	HourAhead   uint64 `json:"hour_ahead"`
	HourBehind  uint64 `json:"hour_behind"` // or late
}

func ratio(part, whole uint64) float64 {
	if whole == 0 {
		return 0
	}
	return float64(part) / float64(whole)
}
