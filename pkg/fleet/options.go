// Package fleet simulates a fleet of product installations that call home, and
// keeps what truly happened to them.
//
// A Plan is made from Options and is deterministic: the same options and metrics
// give the same licences, the same deliveries in the same order and the same truth.
// What happens to the installations and what happens on the network are drawn from
// separate streams of random numbers, so the truth does not depend on the network.
//
// The truth is counted from the installations' own events and shares no code with
// the pipeline. docs/simulator.md describes the model.
package fleet

import (
	"errors"
	"fmt"
	"time"
)

// MaxLateDays is the longest that the network may hold a report back. With a
// client clock some hours off and a closing report made the day after, it stays
// inside the pipeline's day window of eight days.
const MaxLateDays = 6

// Options describe a fleet and its network.
type Options struct {
	Seed          uint64    `help:"Seed; the same seed gives the same fleet." default:"1" json:"seed"`
	Licences      int       `help:"Number of licences." default:"220" json:"licences"`
	Installations int       `help:"Number of installations, at least one a licence." default:"1100" json:"installations"`
	Days          int       `help:"Number of UTC days, the last of them the day of --end." default:"14" json:"days"`
	End           time.Time `help:"Moment the simulation ends (RFC 3339); default: now." json:"end"`
	ReportsPerDay int       `help:"Reports a day of a running session: the closing one and evenly spaced ones before it." default:"2" json:"reports_per_day"`

	Duplicates float64       `help:"Share of reports delivered more than once." default:"0.10" json:"duplicates"`
	Loss       float64       `help:"Share of reports lost at an attempt; healed by sending again or by the next report." default:"0.03" json:"loss"`
	Late       float64       `help:"Share of reports delivered up to --late-days late." default:"0.02" json:"late"`
	LateDays   int           `help:"Longest delay in days, 0 to 6." default:"6" json:"late_days"`
	Shuffle    time.Duration `help:"Window within which reports change places." default:"2h" json:"shuffle_ns"`
	JSON       float64       `help:"Share of installations that report in JSON; the others use Avro." default:"0.05" json:"json"`

	// DropClosing makes every client forget its closing reports: a defect that the
	// oracle must notice.
	DropClosing bool `help:"Defective clients that drop their closing reports." json:"drop_closing"`
}

// Demo returns the options of the demonstration: at least 200 licences, 1,000
// installations, 14 days and 20,000 reports.
func Demo() Options {
	return Options{
		Seed: 1, Licences: 220, Installations: 1_100, Days: 14, ReportsPerDay: 2,
		Duplicates: 0.10, Loss: 0.03, Late: 0.02, LateDays: MaxLateDays, Shuffle: 2 * time.Hour, JSON: 0.05,
	}
}

// Proof returns the options of the correctness proofs: 300 licences, 1,500
// installations, 14 days and at least 60,000 reports.
func Proof() Options {
	o := Demo()
	o.Licences, o.Installations, o.ReportsPerDay, o.Late = 300, 1_500, 3, 0.05
	return o
}

// Validate reports every option that is out of range.
func (o Options) Validate() error {
	var errs []error
	share := func(name string, value float64) {
		if value < 0 || value > 1 {
			errs = append(errs, fmt.Errorf("%s is %v, want a share of 0 to 1", name, value))
		}
	}
	share("duplicates", o.Duplicates)
	share("loss", o.Loss)
	share("late", o.Late)
	share("json", o.JSON)
	if o.Licences < 1 {
		errs = append(errs, fmt.Errorf("licences is %d, want at least 1", o.Licences))
	}
	if o.Installations < o.Licences {
		errs = append(errs, fmt.Errorf("installations is %d, want at least one for each of %d licences", o.Installations, o.Licences))
	}
	if o.Days < 1 || o.Days > 60 {
		errs = append(errs, fmt.Errorf("days is %d, want 1 to 60", o.Days))
	}
	if o.ReportsPerDay < 1 || o.ReportsPerDay > 1440 {
		errs = append(errs, fmt.Errorf("reports per day is %d, want 1 to 1440", o.ReportsPerDay))
	}
	if o.LateDays < 0 || o.LateDays > MaxLateDays {
		errs = append(errs, fmt.Errorf("late days is %d, want 0 to %d", o.LateDays, MaxLateDays))
	}
	if o.Shuffle < 0 || o.Shuffle > 24*time.Hour {
		errs = append(errs, fmt.Errorf("shuffle is %v, want 0 to 24h", o.Shuffle))
	}
	return errors.Join(errs...)
}
