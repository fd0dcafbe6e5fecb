package retirement

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	catalogue "rollcall/schemas/metrics"
)

// Release is what a release that lacks some metrics' features would break.
type Release struct {
	Release string   `json:"release"`
	Metrics []string `json:"metrics"` // what it lacks
	// Breaks were seen using at least one, each counted once.
	Breaks int `json:"breaks_licences"`
	// Dark were not, and are dark for at least one.
	Dark int `json:"dark_licences"`
	// Bounds of the number that it breaks, under the highest sensitivity of the metrics.
	Bounds Bounds `json:"bounds"`
}

// Breaking is a licence that a release breaks.
type Breaking struct {
	Licence uuid.UUID `json:"licence_id"`
	Metrics []string  `json:"metrics"`
	LastDay string    `json:"last_day"` // of any of them
}

// lacks returns the metrics that the release no longer has, or those asked for.
func lacks(metrics []*catalogue.Metric, o Options) []*catalogue.Metric {
	if len(o.Metrics) > 0 {
		return metrics
	}
	var gone []*catalogue.Metric
	for _, m := range metrics {
		if m.RemovedIn != "" && compareReleases(m.RemovedIn, o.Release) <= 0 {
			gone = append(gone, m)
		}
	}
	return gone
}

func breaks(metrics []*catalogue.Metric, facts *Facts, o Options) *Release {
	gone := lacks(metrics, o)
	r := &Release{Release: o.Release, Metrics: []string{}}
	sensitivity := max(1, o.Sensitivity)
	for _, m := range gone {
		r.Metrics = append(r.Metrics, m.Name)
		if o.Sensitivity == 0 {
			sensitivity = max(sensitivity, PolicyOf(m).Sensitivity)
		}
	}
	for _, licence := range facts.Licences {
		if !licence.Valid {
			continue
		}
		uses, dark := false, false
		for _, m := range gone {
			switch judge(licence, facts.evidence(m.ID, licence.ID), facts.Reported[licence.ID], o.Window) {
			case used:
				uses = true
			case unused, unable:
			default:
				dark = true
			}
		}
		switch {
		case uses:
			r.Breaks++
		case dark:
			r.Dark++
		}
	}
	valid := facts.valid()
	r.Bounds = bound(valid, valid-r.Dark, r.Breaks, sensitivity)
	return r
}

// BreakingLicences returns the valid licences that were seen using what the release
// lacks, the one with the newest use first.
func BreakingLicences(c *catalogue.Catalogue, facts *Facts, o Options) ([]Breaking, error) {
	metrics, err := chosen(c, o.Metrics)
	if err != nil {
		return nil, err
	}
	gone := lacks(metrics, o)
	all := []Breaking{}
	for _, licence := range facts.Licences {
		b := Breaking{Licence: licence.ID}
		var last time.Time
		for _, m := range gone {
			e := facts.evidence(m.ID, licence.ID)
			if !licence.Valid || e == nil || e.UsedDays == 0 {
				continue
			}
			b.Metrics = append(b.Metrics, m.Name)
			if e.LastUsed.After(last) {
				last = e.LastUsed
			}
		}
		if len(b.Metrics) > 0 {
			b.LastDay = last.Format(time.DateOnly)
			all = append(all, b)
		}
	}
	slices.SortFunc(all, func(a, b Breaking) int {
		return cmp.Or(-cmp.Compare(a.LastDay, b.LastDay), slices.Compare(a.Licence[:], b.Licence[:]))
	})
	return all, nil
}

// compareReleases compares by numbers, as 11.10 after 11.9; what is no release comes last.
func compareReleases(a, b string) int {
	left, right := releaseNumbers(a), releaseNumbers(b)
	switch {
	case left == nil && right == nil:
		return 0
	case left == nil:
		return 1
	case right == nil:
		return -1
	}
	return slices.Compare(left, right)
}

// releaseNumbers returns five numbers, or nothing where a part is none.
func releaseNumbers(release string) []uint64 {
	numbers := make([]uint64, 0, 5)
	for part := range strings.SplitSeq(release, ".") {
		n, err := strconv.ParseUint(part, 10, 32)
		if err != nil {
			return nil
		}
		numbers = append(numbers, n)
	}
	for len(numbers) < 5 {
		numbers = append(numbers, 0)
	}
	return numbers
}

// ValidRelease reports whether a text is a release, as "12.0".
func ValidRelease(release string) bool { return releaseNumbers(release) != nil }
