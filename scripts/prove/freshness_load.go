package main

import (
	"fmt"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"rollcall/pkg/client"
	"rollcall/pkg/fleet"
	"rollcall/scripts/testbed/load"
)

// freshLoad makes, out of a fleet's reports, ever new ones of new sessions of one day.
type freshLoad struct {
	reports   []client.Report
	addresses []string
	day       time.Time
	n         atomic.Int64
}

// freshReports takes n of the plan's reports as templates.
func freshReports(plan *fleet.Plan, day time.Time, n int) (*freshLoad, error) {
	l := &freshLoad{day: day}
	for delivery, report := range wholeReports(plan) {
		l.reports = append(l.reports, *report)
		l.addresses = append(l.addresses, delivery.Address.String())
		if len(l.reports) == n {
			return l, nil
		}
	}
	return nil, fmt.Errorf("the fleet makes %d reports, not %d", len(l.reports), n)
}

// made returns how many requests there have been.
func (l *freshLoad) made() int64 { return l.n.Load() }

// next returns a request with a report that has not been sent before.
func (l *freshLoad) next(n int) []byte {
	l.n.Add(1)
	report := l.reports[n%len(l.reports)]
	renew(&report, l.day)
	body, err := client.Encode(&report, client.Avro, client.Identity)
	if err != nil {
		body = nil // refused by the gateway, and so by the proof
	}
	return load.Prepare("rollcall.test", client.ReportsPath, client.Avro, body, "X-Forwarded-For", l.addresses[n%len(l.addresses)])
}

// renew makes the report the first of a new session of the day. Its maps are shared
// with the template and not changed.
func renew(report *client.Report, day time.Time) {
	now := time.Now().UnixMilli()
	report.ReportID, report.SessionID = uuid.New(), uuid.New()
	report.Day, report.Sequence = int32(day.Unix()/86_400), 1
	report.SentAt, report.SessionStartedAt = now, now
}
