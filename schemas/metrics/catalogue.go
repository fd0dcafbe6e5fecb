// Package catalogue holds the metrics catalogue: what each counter, gauge and
// distinct means, who owns it, under which consent it is collected and whether it
// is on its way out. It is data, read from YAML; a new metric changes no code.
package catalogue

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"slices"
	"strings"
	"sync"

	"github.com/goccy/go-yaml"
)

//go:embed *.yaml
var files embed.FS

// Kind says how values of a metric combine; it is also the map of the report in
// which a client sends it.
type Kind string

// The kinds, and how they roll up (docs/rollup.md).
const (
	Counter  Kind = "counter"  // sum over sessions, sum over installations
	Gauge    Kind = "gauge"    // highest over sessions, sum over installations
	Distinct Kind = "distinct" // highest over sessions, highest over installations: a lower bound
)

// Collections: which consent a metric needs.
const (
	Required = "required"
	Optional = "optional"
)

// Lifecycles of a metric.
const (
	Active  = "active"
	Legacy  = "legacy"
	Retired = "retired"
)

// Metric is one entry. ID, Kind and Collection of a name never change.
type Metric struct {
	ID          uint16 `yaml:"id"`
	Name        string `yaml:"name"`
	Description string `yaml:"description"`
	Kind        Kind   `yaml:"kind"`
	Unit        string `yaml:"unit"`        // UCUM, as "By" or "{step}"
	Application string `yaml:"application"` // roboserver, management_console, or any
	Collection  string `yaml:"collection"`  // required or optional
	Purpose     string `yaml:"purpose"`     // why it is collected
	Lifecycle   string `yaml:"lifecycle"`   // active, legacy or retired
	Since       string `yaml:"since"`       // first release that reports it
	// DeprecatedIn, RemovedIn and ReplacedBy are empty where they do not apply.
	DeprecatedIn string `yaml:"deprecated_in"`
	RemovedIn    string `yaml:"removed_in"`
	ReplacedBy   string `yaml:"replaced_by"`
	SincePolicy  int32  `yaml:"since_policy"` // first privacy policy that names it
	Owner        string `yaml:"owner"`
	// PlausibleMaxPerCPUDay bounds the value of one session and day, per CPU; 0: unbounded.
	// A gauge neither grows with CPUs nor stops at what is entitled to: its bound for one
	// CPU is far beyond anything real, so that use beyond a licence is never suspect.
	PlausibleMaxPerCPUDay int64 `yaml:"plausible_max_per_cpu_day"`
	// Retirement holds the thresholds of its removal; see RetirementPolicy.
	Retirement *Retirement `yaml:"retirement"`
}

// Catalogue is immutable and safe for concurrent use.
type Catalogue struct {
	byName map[string]*Metric
	byID   map[uint16]*Metric
	all    []*Metric // ascending by ID
}

// Embedded returns the catalogue compiled into this build. It panics where that
// does not load, which a test of this package rules out.
var Embedded = sync.OnceValue(func() *Catalogue {
	c, err := Load(files)
	if err != nil {
		panic(err)
	}
	return c
})

// Load reads every *.yaml of fsys, each a list of metrics under "metrics", and
// refuses unknown keys, repeated ids or names, and values outside their vocabulary.
func Load(fsys fs.FS) (*Catalogue, error) {
	paths, err := fs.Glob(fsys, "*.yaml")
	if err != nil {
		return nil, fmt.Errorf("list catalogue: %w", err)
	}
	if len(paths) == 0 {
		return nil, errors.New("catalogue: no *.yaml file found")
	}
	c := &Catalogue{byName: map[string]*Metric{}, byID: map[uint16]*Metric{}}
	for _, path := range paths {
		source, err := fs.ReadFile(fsys, path)
		if err != nil {
			return nil, fmt.Errorf("read catalogue: %w", err)
		}
		var file struct {
			Metrics []*Metric `yaml:"metrics"`
		}
		if err := yaml.UnmarshalWithOptions(source, &file, yaml.Strict()); err != nil {
			return nil, fmt.Errorf("catalogue %s: %w", path, err)
		}
		for _, m := range file.Metrics {
			if err := c.add(m); err != nil {
				return nil, fmt.Errorf("catalogue %s: %w", path, err)
			}
		}
	}
	slices.SortFunc(c.all, func(a, b *Metric) int { return int(a.ID) - int(b.ID) })
	for _, m := range c.all {
		if m.ReplacedBy != "" && c.byName[m.ReplacedBy] == nil {
			return nil, fmt.Errorf("catalogue: %s is replaced by %s, which it does not have", m.Name, m.ReplacedBy)
		}
	}
	return c, nil
}

func (c *Catalogue) add(m *Metric) error {
	if err := m.validate(); err != nil {
		return err
	}
	if other := c.byName[m.Name]; other != nil {
		return fmt.Errorf("metric %s stands twice", m.Name)
	}
	if other := c.byID[m.ID]; other != nil {
		return fmt.Errorf("metrics %s and %s share id %d", other.Name, m.Name, m.ID)
	}
	c.byName[m.Name], c.byID[m.ID] = m, m
	c.all = append(c.all, m)
	return nil
}

func (m *Metric) validate() error {
	if m == nil || m.Name == "" {
		return errors.New("a metric has no name")
	}
	oneOf := func(field, value string, allowed ...string) error {
		if slices.Contains(allowed, value) {
			return nil
		}
		return fmt.Errorf("metric %s: %s is %q, want one of %s", m.Name, field, value, strings.Join(allowed, ", "))
	}
	var errs []error
	if m.ID == 0 {
		errs = append(errs, fmt.Errorf("metric %s: id must be 1 to %d", m.Name, math.MaxUint16))
	}
	if m.PlausibleMaxPerCPUDay < 0 {
		errs = append(errs, fmt.Errorf("metric %s: plausible_max_per_cpu_day is negative", m.Name))
	}
	for field, value := range map[string]string{"description": m.Description, "unit": m.Unit, "purpose": m.Purpose, "owner": m.Owner, "since": m.Since} {
		if value == "" {
			errs = append(errs, fmt.Errorf("metric %s: %s is empty", m.Name, field))
		}
	}
	if m.SincePolicy < 1 {
		errs = append(errs, fmt.Errorf("metric %s: since_policy must be at least 1", m.Name))
	}
	if err := m.RetirementPolicy().validate(); err != nil {
		errs = append(errs, fmt.Errorf("metric %s: %w", m.Name, err))
	}
	return errors.Join(append(errs,
		oneOf("kind", string(m.Kind), string(Counter), string(Gauge), string(Distinct)),
		oneOf("application", m.Application, "roboserver", "management_console", "any"),
		oneOf("collection", m.Collection, Required, Optional),
		oneOf("lifecycle", m.Lifecycle, Active, Legacy, Retired))...)
}

// Metric finds a metric by its exact name.
func (c *Catalogue) Metric(name string) (*Metric, bool) { m, ok := c.byName[name]; return m, ok }

// ByID finds a metric by its id.
func (c *Catalogue) ByID(id uint16) (*Metric, bool) { m, ok := c.byID[id]; return m, ok }

// All returns every metric, ascending by id. Callers must not change them.
func (c *Catalogue) All() []*Metric { return c.all }
