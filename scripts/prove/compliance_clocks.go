package main

import (
	"fmt"
	"time"
)

// clockTolerance is within what a report must arrive, by its own clock and the gateway's,
// for the clock to pass as right (docs/compliance.md).
const clockTolerance = minuteMillis

// drawSkew is how far a machine's clock is ahead: three in four are right, one in eight is
// minutes off, one in eight half an hour to six hours, either way. Those that are ahead by
// more than five minutes are flagged by the enricher; no other is.
func (w *serverWorld) drawSkew() int64 {
	var size int64
	switch p := w.r.Float64(); {
	case p < 0.75:
		return 0
	case p < 0.875:
		size = w.between(clockTolerance+minuteMillis/2, 15*minuteMillis)
	default:
		size = w.between(hourMillis/2, 6*hourMillis)
	}
	if w.chance(0.5) {
		return -size
	}
	return size
}

// masks reports whether a posting makes a wrong clock look right: it waited for about as
// long as the clock is ahead.
func masks(s *stay, one posting) bool {
	gap := one.received - one.report.SentAt
	return s.skew != 0 && gap >= -clockTolerance && gap <= clockTolerance
}

// maskedCells are the cells that may be wrong since such a session may have run on them,
// by its own clock or the truth's.
func (w *serverWorld) maskedCells() map[licenceDay]bool {
	cells := map[licenceDay]bool{}
	for _, s := range w.ran {
		if !s.masked {
			continue
		}
		for at := s.from/dayMillis - 1; at <= s.to/dayMillis+2; at++ {
			cells[licenceDay{s.licence.key, time.UnixMilli(at * dayMillis).UTC().Format(time.DateOnly)}] = true
		}
	}
	return cells
}

// skewedSessions counts sessions of machines whose clock is wrong, and those of them whose
// clock looks right.
func (w *serverWorld) skewedSessions() (wrong, masked int) {
	for _, s := range w.ran {
		if s.skew != 0 {
			wrong++
		}
		if s.masked {
			masked++
		}
	}
	return wrong, masked
}

// doubted reports whether every cell holds the truth or says that a clock is doubtful, in a
// world that shows both: at least so many cells that would have erred, and at least a
// quarter that is not doubted.
func (f *peakFinding) doubted(erring int) bool {
	return f.cells > 0 && f.missed == 0 && f.erring >= erring && len(f.doubtful) > 0 && 4*(f.cells-len(f.doubtful)) >= f.cells && 100*f.masked <= f.cells
}

// clocks says what became of the doubtful cells.
func (f *peakFinding) clocks() string {
	return fmt.Sprintf("%d cells, %d say that a clock is doubtful, %d of them do not hold the truth; of the %d others %d do not, and %d for a report that waited as long as its clock was ahead",
		f.cells, len(f.doubtful), f.erring, f.cells-len(f.doubtful), f.missed, f.masked)
}
