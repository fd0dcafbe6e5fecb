// Package pause waits between tries, and no longer than the work goes on.
package pause

import (
	"context"
	"time"
)

// For waits for d, which may be 0 or less, and reports whether it did: false where ctx
// ended before.
func For(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil // a load that is behind its rate asks often
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err() == nil // of two that come at once either may be seen
	case <-ctx.Done():
		return false
	}
}
