package main

import (
	"context"
	"fmt"
	"math/big"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/google/uuid"

	"rollcall/pkg/retirement"
	"rollcall/pkg/rollup"
	catalogue "rollcall/schemas/metrics"
)

func landRetiringCatalogue(ctx context.Context, conn driver.Conn) error {
	return rollup.LandCatalogue(ctx, conn, catalogue.Embedded())
}

// writeTerms appends the licence's terms: valid ones are renewed once, so that the
// newest have to be found, and expired ones end within the window.
func (l *retiringLicence) writeTerms(batch driver.Batch, window retirement.Window) error {
	if !l.registers {
		return nil
	}
	from := window.First.AddDate(0, 0, l.since)
	if !l.valid {
		return appendTerms(batch, l.id, from, new(window.Last.AddDate(0, 0, -10)))
	}
	renewal := window.First.AddDate(0, 0, 5)
	if err := appendTerms(batch, l.id, from, new(renewal.AddDate(0, 0, -1))); err != nil {
		return err
	}
	return appendTerms(batch, l.id, renewal, nil)
}

func appendTerms(batch driver.Batch, id uuid.UUID, from time.Time, until *time.Time) error {
	if err := batch.Append(id, from, until, big.NewInt(1)); err != nil {
		return fmt.Errorf("write terms: %w", err)
	}
	return nil
}

// writeSessions appends a row for each session-day.
func (l *retiringLicence) writeSessions(batch driver.Batch, window retirement.Window, metric uint16) error {
	for n, s := range l.sessions {
		consent, values, suspect := "REQUIRED", map[uint16]uint64{}, map[uint16]uint64{}
		if s.full {
			consent = "FULL"
			values[metric] = s.value
		}
		if s.suspect > 0 {
			delete(values, metric)
			suspect[metric] = s.suspect
		}
		id := func(what string, number int) uuid.UUID { return uuid.NewSHA1(l.id, fmt.Append(nil, what, number)) }
		if err := batch.Append(l.id, id("installation", s.installation), id("session", n), id("report", n), window.First.AddDate(0, 0, s.day), s.application,
			uint64(1), "DAILY", consent, int32(1), s.release, values, suspect); err != nil {
			return fmt.Errorf("write a session-day: %w", err)
		}
	}
	return nil
}
