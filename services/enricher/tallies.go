package enricher

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// tallies counts, over all reports, the metrics that were not simply accepted.
type tallies struct {
	counter metric.Int64Counter

	refused, suspect, foreign, retired, uncatalogued metric.MeasurementOption
}

func newTallies(counter metric.Int64Counter) *tallies {
	outcome := func(name string) metric.MeasurementOption {
		return metric.WithAttributeSet(attribute.NewSet(attribute.String("rollcall.outcome", name)))
	}
	return &tallies{
		counter: counter, refused: outcome("refused"), suspect: outcome("suspect"),
		foreign: outcome("foreign"), retired: outcome("retired"), uncatalogued: outcome("uncatalogued"),
	}
}

func (c *tallies) add(ctx context.Context, t tally) {
	if t == (tally{}) { // nearly always
		return
	}
	for _, n := range [...]struct {
		count   int64
		outcome metric.MeasurementOption
	}{
		{t.refused, c.refused}, {t.suspect, c.suspect}, {t.foreign, c.foreign}, {t.retired, c.retired}, {t.uncatalogued, c.uncatalogued},
	} {
		if n.count > 0 {
			c.counter.Add(ctx, n.count, n.outcome)
		}
	}
}
