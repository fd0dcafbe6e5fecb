package datamap

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"rollcall/pkg/topics"
	schema "rollcall/schemas/avro"
)

// ReportRecord is the name of the schema that products write.
const ReportRecord = "UsageReport"

// Records returns the name of the schema of each topic's records.
func Records() map[string]string {
	return map[string]string{
		topics.Raw: "RawReport", topics.Clean: "CleanReport", topics.Usage: "Usage", topics.Identities: "Identity",
		topics.Licences: "Licence", topics.DeadLetters: "DeadLetter", topics.AccessLog: "AccessEntry",
	}
}

// Report returns the fields of a report, in the order of its newest schema.
func Report() ([]Field, error) {
	fields, _, err := recordFields(ReportRecord)
	return fields, err
}

// Topics returns the topics as places, in the order of the pipeline.
func Topics() ([]Place, error) {
	var places []Place
	for _, spec := range topics.Specs(topics.Options{Partitions: 1, ReplicationFactor: 1, MinInSync: 1}) {
		name, ok := Records()[spec.Name]
		if !ok {
			return nil, fmt.Errorf("data map: no schema is known of the topic %s", spec.Name)
		}
		fields, about, err := recordFields(name)
		if err != nil {
			return nil, err
		}
		place := Place{Kind: Topic, Name: spec.Name, About: strings.TrimPrefix(about, "Topic "+spec.Name+": "), Fields: fields}
		if !spec.Compact && spec.Retention > 0 {
			place.Retention = days(spec.Retention)
		}
		places = append(places, place)
	}
	return places, nil
}

func days(d time.Duration) string { return strconv.Itoa(int(d/(24*time.Hour))) + " days" }

// recordFields returns the leaves of a record's newest schema, paths as
// lineage.offset, and what the schema says it is.
func recordFields(name string) (fields []Field, about string, err error) {
	newest := schema.Released().Newest(name)
	if newest == nil {
		return nil, "", fmt.Errorf("data map: no schema is called %s", name)
	}
	var root map[string]any
	if err := json.Unmarshal([]byte(newest.Source), &root); err != nil {
		return nil, "", fmt.Errorf("data map: schema %s: %w", name, err)
	}
	about, _ = root["doc"].(string)
	return leaves(root, ""), about, nil
}

// leaves returns the fields of a record, those of records in it instead of itself.
func leaves(node any, path string) []Field {
	record, _ := node.(map[string]any)
	list, _ := record["fields"].([]any)
	var fields []Field
	for _, element := range list {
		field, _ := element.(map[string]any)
		name, _ := field["name"].(string)
		if below := leaves(inner(field["type"]), path+name+"."); len(below) > 0 {
			fields = append(fields, below...)
			continue
		}
		about, _ := field["doc"].(string)
		class, _ := field["privacy"].(string)
		fields = append(fields, Field{Name: path + name, Type: typeName(field["type"]), About: about, Class: class})
	}
	return fields
}

// inner returns the record that a type is, or holds as an array's items or as a
// union's branch; else nil.
func inner(node any) any {
	switch n := node.(type) {
	case []any:
		for _, branch := range n {
			if found := inner(branch); found != nil {
				return found
			}
		}
	case map[string]any:
		if n["type"] == "record" {
			return n
		}
		if n["type"] == "array" {
			return inner(n["items"])
		}
	}
	return nil
}

// typeName renders a type in few words.
func typeName(node any) string {
	switch n := node.(type) {
	case string:
		return n
	case []any:
		for _, branch := range n {
			if branch != "null" {
				return typeName(branch) + ", or none"
			}
		}
	case map[string]any:
		if logical, ok := n["logicalType"].(string); ok {
			return logical
		}
		switch n["type"] {
		case "array":
			return "list of " + typeName(n["items"])
		case "map":
			return "map of " + typeName(n["values"])
		case "enum":
			return "enum"
		}
		return typeName(n["type"])
	}
	return "null"
}
