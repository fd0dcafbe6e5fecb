package main

import (
	"context"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"rollcall/pkg/client"
)

// The sender of the reports.
const (
	alertsKey = "ALERTS-LICENCE-0046"
	// alertsPlace is an address with a country in any GeoIP data, alertsNowhere one with none.
	alertsPlace   = "81.2.69.142"
	alertsNowhere = "192.0.2.46"
)

// alertsLoad posts reports at a steady rate, some of which may be faulty.
type alertsLoad struct {
	pipeline *pipeline
	ended    chan struct{}
	rate     atomic.Int64 // reports a second

	// Shares of the requests, per cent.
	junk, strangers, early atomic.Int64
	nowhere                atomic.Bool // all from an address without a country
}

func newAlertsLoad(p *pipeline) *alertsLoad {
	return &alertsLoad{pipeline: p, ended: make(chan struct{})}
}

// maxAlertsInFlight bounds the requests that wait for an answer; at more, one is left out.
const maxAlertsInFlight = 400

func (l *alertsLoad) run(ctx context.Context) {
	defer close(l.ended)
	var requests sync.WaitGroup
	defer requests.Wait()
	slots := make(chan struct{}, maxAlertsInFlight)
	const tick = 25 * time.Millisecond
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	owed := 0.0
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		for owed += float64(l.rate.Load()) * tick.Seconds(); owed >= 1; owed-- {
			select {
			case slots <- struct{}{}:
			default:
				continue
			}
			requests.Go(func() {
				defer func() { <-slots }()
				// Whatever the answer is: Prometheus shall see it.
				_, _ = l.pipeline.post(ctx, l.request())
			})
		}
	}
}

// request returns the next one.
func (l *alertsLoad) request() client.Request {
	address := alertsPlace
	if l.nowhere.Load() {
		address = alertsNowhere
	}
	r := client.Request{Header: http.Header{"X-Forwarded-For": {address}}}
	report := dailyReport(alertsKey)
	switch n := rand.Int64N(100); {
	case n < l.junk.Load():
		r.Body = []byte("junk")
		return r
	case n < l.junk.Load()+l.strangers.Load():
		report.Customer.LicenceKey = "STRANGER-" + report.ReportID.String()
	case n < l.junk.Load()+l.strangers.Load()+l.early.Load():
		report.Day -= 40
	}
	r.Body = encoded(report)
	return r
}
