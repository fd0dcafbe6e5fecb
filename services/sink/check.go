package sink

import (
	"errors"
	"math"

	"rollcall/pkg/fault"
	"rollcall/pkg/record"
)

// highestValue is the largest value of a metric: 2^53, exact in every language.
const highestValue = 1 << 53

// reasonMalformed is the class of a record that no release of Rollcall writes.
const reasonMalformed = "malformed_record"

// checker refuses records that the enricher never writes. It is not safe for
// concurrent use.
type checker struct {
	seen [(math.MaxUint16 + 1) / 64]uint64 // bit set of metric ids, empty between records
}

func malformed(field, why string) error {
	return fault.Reject(reasonMalformed, field, errors.New(why))
}

// check returns a fault.RejectError that quotes no value where session_days cannot
// hold the record, or the rollup would count it wrongly.
func (c *checker) check(u *record.Usage) error {
	switch {
	case u.Day < 0 || u.Day > math.MaxUint16:
		return malformed("day", "outside of what a Date holds")
	case u.Sequence < 0:
		return malformed("sequence", "negative")
	case u.CPUCount < 0:
		return malformed("cpu_count", "negative")
	case u.ASN < 0 || u.ASN > math.MaxUint32:
		return malformed("asn", "outside of 32 bits")
	case u.UnknownDropped < 0 || u.OptionalDropped < 0 || u.KindMismatches < 0 || u.StringsCut < 0:
		return malformed("unknown_dropped", "a negative count")
	case len(u.MetricIDs) != len(u.MetricValues):
		return malformed("metric_values", "not as long as metric_ids")
	case len(u.SuspectIDs) != len(u.SuspectValues):
		return malformed("suspect_values", "not as long as suspect_ids")
	case !inRange(u.MetricIDs) || !inRange(u.SuspectIDs) || !inRange(u.RefusedIDs):
		return malformed("metric_ids", "an id that is out of range")
	case !c.distinct(u.MetricIDs, u.SuspectIDs):
		return malformed("metric_ids", "an id that stands twice")
	case !countable(u.MetricValues) || !countable(u.SuspectValues):
		return malformed("metric_values", "outside of 0 to 2^53")
	}
	return nil
}

func inRange(ids []int32) bool {
	for _, id := range ids {
		if id < 1 || id > math.MaxUint16 {
			return false
		}
	}
	return true
}

func countable(values []int64) bool {
	for _, v := range values {
		if v < 0 || v > highestValue {
			return false
		}
	}
	return true
}

// distinct reports whether no id stands twice: ClickHouse would keep both pairs of
// such a map, and the rollup would sum both.
func (c *checker) distinct(lists ...[]int32) bool {
	distinct := true
	for _, ids := range lists {
		for _, id := range ids {
			word, bit := &c.seen[id/64], uint64(1)<<(id%64)
			distinct = distinct && *word&bit == 0
			*word |= bit
		}
	}
	for _, ids := range lists {
		for _, id := range ids {
			c.seen[id/64] = 0
		}
	}
	return distinct
}
