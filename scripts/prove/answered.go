package main

import (
	"context"
	"fmt"
	"time"

	"rollcall/pkg/rollup"
	"rollcall/pkg/telemetry"
)

// answered is settled, and waits until the sink has computed all that the views answer
// from, not only licence_day. With the sink's default pace that takes many minutes: use
// eagerRollup.
func (p *pipeline) answered(ctx context.Context, limit time.Duration) error {
	if _, err := p.settled(ctx, limit); err != nil {
		return err
	}
	rollups, err := rollup.New(rollup.Config{}.WithDefaults(), p.conn, telemetry.Discard())
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	pending := -1
	err = until(ctx, 500*time.Millisecond, func() (bool, error) {
		pending, err = rollups.Pending(ctx)
		return err == nil && pending == 0, err
	})
	if err != nil {
		return fmt.Errorf("not computed within %v: %d units are dirty: %w", limit, pending, err)
	}
	return nil
}
