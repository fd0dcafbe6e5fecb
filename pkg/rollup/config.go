// Package rollup recomputes licence_day from session_days, a whole day at a time,
// and knows by marks which days have to be. The rules are in docs/rollup.md.
//
// A day's partition of licence_day holds, beside its rows, the marks that their
// computation had seen, and both are replaced in one step. So a day is dirty while
// dirty_days has a mark that its partition does not cover: a computation that was
// overtaken shows itself as dirty, whoever made it and whenever it replaces.
package rollup

import (
	"errors"
	"time"
)

// Config of the rollup. A zero value in any field means the default in its tag.
type Config struct {
	PollInterval time.Duration `name:"poll-interval" help:"How often to look for days that changed." default:"3s"`
	MinInterval  time.Duration `name:"min-interval" help:"Least time between two computations of the same day." default:"15s"`
	DutyPercent  int           `name:"duty-percent" help:"Share of the time that computing licence_day may take, 1 to 100." default:"25"`
	AnswersDuty  int           `name:"answers-duty-percent" help:"Share of the time that computing what stands beside licence_day may take, 1 to 100." default:"5"`
	Threads      int           `help:"Threads of ClickHouse that one computation may use." default:"1"`
	Timeout      time.Duration `help:"Bound on one computation." default:"10m"`
}

// WithDefaults returns cfg with the default in place of each zero.
func (c Config) WithDefaults() Config {
	if c.PollInterval == 0 {
		c.PollInterval = 3 * time.Second
	}
	if c.MinInterval == 0 {
		c.MinInterval = 15 * time.Second
	}
	if c.DutyPercent == 0 {
		c.DutyPercent = 25
	}
	if c.AnswersDuty == 0 {
		c.AnswersDuty = 5
	}
	if c.Threads == 0 {
		c.Threads = 1
	}
	if c.Timeout == 0 {
		c.Timeout = 10 * time.Minute
	}
	return c
}

// Validate says what is wrong with the configuration, all of it.
func (c Config) Validate() error {
	var errs []error
	if c.PollInterval < 0 || c.MinInterval < 0 || c.Timeout < 0 {
		errs = append(errs, errors.New("rollup: poll_interval, min_interval and timeout must not be negative"))
	}
	if c.DutyPercent < 0 || c.DutyPercent > 100 {
		errs = append(errs, errors.New("rollup.duty_percent must be 1 to 100"))
	}
	if c.AnswersDuty < 0 || c.AnswersDuty > 100 {
		errs = append(errs, errors.New("rollup.answers_duty_percent must be 1 to 100"))
	}
	if c.Threads < 0 {
		errs = append(errs, errors.New("rollup.threads is negative"))
	}
	return errors.Join(errs...)
}
