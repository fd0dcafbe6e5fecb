package fleet

// usualRate is how fast a metric grows in an installation of intensity 1, per
// millisecond while it is in use.
func (m *Metric) usualRate() float64 {
	perSecond := 0.002 // a feature: some 170 uses a day
	switch m.Name {
	case "steps_executed":
		perSecond = 40
	case "http_requests":
		perSecond = 3
	case "bytes_loaded":
		perSecond = 250_000
	case "robots_executed":
		perSecond = 0.05
	case "values_returned", "values_stored", "hbase_puts":
		perSecond = 2
	case "schedule_runs", "kapplet_runs":
		perSecond = 0.02
	case "domains_accessed":
		perSecond = 0.01
	}
	return perSecond / float64(second)
}

// adoption is the share of installations that use the metric's subject, at a point
// of the fleet's time from 0 to 1. What is legacy dies out; what is optional
// otherwise spreads slowly.
func (m *Metric) adoption(progress float64) float64 {
	variety := share(streamFeature, textPart(m.Name))
	switch {
	case m.Legacy:
		return (0.4 + 0.4*variety) * (1 - 0.85*progress)
	case m.Optional:
		return 0.15 + 0.5*variety + 0.1*progress
	}
	return 0.95
}
