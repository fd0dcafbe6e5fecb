package catalogue

import "fmt"

// Retirement holds the thresholds by which the removal of a legacy metric's feature is
// judged (docs/retirement.md). A field that is 0 has its default.
type Retirement struct {
	// RemoveBelow is the share of the valid licences, 0 to 1, that removal may break.
	RemoveBelow float64 `yaml:"remove_below"`
	// KeepAbove is the share above which the feature is kept.
	KeepAbove float64 `yaml:"keep_above"`
	// Sensitivity is how many times as likely a licence of which nothing is known may
	// be to use it as one that is seen; 1 or more.
	Sensitivity float64 `yaml:"sensitivity"`
}

// Defaults of the thresholds.
const (
	defaultRemoveBelow = 0.005
	defaultKeepAbove   = 0.02
	defaultSensitivity = 3
)

// RetirementPolicy returns the metric's thresholds, defaults filled in.
func (m *Metric) RetirementPolicy() Retirement {
	var r Retirement
	if m.Retirement != nil {
		r = *m.Retirement
	}
	for _, field := range []struct {
		value    *float64
		standard float64
	}{{&r.RemoveBelow, defaultRemoveBelow}, {&r.KeepAbove, defaultKeepAbove}, {&r.Sensitivity, defaultSensitivity}} {
		if *field.value == 0 {
			*field.value = field.standard
		}
	}
	return r
}

func (r Retirement) validate() error {
	if r.RemoveBelow > 0 && r.RemoveBelow <= r.KeepAbove && r.KeepAbove < 1 && r.Sensitivity >= 1 {
		return nil
	}
	return fmt.Errorf("retirement needs 0 < remove_below (%v) <= keep_above (%v) < 1 and sensitivity (%v) of 1 or more", r.RemoveBelow, r.KeepAbove, r.Sensitivity)
}
