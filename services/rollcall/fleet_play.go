package main

import (
	"bytes"
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"rollcall/pkg/fleet"
	"rollcall/pkg/pseudonym"
	"rollcall/pkg/record"
	catalogue "rollcall/schemas/metrics"
)

// play is a planned fleet about to call home.
type play struct {
	plan       *fleet.Plan
	deliveries int64 // expected
	truth      *fleet.Truth
}

// newPlay plans a fleet and counts what truly happens in it.
func newPlay(options fleet.Options, metrics *catalogue.Catalogue) (*play, error) {
	plan, err := fleet.New(options, fleet.MetricsOf(metrics))
	if err != nil {
		return nil, usage(err)
	}
	truth := plan.Truth()
	return &play{plan: plan, truth: truth, deliveries: int64(truth.Header.Network.Deliveries)}, nil
}

// terms returns what the vendor registers in a phase, by pseudonym, the same way as
// rollcall licences apply takes it from a file.
func (p *play) terms(phase int, licences *pseudonym.Licences, now time.Time) ([]record.Licence, error) {
	var file bytes.Buffer
	if err := fleet.WriteLicences(&file, p.plan.Licences(), phase); err != nil {
		return nil, err
	}
	return parseLicences(&file, "fleet.csv", licences, now)
}

// send plays the deliveries and shows how far it is.
func (p *play) send(ctx context.Context, config fleet.SenderConfig, show *progress) (fleet.SenderCounts, error) {
	started := time.Now()
	var ended atomic.Int64
	config.Progress = func(fleet.SenderCounts) { ended.Add(1) }
	sender, err := fleet.NewSender(config)
	if err != nil {
		return fleet.SenderCounts{}, usage(err)
	}
	defer sender.Close()
	done := make(chan error, 1) // room for the one result
	go func() { done <- sender.Run(ctx, p.plan.Deliveries()) }()
	ticker := time.NewTicker(progressInterval)
	defer ticker.Stop()
	for {
		select {
		case err := <-done:
			counts := sender.Counts()
			show.clear()
			return counts, err
		case <-ticker.C:
			n := ended.Load()
			show.update("%d of %d reports (%d%%), %.0f a second", n, p.deliveries, percent(n, p.deliveries),
				float64(n)/time.Since(started).Seconds())
		}
	}
}

func percent(part, whole int64) int64 {
	if whole == 0 {
		return 100
	}
	return part * 100 / whole
}

// summary is one line about the fleet.
func (p *play) summary() string {
	h := p.truth.Header
	return fmt.Sprintf("%d licences, %d installations, %d days: %d reports, of which the network loses %d and repeats %d",
		h.Licences, h.Installations, p.plan.Options().Days, h.Network.Reports, h.Network.Lost, h.Network.Duplicates)
}
