package gateway

import (
	"encoding/json"
	"slices"

	"rollcall/pkg/report"
	catalogue "rollcall/schemas/metrics"
)

// deprecation tells a product's administrator that something in use is on its way out.
type deprecation struct {
	Metric       string  `json:"metric"`
	DeprecatedIn *string `json:"deprecated_in"` // first release that calls it legacy
	RemovedIn    *string `json:"removed_in"`    // first release without it; null: not decided
	ReplacedBy   *string `json:"replaced_by"`   // metric of what to use instead; null: nothing
}

// deprecations are the legacy metrics of a catalogue as answers tell of them.
type deprecations struct {
	watch *report.Watch
	texts []string // rendered once, by the place that watch gives; ascending by metric id
}

func newDeprecation(m *catalogue.Metric) deprecation {
	orNull := func(text string) *string {
		if text == "" {
			return nil
		}
		return &text
	}
	return deprecation{Metric: m.Name, DeprecatedIn: orNull(m.DeprecatedIn), RemovedIn: orNull(m.RemovedIn), ReplacedBy: orNull(m.ReplacedBy)}
}

func newDeprecations(c *catalogue.Catalogue) deprecations {
	var (
		d      deprecations
		legacy []*catalogue.Metric
	)
	for _, m := range c.All() {
		if m.Lifecycle != catalogue.Legacy && m.Lifecycle != catalogue.Retired {
			continue
		}
		text, _ := json.Marshal(newDeprecation(m)) // strings cannot fail to be encoded
		legacy, d.texts = append(legacy, m), append(d.texts, string(text))
	}
	if len(legacy) > 0 { // else inspecting looks for nothing
		d.watch = report.NewWatch(legacy)
	}
	return d
}

// append appends a member of an answer's object for what was found in a report, in the
// order of the catalogue, whatever the order of the report; nothing for nothing.
func (d *deprecations) append(dst []byte, found []int) []byte {
	if len(found) == 0 {
		return dst
	}
	slices.Sort(found)
	dst = append(dst, `,"deprecations":[`...)
	for i, place := range found {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, d.texts[place]...)
	}
	return append(dst, ']')
}
