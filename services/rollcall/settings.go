package main

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
	"github.com/knadh/koanf/parsers/yaml"
	"github.com/knadh/koanf/providers/file"
	"github.com/knadh/koanf/v2"
)

const (
	envPrefix = "ROLLCALL_"
	envConfig = "ROLLCALL_CONFIG" // stands for --config
	envCache  = "ROLLCALL_CACHE"  // where downloaded parts are kept: no setting of a service
	delimiter = "."
)

// Origins of a value, from the weakest to the strongest.
const (
	originDefault     = "default"
	originFile        = "file"
	originEnvironment = "environment"
	originFlag        = "flag"
)

// settings are the values of configuration file and environment, checked against
// the keys that the grammar knows. A flag --a.b-c is the key a.b_c of the file and
// the variable ROLLCALL_A_B_C.
type settings struct {
	environ     []string
	path        string // of the configuration file; empty: none
	file        map[string]any
	environment map[string]string // by key
	origins     map[string]string // of each key that a resolver set, by key
}

// keyOf returns the configuration key of a flag, or "" for a flag that is none: keys
// are those in a section.
func keyOf(flagName string) string {
	if !strings.Contains(flagName, delimiter) {
		return ""
	}
	return strings.ReplaceAll(flagName, "-", "_")
}

func variableOf(key string) string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(key, delimiter, "_"))
}

// knownKeys are those of the command that shows the whole configuration.
func knownKeys(model *kong.Application) []string {
	var keys []string
	for _, command := range model.Children {
		if command.Name != configCommand {
			continue
		}
		for _, flag := range command.Flags {
			if key := keyOf(flag.Name); key != "" {
				keys = append(keys, key)
			}
		}
	}
	slices.Sort(keys)
	return keys
}

// load reads file and environment, and refuses every key that nothing knows.
func (s *settings) load(path string, known []string) error {
	s.environment, s.origins = map[string]string{}, map[string]string{}
	byVariable := make(map[string]string, len(known))
	for _, key := range known {
		byVariable[variableOf(key)] = key
	}
	var errs []error
	for _, pair := range s.environ {
		name, value, _ := strings.Cut(pair, "=")
		switch key, ok := byVariable[name]; {
		case !strings.HasPrefix(name, envPrefix), name == envCache:
		case name == envConfig:
			if path == "" {
				path = value
			}
		case ok:
			s.environment[key] = value
		default:
			errs = append(errs, fmt.Errorf("unknown environment variable %s%s", name,
				suggestion(name, slices.Sorted(maps.Keys(byVariable)))))
		}
	}
	s.path = path
	if err := s.loadFile(known); err != nil {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

func (s *settings) loadFile(known []string) error {
	if s.path == "" {
		return nil
	}
	values := koanf.New(delimiter)
	if err := values.Load(file.Provider(s.path), yaml.Parser()); err != nil {
		return fmt.Errorf("read configuration file %s: %w", s.path, err)
	}
	s.file = map[string]any{}
	var errs []error
	for key, value := range values.All() {
		switch {
		case slices.Contains(known, key):
			s.file[key] = value
		case isSection(known, key) && isEmpty(value): // a section with nothing in it
		default:
			errs = append(errs, fmt.Errorf("%s: unknown key %q%s", s.path, key, suggestion(key, known)))
		}
	}
	slices.SortFunc(errs, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return errors.Join(errs...)
}

func isSection(known []string, key string) bool {
	return slices.ContainsFunc(known, func(k string) bool { return strings.HasPrefix(k, key+delimiter) })
}

func isEmpty(value any) bool {
	section, ok := value.(map[string]any)
	return value == nil || ok && len(section) == 0
}

// Validate is kong's question whether the grammar suits: load has asked it.
func (s *settings) Validate(*kong.Application) error { return nil }

// Resolve returns what environment or file, in this order, say of the flag, or nil.
func (s *settings) Resolve(_ *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
	key := keyOf(flag.Name)
	if key == "" {
		return nil, nil
	}
	if value, ok := s.environment[key]; ok {
		s.origins[key] = originEnvironment
		return value, nil
	}
	value, ok := s.file[key]
	if !ok {
		return nil, nil
	}
	s.origins[key] = originFile
	if value == nil {
		return nil, fmt.Errorf("%s: %s has no value", s.path, key)
	}
	list, ok := value.([]any)
	if !ok {
		return fmt.Sprint(value), nil
	}
	if !flag.IsSlice() {
		return nil, fmt.Errorf("%s: %s wants one value, not a list", s.path, key)
	}
	items := make([]string, len(list))
	for i, item := range list {
		items[i] = strings.ReplaceAll(fmt.Sprint(item), ",", `\,`)
	}
	return strings.Join(items, ","), nil
}

// explain adds to a parse error where the value at fault came from, unless it was a
// flag: then the user has just typed it.
func (s *settings) explain(err error) error {
	for key, origin := range s.origins {
		flag := "--" + strings.ReplaceAll(key, "_", "-")
		rest, found := strings.CutPrefix(err.Error(), flag)
		if !found || rest != "" && !strings.ContainsRune(":= ", rune(rest[0])) {
			continue
		}
		if origin == originEnvironment {
			return fmt.Errorf("%w (from the environment variable %s)", err, variableOf(key))
		}
		return fmt.Errorf("%w (from %s in %s)", err, key, s.path)
	}
	return err
}

// suggestion returns a remark with the nearest of the candidates, or nothing where
// none is near.
func suggestion(word string, candidates []string) string {
	best, least := "", len(word)/3+1
	for _, candidate := range candidates {
		if d := distance(word, candidate); d <= least {
			best, least = candidate, d-1
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf(", did you mean %s?", best)
}

// distance is the Levenshtein distance of a and b in bytes.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			substituted := diagonal
			if a[i] != b[j] {
				substituted++
			}
			diagonal = row[j+1]
			row[j+1] = min(substituted, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
