package rollup

import "time"

// At makes the recomputer take the time from now where it judges which days are frozen:
// for a loader that computes days of the past from session-days it has just written. To
// be called before the first computation.
func (r *Recomputer) At(now func() time.Time) { r.now = now }
