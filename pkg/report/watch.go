package report

import catalogue "rollcall/schemas/metrics"

// Watch is a list of metrics that an inspection looks out for. It is immutable and
// safe for concurrent use; nil watches for nothing.
type Watch struct {
	filter [watchSlots / 64]uint64 // bit set of slots that some name has
	byMap  [len(watchedMaps)]map[string]int
}

// watchSlots is a power of two: with the dozens of names that are ever watched for, few
// other names share a slot with one.
const watchSlots = 4096

// watchedMaps are the maps of a report by the kind of metric that each holds.
var watchedMaps = [...]struct {
	path string
	part part
	kind catalogue.Kind
}{
	{"counters", partCounters, catalogue.Counter},
	{"gauges", partGauges, catalogue.Gauge},
	{"distincts", partDistincts, catalogue.Distinct},
}

// NewWatch watches for the metrics; an inspection names them by their places in the list.
func NewWatch(metrics []*catalogue.Metric) *Watch {
	w := &Watch{}
	for i := range w.byMap {
		w.byMap[i] = map[string]int{}
	}
	for place, m := range metrics {
		for i, each := range watchedMaps {
			if each.kind == m.Kind {
				w.byMap[i][m.Name] = place
			}
		}
		slot := watchSlot(m.Name)
		w.filter[slot/64] |= 1 << (slot % 64)
	}
	return w
}

// watchSlot mixes length and a few bytes of a name: most names of a report are not
// watched for, and are told apart by this alone, without hashing them whole.
func watchSlot[T string | []byte](name T) uint32 {
	n := len(name)
	if n == 0 {
		return 0
	}
	mixed := uint32(n) | uint32(name[n-1])<<8 | uint32(name[n/2])<<16 | uint32(name[n-1-n/4])<<24
	return mixed * 0x9e3779b1 >> 20 // Fibonacci hashing: the upper twelve bits
}

// has reports whether a name may be watched for; most others it tells apart.
func (w *Watch) has(name []byte) bool {
	slot := watchSlot(name)
	return w.filter[slot/64]&(1<<(slot%64)) != 0
}

// of returns what is watched for in a map of the report, or nil.
func (w *Watch) of(p part) map[string]int {
	if w == nil {
		return nil
	}
	for i := range watchedMaps {
		if watchedMaps[i].part == p {
			return w.byMap[i]
		}
	}
	return nil
}

// Inspect is the package's Inspect, which also appends to found the places of the
// metrics watched for that stand in the report, in the map of their kind, with a value
// above 0, in the order of the report.
func (w *Watch) Inspect(data []byte, found []int) (Head, []int, error) {
	return inspect(data, w, found)
}
