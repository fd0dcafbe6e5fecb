package fleet

import "math"

// maxValue is the highest value that a metric may have: 2^53.
const maxValue = 1 << 53

// pin is a metric that stays at one value throughout a session: a value at or
// beyond a limit. The zero pin pins nothing.
type pin struct {
	metric string
	value  int64
}

// drawPin gives a few sessions a value that must be judged. Sessions of licences
// with fewer CPUs than the host often get one that only the licence makes suspect.
func (l *life) drawPin(s *session) pin {
	r := l.r
	metrics := l.fleet.metricsOf(l.of.application)
	var bounded []Metric
	for _, m := range metrics {
		// Not a legacy one: a few pins would hide that it dies out. Not a gauge: its bound is
		// so far beyond what products have that a few pins would be all there is of its sums.
		if m.Kind != gauge && m.PlausibleMax > 0 && m.PlausibleMax < maxValue/256 && !m.Optional && !m.Legacy {
			bounded = append(bounded, m)
		}
	}
	if len(bounded) == 0 {
		return pin{}
	}
	m := pick(r, bounded)
	byHost := m.PlausibleMax * int64(l.host.cpus)
	byLicence := byHost
	if terms, ok := l.fleet.licences[s.licence].on(clientDay(s.start)); ok && terms.EntitledCPUs != nil {
		byLicence = min(byHost, m.PlausibleMax**terms.EntitledCPUs)
	}
	if byLicence < byHost && chance(r, 0.25) {
		return pin{m.Name, between(r, byLicence+1, byHost+1)}
	}
	switch r.IntN(160) {
	case 0:
		return pin{m.Name, byHost + 1 + r.Int64N(byHost)}
	case 1:
		return pin{m.Name, byLicence} // exactly plausible
	case 2:
		return pin{m.Name, byLicence + 1}
	case 3:
		return pin{pick(r, metrics).Name, maxValue}
	case 4:
		return pin{pick(r, metrics).Name, maxValue + 1}
	case 5:
		return pin{pick(r, metrics).Name, math.MaxInt64}
	case 6:
		return pin{pick(r, metrics).Name, -1 - r.Int64N(1000)}
	}
	return pin{}
}
