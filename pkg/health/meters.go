package health

import (
	"context"
	"fmt"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// Observe tells a meter how many conditions fail, by class: what a probe sees only
// while it asks, an alert needs over time. A class without a failing condition says
// 0, so that an alert ends by itself.
func (c *Checks) Observe(meter metric.Meter) error {
	_, err := meter.Int64ObservableGauge("rollcall.condition.failing", metric.WithUnit("{condition}"),
		metric.WithDescription("Conditions of readiness that do not hold, by class."),
		metric.WithInt64Callback(func(_ context.Context, o metric.Int64Observer) error {
			for class, n := range c.counts() {
				o.Observe(n, metric.WithAttributes(attribute.String("rollcall.condition", class)))
			}
			return nil
		}))
	if err != nil {
		return fmt.Errorf("count failing conditions: %w", err)
	}
	return nil
}

// counts returns how many conditions of each class fail. The class of a condition is
// its name up to the first slash: what follows names a topic and a partition, which
// would make a series each.
func (c *Checks) counts() map[string]int64 {
	root, prefix := c, ""
	for ; root.parent != nil; root = root.parent {
		prefix = root.prefix + prefix
	}
	root.mu.Lock()
	defer root.mu.Unlock()
	counts := map[string]int64{}
	for name, is := range root.conditions {
		own, ok := strings.CutPrefix(name, prefix)
		if !ok {
			continue
		}
		class, _, _ := strings.Cut(own, "/")
		if is.why != "" {
			counts[class]++
		} else {
			counts[class] += 0
		}
	}
	return counts
}
