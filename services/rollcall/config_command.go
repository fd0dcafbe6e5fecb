package main

import (
	"errors"
	"fmt"
	"io"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
	"github.com/goccy/go-yaml"

	"rollcall/pkg/topics"
	"rollcall/services/anonymizer"
	"rollcall/services/enricher"
	"rollcall/services/sink"
)

// configShowCommand has every section: what it knows is what there is to configure.
type configShowCommand struct {
	everySection

	Output string `help:"Form of the result: yaml or json." default:"yaml" enum:"yaml,json" short:"o" group:"Output"`
}

// everySection is unexported and embedded: so kong does not validate its parts before
// Run has shown them.
type everySection struct {
	serviceSections
	gatewaySections
	Anonymizer anonymizer.Config `embed:"" prefix:"anonymizer." group:"Anonymizer"`
	Enricher   enricher.Config   `embed:"" prefix:"enricher." group:"Enricher"`
	Sink       sink.Config       `embed:"" prefix:"sink." group:"Sink"`
	clickhouseSections
	keystoreSections
	geoipSections
	catalogueSections
	Topics topics.Options `embed:"" prefix:"topics." group:"Topics"`
}

func (s *everySection) validate() error {
	return usage(errors.Join(s.Kafka.Validate(), s.Gateway.Validate(), s.Anonymizer.Validate(), s.Enricher.Validate(),
		s.Sink.Validate(), s.ClickHouse.Validate(), s.Topics.Validate(), s.Telemetry.Validate(), s.Private.Validate()))
}

func (configShowCommand) Help() string {
	return page("Shows every key with its value and where that comes from: default, file, environment or flag. "+
		"Passwords are masked; secrets themselves are never values, only the names of their files. The yaml form "+
		"can be used as a configuration file. What is wrong with the configuration is said after it.", []string{
		"rollcall config --config rollcall.yaml",
		"ROLLCALL_KAFKA_BROKERS=broker-1:9092 rollcall config --output json",
		"rollcall config > rollcall.yaml",
	}, "")
}

// setting is one key in force.
type setting struct {
	key    string
	Value  any    `json:"value"`
	Origin string `json:"origin"`
}

func (c *configShowCommand) Run(parsed *kong.Context, a *app) error {
	settings := inForce(parsed, a)
	if c.Output == outputJSON {
		byKey := map[string]setting{}
		for _, s := range settings {
			byKey[s.key] = s
		}
		if err := (output{Output: outputJSON}).show(a.stdout, byKey, nil); err != nil {
			return err
		}
		return c.validate()
	}
	if err := writeYAML(a.stdout, settings); err != nil {
		return err
	}
	return c.validate()
}

func inForce(parsed *kong.Context, a *app) []setting {
	given := map[string]bool{}
	for _, element := range parsed.Path {
		if element.Flag != nil && !element.Resolved {
			given[element.Flag.Name] = true
		}
	}
	secret := regexp.MustCompile(`([^\s/:@]*):[^\s/@]+@`)
	var settings []setting
	for _, flag := range parsed.Selected().Flags {
		key := keyOf(flag.Name)
		if key == "" {
			continue
		}
		origin := originDefault
		if from, ok := a.settings.origins[key]; ok {
			origin = from
		}
		if given[flag.Name] {
			origin = originFlag
		}
		settings = append(settings, setting{key, mask(key, plain(flag.Target), secret), origin})
	}
	return settings
}

// plain returns a flag's value as the configuration file would have it.
func plain(value reflect.Value) any {
	if text, ok := value.Interface().(fmt.Stringer); ok {
		return text.String()
	}
	if value.Kind() == reflect.Slice && value.IsNil() {
		return []string{}
	}
	return value.Interface()
}

const masked = "xxxxx"

// mask hides passwords: the one before the @ of an address, and the value of any key
// whose name says that it is one. secret finds the former.
func mask(key string, value any, secret *regexp.Regexp) any {
	switch v := value.(type) {
	case string:
		last := key[strings.LastIndex(key, delimiter)+1:]
		if v != "" && slices.Contains([]string{"password", "secret", "token", "key"}, last) {
			return masked
		}
		return secret.ReplaceAllString(v, "$1:"+masked+"@")
	case []string:
		all := make([]string, len(v))
		for i, item := range v {
			all[i], _ = mask(key, item, secret).(string)
		}
		return all
	}
	return value
}

func writeYAML(to io.Writer, settings []setting) error {
	var previous []string
	for _, s := range settings {
		parts := strings.Split(s.key, delimiter)
		sections := parts[:len(parts)-1]
		for depth, section := range sections {
			if depth < len(previous) && slices.Equal(previous[:depth+1], sections[:depth+1]) {
				continue
			}
			if _, err := fmt.Fprintf(to, "%s%s:\n", strings.Repeat("  ", depth), section); err != nil {
				return fmt.Errorf("write configuration: %w", err)
			}
		}
		previous = sections
		value, err := yaml.MarshalWithOptions(s.Value, yaml.Flow(true))
		if err != nil {
			return fmt.Errorf("write %s: %w", s.key, err)
		}
		_, err = fmt.Fprintf(to, "%s%s: %s # %s\n", strings.Repeat("  ", len(sections)), parts[len(parts)-1],
			strings.TrimSpace(string(value)), s.Origin)
		if err != nil {
			return fmt.Errorf("write configuration: %w", err)
		}
	}
	return nil
}
