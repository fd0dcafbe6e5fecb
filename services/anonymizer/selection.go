package anonymizer

import (
	"cmp"
	"slices"
	"strings"

	"rollcall/pkg/pseudonym"
	"rollcall/pkg/record"
	"rollcall/pkg/report"
	catalogue "rollcall/schemas/metrics"
)

// maxUnknown is how many uncatalogued metrics of a report are kept, the first by name.
const maxUnknown = 50

// kinds are the maps of a report with what the catalogue and the records call them.
// The words are compared and hashed, so they never change.
const (
	counterWord  = "COUNTER"
	gaugeWord    = "GAUGE"
	distinctWord = "DISTINCT"
)

// keeper is a metric that is kept.
type keeper struct {
	id    uint16
	value int64
}

// stranger is a metric that the catalogue does not have under the client's kind.
type stranger struct {
	name, kind string
	value      int64
}

// selection sorts a report's metrics by what consent and catalogue allow.
type selection struct {
	catalogue *catalogue.Catalogue
	metrics   *instruments

	kept      []keeper
	strangers []stranger

	full            bool
	policyVersion   int32
	unknownDropped  int
	optionalDropped int
	kindMismatches  int
}

// choose fills the selection from a report, by that report's own consent: nothing of
// an earlier report of the installation matters, so a withdrawal takes effect with the
// first report that says so.
//
//	            catalogued, required   catalogued, optional        anything else
//	REQUIRED    from since_policy on   dropped, counted            dropped, counted
//	FULL        from since_policy on   from since_policy on        first 50 kept as hashes
//
// A catalogued name in the map of another kind is "anything else" where the consent
// covers the metric, and dropped like it where it does not: its hash could be told.
func (s *selection) choose(r *report.Report) {
	*s = selection{catalogue: s.catalogue, metrics: s.metrics, kept: s.kept[:0], strangers: s.strangers[:0]}
	s.full, s.policyVersion = r.Consent == report.ConsentFull, r.PolicyVersion
	s.add(catalogue.Counter, counterWord, r.Counters)
	s.add(catalogue.Gauge, gaugeWord, r.Gauges)
	s.add(catalogue.Distinct, distinctWord, r.Distincts)
	slices.SortFunc(s.kept, func(a, b keeper) int { return int(a.id) - int(b.id) })
	if len(s.strangers) > 1 {
		slices.SortFunc(s.strangers, func(a, b stranger) int {
			return cmp.Or(strings.Compare(a.name, b.name), strings.Compare(a.kind, b.kind))
		})
	}
	if beyond := len(s.strangers) - maxUnknown; beyond > 0 {
		s.metrics.unknownExcess.Add(int64(beyond))
		s.unknownDropped += beyond
		s.strangers = slices.Delete(s.strangers, maxUnknown, len(s.strangers))
	}
}

func (s *selection) add(kind catalogue.Kind, word string, values map[string]int64) {
	for name, value := range values {
		m, ok := s.catalogue.Metric(name)
		matches := ok && m.Kind == kind
		if ok && !matches {
			s.kindMismatches++
		}
		if ok {
			if why, covered := s.covers(m); !covered {
				s.optionalDropped++
				s.metrics.drop(m.ID, why)
				continue
			}
		}
		switch {
		case matches:
			s.kept = append(s.kept, keeper{m.ID, value})
		case s.full:
			s.strangers = append(s.strangers, stranger{name, word, value})
		default:
			s.unknownDropped++
			s.metrics.unknownDropped.Add(1)
		}
	}
}

// firstPolicy stands where a report names no policy: what the first one requires
// rests on the contract, not on consent.
const firstPolicy = 1

// covers reports whether the report's consent and policy cover a metric, or why they
// do not.
func (s *selection) covers(m *catalogue.Metric) (why dropReason, ok bool) {
	switch {
	case m.Collection == catalogue.Required:
		return dropPolicy, max(firstPolicy, s.policyVersion) >= m.SincePolicy
	case !s.full:
		return dropConsent, false
	}
	return dropPolicy, s.policyVersion >= m.SincePolicy
}

// into appends the selection to a record.
func (s *selection) into(clean *record.Clean, licences *pseudonym.Licences) {
	for _, m := range s.kept {
		clean.MetricIDs = append(clean.MetricIDs, int32(m.id))
		clean.MetricValues = append(clean.MetricValues, m.value)
	}
	for _, u := range s.strangers {
		clean.Unknown = append(clean.Unknown, record.UnknownMetric{Hash: licences.MetricHash(u.kind, u.name), Kind: u.kind, Value: u.value})
	}
	clean.UnknownDropped = int32(s.unknownDropped)
	clean.OptionalDropped = int32(s.optionalDropped)
	clean.KindMismatches = int32(s.kindMismatches)
}

// forget drops what a client wrote, so that nothing of it waits in a pool. The
// backing arrays of an outsized report go with it.
func (s *selection) forget() {
	clear(s.strangers[:cap(s.strangers)])
	if cap(s.strangers) > 4*maxUnknown {
		s.strangers = nil
	}
	s.strangers = s.strangers[:0]
}
