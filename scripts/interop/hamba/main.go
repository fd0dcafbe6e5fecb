// Command hamba encodes one report as an Avro single object with hamba/avro, a
// peer that products written in Go may still use: hamba SCHEMA REPORT_JSON > OUT.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/hamba/avro/v2"
)

func main() {
	if err := run(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, "hamba:", err)
		os.Exit(1)
	}
}

func run(schemaPath, reportPath string) error {
	source, err := os.ReadFile(schemaPath)
	if err != nil {
		return err
	}
	parsed, err := avro.Parse(string(source))
	if err != nil {
		return err
	}
	text, err := os.ReadFile(reportPath)
	if err != nil {
		return err
	}
	var report map[string]any
	decoder := json.NewDecoder(strings.NewReader(string(text)))
	decoder.UseNumber()
	if err := decoder.Decode(&report); err != nil {
		return err
	}
	if err := typed(report); err != nil {
		return err
	}
	body, err := avro.Marshal(parsed, report)
	if err != nil {
		return err
	}
	header, err := fingerprint(source)
	if err != nil {
		return err
	}
	_, err = os.Stdout.Write(append(append([]byte{0xC3, 0x01}, header...), body...))
	return err
}

// fingerprint returns the schema's CRC-64-AVRO fingerprint in little-endian order.
// hamba keeps logical types in what it fingerprints, where the specification's
// parsing canonical form drops them, so they are taken out first.
func fingerprint(source []byte) ([]byte, error) {
	var node any
	if err := json.Unmarshal(source, &node); err != nil {
		return nil, err
	}
	stripped, err := json.Marshal(withoutLogicalTypes(node))
	if err != nil {
		return nil, err
	}
	parsed, err := avro.ParseWithCache(string(stripped), "", &avro.SchemaCache{})
	if err != nil {
		return nil, err
	}
	return parsed.FingerprintUsing(avro.CRC64AvroLE)
}

func withoutLogicalTypes(node any) any {
	switch n := node.(type) {
	case []any:
		for i := range n {
			n[i] = withoutLogicalTypes(n[i])
		}
	case map[string]any:
		delete(n, "logicalType")
		for key := range n {
			n[key] = withoutLogicalTypes(n[key])
		}
	}
	return node
}

// typed turns JSON values into the Go types that hamba's generic encoder wants.
func typed(report map[string]any) error {
	for _, name := range []string{"report_id", "installation_id", "host_id", "session_id"} {
		id, err := uuid.Parse(report[name].(string))
		if err != nil {
			return err
		}
		report[name] = [16]byte(id)
	}
	integer := func(v any) int64 { n, _ := v.(json.Number).Int64(); return n }
	for _, name := range []string{"sent_at", "session_started_at"} {
		report[name] = time.UnixMilli(integer(report[name+"_ms"])).UTC()
		delete(report, name+"_ms")
	}
	report["day"] = time.Unix(integer(report["day"])*86400, 0).UTC()
	report["sequence"] = integer(report["sequence"])
	report["policy_version"] = int(integer(report["policy_version"]))
	host := report["host"].(map[string]any)
	host["cpu_count"] = int(integer(host["cpu_count"]))
	for _, name := range []string{"counters", "gauges", "distincts"} {
		for metric, value := range report[name].(map[string]any) {
			report[name].(map[string]any)[metric] = integer(value)
		}
	}
	report["installation_key"], report["signature"] = nil, nil
	return nil
}
