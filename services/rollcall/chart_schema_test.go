package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"
)

// valuesSchema is a schema of the chart's values, or a part of one, as far as values of
// settings use JSON Schema.
type valuesSchema struct {
	Ref              string                  `json:"$ref"`
	Properties       map[string]valuesSchema `json:"properties"`
	Items            *valuesSchema           `json:"items"`
	Type             any                     `json:"type"`
	Minimum          *float64                `json:"minimum"`
	ExclusiveMinimum *float64                `json:"exclusiveMinimum"`
	Maximum          *float64                `json:"maximum"`
	Pattern          string                  `json:"pattern"`
	AllOf            []valuesSchema          `json:"allOf"`
	AnyOf            []valuesSchema          `json:"anyOf"`
	Description      string                  `json:"description"`
}

// chartSchema is the whole schema, with what its parts refer to.
type chartSchema struct {
	valuesSchema
	Definitions map[string]json.RawMessage `json:"definitions"`
}

func readChartSchema(t *testing.T) *chartSchema {
	t.Helper()
	content, err := os.ReadFile("../../helm/rollcall/values.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	schema := &chartSchema{}
	if err := json.Unmarshal(content, schema); err != nil {
		t.Fatal(err)
	}
	return schema
}

// at returns the schema of the value at a path with dots.
func (s *chartSchema) at(t *testing.T, path string) valuesSchema {
	t.Helper()
	found := s.valuesSchema
	for key := range strings.SplitSeq(path, ".") {
		inner, ok := found.Properties[key]
		if !ok {
			t.Fatalf("the chart's schema has no %s", path)
		}
		found = s.resolve(t, inner)
	}
	return found
}

// resolve follows a reference; what this test cannot judge ends it.
func (s *chartSchema) resolve(t *testing.T, schema valuesSchema) valuesSchema {
	t.Helper()
	if schema.Ref == "" {
		return schema
	}
	decoder := json.NewDecoder(strings.NewReader(string(s.Definitions[strings.TrimPrefix(schema.Ref, "#/definitions/")])))
	decoder.DisallowUnknownFields()
	var definition valuesSchema
	if err := decoder.Decode(&definition); err != nil {
		t.Fatalf("%s: %v", schema.Ref, err)
	}
	return definition
}

// takes reports whether the schema takes a value: a number, a text or a list of texts.
func (s *chartSchema) takes(t *testing.T, schema valuesSchema, value any) bool {
	t.Helper()
	schema = s.resolve(t, schema)
	for _, all := range schema.AllOf {
		if !s.takes(t, all, value) {
			return false
		}
	}
	if len(schema.AnyOf) > 0 && !slices.ContainsFunc(schema.AnyOf, func(any valuesSchema) bool { return s.takes(t, any, value) }) {
		return false
	}
	switch v := value.(type) {
	case float64:
		whole := v == math.Trunc(v)
		return (schema.Type == "number" || schema.Type == "integer" && whole) && (schema.Minimum == nil || v >= *schema.Minimum) &&
			(schema.ExclusiveMinimum == nil || v > *schema.ExclusiveMinimum) && (schema.Maximum == nil || v <= *schema.Maximum)
	case string:
		return (schema.Type == "string" || schema.Type == nil) && regexp.MustCompile(schema.Pattern).MatchString(v)
	case []string:
		return schema.Type == "array" && !slices.ContainsFunc(v, func(item string) bool { return !s.takes(t, *schema.Items, item) })
	}
	t.Fatalf("a value of %T", value)
	return false
}

// edges are values about every bound of the schema, and far from them.
func (v valuesSchema) edges() []any {
	numbers := []float64{-1, 0, 0.5, 1, 1 << 53}
	for _, bound := range []*float64{v.Minimum, v.ExclusiveMinimum, v.Maximum} {
		if bound != nil {
			numbers = append(numbers, *bound-1, *bound, *bound+1)
		}
	}
	slices.Sort(numbers)
	var edges []any
	for _, number := range slices.Compact(numbers) {
		edges = append(edges, number)
	}
	return edges
}

// durations are both sides of every bound that a setting has, in the way that one writes
// them; and ways that only look like one.
func durations() (plain, strange []any) {
	for _, text := range []string{"-1s", "0s", "1ms", "999ms", "1s", "2s", "5s", "6s", "1m30s", "29m", "30m", "31m", "1800s", "1801s", "9999h"} {
		plain = append(plain, text)
	}
	for _, text := range []string{
		"", "1", "s", "1d", "1 s", "1s ", "00s", "0h0m0s", "0.0s", ".5s", "1.s", "1e3s", "+1s", "01s", "1s1ms", "0.5s", "0.000000001s", "0.0000000001s", "0.000001ms", "0.0000001ms",
		"1.5s", "1.5h", "0h1s", "0s1ms", "99999h", "99999h99999h99999h99999h", "999999999h", "9999999999ms", "5s999ms", "0.1h", "1000ms", "6000ms", "6.5s", "30m0s", "30m1s", "5.999s", "0.9s",
	} {
		strange = append(strange, text)
	}
	return plain, strange
}

func networks() []any {
	var lists []any
	for _, text := range []string{
		"10.0.0.0/8", "10.0.0.0/0", "10.0.0.0/32", "10.0.0.0/33", "10.0.0.0/99", "10.0.0.0/08", "10.0.0/8", "256.0.0.0/8", "01.0.0.0/8", "10.0.0.1", "0.0.0.0/0",
		"::/0", "fd00::/8", "fd00:42::/48", "fd00::/128", "fd00::/129", "::1/128", "1:2:3:4:5:6:7:8/64", "1:2:3:4:5:6:7::/64", "::2:3:4:5:6:7:8/64", "1::8/64", "1::7:8/64", "1:2::8/64",
		"1:2:3:4:5:6:7:8:9/64", "1::2::3/64", ":1/64", "1:/64", "12345::/64", "g::/64", "fd00::", "fe80::1%eth0/64",
	} {
		lists = append(lists, []string{text})
	}
	return append(lists, []string{}, []string{"10.0.0.0/8", "fd00::/8"}, []string{"10.0.0.0/8", "10.0.0.0/99"})
}

// chartSettings returns the path of the value of the chart that each numeric setting has,
// each duration and each list of networks, with the unit that the chart adds to it.
func chartSettings(t *testing.T, schema *chartSchema) map[string][2]string {
	t.Helper()
	settings := map[string][2]string{
		"gateway.drain_timeout": {"gateway.drainTimeoutSeconds", "s"}, "gateway.shutdown_delay": {"gateway.shutdownDelaySeconds", "s"}, "sink.drain_timeout": {"sink.drainTimeoutSeconds", "s"},
		"topics.partitions": {"topics.partitions"}, "topics.replication_factor": {"topics.replicationFactor"}, "topics.min_in_sync": {"topics.minInSync"},
		"telemetry.traces_sample_ratio": {"telemetry.tracesSampleRatio"},
	}
	var walk func(prefix string, section valuesSchema)
	walk = func(path string, section valuesSchema) {
		for name, inner := range section.Properties {
			if inner.Properties != nil {
				walk(path+"."+name, inner)
				continue
			}
			settings[strings.Replace(path, ".config", "", 1)+"."+name] = [2]string{path + "." + name}
		}
	}
	for _, service := range []string{"gateway", "anonymizer", "enricher", "sink"} {
		walk(service+".config", schema.at(t, service+".config"))
	}
	return settings
}

// companions are what must stand beside a setting for its own bounds to be seen: drains
// that are long enough for anything, and bounds of the drains that leave them free.
func companions(key string) map[string]any {
	const long = "2000000h"
	switch key {
	case "gateway.drain_timeout":
		return map[string]any{"gateway.body_timeout": "1ms", "gateway.ack_timeout": "1s"}
	case "sink.drain_timeout":
		return map[string]any{"sink.insert_timeout": "1ms", "sink.flush_interval": "1ms"}
	case "topics.min_in_sync":
		return map[string]any{"topics.replication_factor": math.MaxInt16}
	}
	return map[string]any{"gateway.drain_timeout": long, "sink.drain_timeout": long, "topics.min_in_sync": 1}
}

// The chart takes a number, a duration or a network where rollcall does, at both edges:
// nothing that the chart takes ends a pod at its start. Of durations it takes the usual
// spellings. Formats of records are bound by the image's release, which a value may change.
func TestChartBoundsAreRollcalls(t *testing.T) {
	schema := readChartSchema(t)
	settings := chartSettings(t, schema)
	tried := 0
	for _, flag := range configFlags(t) {
		key := keyOf(flag.Name)
		value, ok := settings[key]
		if !ok {
			continue
		}
		of := schema.at(t, value[0])
		var candidates, strange []any
		switch flag.Target.Interface().(type) {
		case time.Duration:
			candidates, strange = durations()
			if value[1] != "" {
				candidates, strange = of.edges(), nil
			}
		case int, int16, int64, float64:
			candidates = of.edges()
		case []string:
			candidates = networks()
		default:
			continue // texts: no bound but their patterns
		}
		tried++
		for _, candidate := range candidates {
			given := candidate
			if value[1] != "" {
				given = fmt.Sprintf("%v%s", candidate, value[1])
			}
			chart, rollcall := schema.takes(t, of, candidate), configTakes(t, key, given)
			switch {
			case key == "enricher.window_past_days" && of.Maximum == nil && candidate == any(float64(1<<53)):
				// The chart leaves this bound to rollcall.
			case chart && !rollcall:
				t.Errorf("%s: %v is taken by the chart, and rollcall refuses it", value[0], candidate)
			case !chart && rollcall && !standsForTheDefault(key, candidate) && !chartsOwnBound(value, of, candidate):
				t.Errorf("%s: %v is refused by the chart, and rollcall takes it", value[0], candidate)
			}
		}
		for _, candidate := range strange {
			if schema.takes(t, of, candidate) && !configTakes(t, key, candidate) {
				t.Errorf("%s: %q is taken by the chart, and rollcall refuses it", value[0], candidate)
			}
		}
	}
	if tried < 40 {
		t.Errorf("%d settings tried", tried)
	}
}

// standsForTheDefault: the sink takes zero for the default, which the chart leaves out.
func standsForTheDefault(key string, value any) bool {
	return strings.HasPrefix(key, "sink.") && slices.Contains([]any{0.0, "0s"}, value)
}

// chartsOwnBound: a pod's stop takes whole seconds, and no longer than the schema says.
func chartsOwnBound(value [2]string, of valuesSchema, candidate any) bool {
	number, isNumber := candidate.(float64)
	return value[1] != "" && isNumber && (number > *of.Maximum || number != math.Trunc(number))
}

func configFlags(t *testing.T) []*kong.Flag {
	t.Helper()
	for _, command := range model(t).Children {
		if command.Name == configCommand {
			return command.Flags
		}
	}
	t.Fatal("there is no command config")
	return nil
}

// configTakes reports whether the sections that rollcall config shows take a setting.
func configTakes(t *testing.T, key string, value any) bool {
	t.Helper()
	// Without the other commands, whose flags would take most of the test's time.
	var grammar struct{ everySection }
	parser, err := kong.New(&grammar)
	if err != nil {
		t.Fatal(err)
	}
	given := companions(key)
	given[key] = value
	var flags []string
	for key, value := range given {
		text := fmt.Sprint(value)
		switch v := value.(type) {
		case float64:
			text = strconv.FormatFloat(v, 'f', -1, 64)
		case []string:
			text = strings.Join(v, ",")
		}
		flags = append(flags, "--"+strings.ReplaceAll(key, "_", "-")+"="+text)
	}
	_, err = parser.Parse(flags)
	return errors.Join(err, grammar.validate()) == nil
}

// An audit without a pause would run once, and its pod be started again for ever.
func TestChartAuditsAgainAndAgain(t *testing.T) {
	schema := readChartSchema(t)
	every := schema.at(t, "audit.every")
	plain, strange := durations()
	for _, candidate := range slices.Concat(plain, strange) {
		pause, err := time.ParseDuration(candidate.(string))
		if schema.takes(t, every, candidate) && (err != nil || pause <= 0) {
			t.Errorf("audit.every: the chart takes %q", candidate)
		}
	}
	for _, want := range []string{"10m", "1h30m", "30s"} {
		if !schema.takes(t, every, want) {
			t.Errorf("audit.every: the chart refuses %q", want)
		}
	}
}
