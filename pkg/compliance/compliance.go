// Package compliance compares what licences used with what they entitle to, and looks
// for signs that a licence is used by others than its customer. It punishes nothing:
// each finding carries the rows that it rests on, and what is uncertain stays so.
//
// Facts come from the views v1_compliance, v1_licence_places, v1_cloned_installations and
// v1_sessions (schemas/clickhouse); this package judges how long they have lasted.
// docs/compliance.md says how the numbers are made and what they do not know.
package compliance

import (
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
)

// Verdicts on an entitlement over a window of days, the gravest last.
const (
	// Unsure: on some days the limit lies within the bracket, on none below it.
	Unsure = "unsure"
	// Grace: beyond the entitlement, for no longer than the grace period.
	Grace = "grace"
	// Over: beyond the entitlement for longer than that.
	Over = "over"
)

// Signs of abuse.
const (
	SignNetworks  = "networks"            // reports from too many networks on a day
	SignCountries = "countries"           // reports from too many countries on a day
	SignClone     = "cloned_installation" // one installation on several hosts at one time
	SignExpired   = "expired"             // reports after the validity and its grace period
	SignUnknown   = "unknown_licence"     // reports of a licence that the registry does not have
	SignNotYet    = "not_yet_valid"       // reports from before the first terms
)

// Options of an examination. Days are UTC days and inclusive.
type Options struct {
	From, To  time.Time
	Licence   uuid.UUID     // zero: all
	Grace     int           // days, 0 or more, for which an excess or an ended validity is tolerated
	Networks  int           // networks of a licence and day that are not remarkable, at least 1
	Countries int           // countries of a licence and day that are not remarkable, at least 1
	Overlap   time.Duration // overlap of an installation with itself that is not remarkable
	Rows      int           // rows of evidence for each finding and sign, 0 or more: the newest
}

// Validate reports every option that is out of range.
func (o Options) Validate() error {
	var errs []error
	if o.From.IsZero() || o.To.IsZero() || o.To.Before(o.From) {
		errs = append(errs, errors.New("the window ends before it begins"))
	}
	if o.Grace < 0 {
		errs = append(errs, fmt.Errorf("grace is %d days, want 0 or more", o.Grace))
	}
	if o.Networks < 1 || o.Countries < 1 {
		errs = append(errs, errors.New("networks and countries must be at least 1"))
	}
	if o.Rows < 0 {
		errs = append(errs, fmt.Errorf("rows is %d, want 0 or more", o.Rows))
	}
	if o.Overlap < 0 {
		errs = append(errs, fmt.Errorf("overlap is %v, want 0 or more", o.Overlap))
	}
	return errors.Join(errs...)
}

// Report is what an examination found.
type Report struct {
	From     string    `json:"from"` // 2006-01-02
	To       string    `json:"to"`
	Grace    int       `json:"grace_days"`
	Licences uint64    `json:"licences"` // with usage in the window
	Clean    uint64    `json:"clean"`    // of them, those without a finding or a sign
	Findings []Finding `json:"findings"`
	Signs    []Sign    `json:"signs"`
}

// Finding is an entitlement of a licence that was exceeded, or may have been.
type Finding struct {
	LicenceID   uuid.UUID `json:"licence_id"`
	Entitlement string    `json:"entitlement"`
	Verdict     string    `json:"verdict"`               // unsure, grace or over
	Days        int       `json:"days"`                  // over for certain
	UnsureDays  int       `json:"unsure_days"`           // over perhaps
	Doubtful    int       `json:"clock_doubtful_days"`   // of Days and UnsureDays, those with a clock that is not known to be right
	LongestRun  int       `json:"longest_run_days"`      // calendar days that an excess has lasted
	First       string    `json:"first"`                 // first day of Days and UnsureDays
	Last        string    `json:"last"`                  // last day of them
	Open        bool      `json:"open"`                  // reports of one of them may still arrive
	Entitled    *int64    `json:"entitled"`              // on the worst day; null: no number (edition)
	Certain     uint64    `json:"used_certain"`          // on the worst day
	Possible    uint64    `json:"used_possible"`         // on the worst day
	Evidence    []Day     `json:"evidence"`              // the newest days
	Sessions    []Session `json:"sessions,omitempty"`    // of the worst day, for cpus and roboservers
	Worst       string    `json:"worst_day"`             // the day that exceeds the entitlement by most
	Omitted     int       `json:"omitted_days,omitzero"` // of evidence
}

// Day is a licence's use of an entitlement on one day: a row of v1_compliance.
type Day struct {
	Day       string  `json:"day"`
	Entitled  *int64  `json:"entitled"`
	Certain   uint64  `json:"used_certain"`
	Possible  uint64  `json:"used_possible"`
	State     string  `json:"state"`
	ValidTo   *string `json:"valid_until"`
	DaysPast  uint32  `json:"days_past"`
	StillOpen bool    `json:"open"`
	// ClockDoubtful: a clock behind it is not known to be right; nothing is over for certain.
	ClockDoubtful bool `json:"clock_doubtful,omitzero"`
}

// Session is a row of v1_sessions: when one session ran, and where.
type Session struct {
	InstallationID uuid.UUID `json:"installation_id"`
	SessionID      uuid.UUID `json:"session_id"`
	HostID         uuid.UUID `json:"host_id"`
	CPUs           int64     `json:"cpus"`
	StartedAt      time.Time `json:"started_at"`
	CertainUntil   time.Time `json:"certain_until"`
	PossibleUntil  time.Time `json:"possible_until"`
	Closed         bool      `json:"closed"`
	Country        string    `json:"country"`
	ClockDoubtful  bool      `json:"clock_doubtful"`
}

// Sign is something that is seldom seen of a licence that only its customer uses, and
// may have good reasons all the same.
type Sign struct {
	LicenceID uuid.UUID `json:"licence_id"`
	Sign      string    `json:"sign"`
	Days      int       `json:"days"`  // on which it was seen
	First     string    `json:"first"` // first of them
	Last      string    `json:"last"`  // last of them
	Most      float64   `json:"most"`  // the largest amount seen on a day
	Unit      string    `json:"unit"`  // of Most
	Rows      []Row     `json:"rows"`  // the newest rows that it rests on
	Omitted   int       `json:"omitted_rows,omitzero"`
}

// Row is what a sign rests on, one installation on one day. Fields that a sign does not
// speak of are empty.
type Row struct {
	Day            string     `json:"day"` // of receipt for networks and countries, else of the values
	InstallationID *uuid.UUID `json:"installation_id,omitempty"`
	Networks       uint64     `json:"networks,omitzero"`
	Countries      []string   `json:"countries,omitempty"`
	HostsAtOnce    uint64     `json:"hosts_at_once,omitzero"`
	OverlapSeconds float64    `json:"overlap_s,omitzero"`
	ClockDoubtful  bool       `json:"clock_doubtful,omitzero"`
	Installations  uint64     `json:"installations,omitzero"` // that reported
	DaysPast       uint32     `json:"days_past,omitzero"`     // since the end of the validity
	amount         float64
}
