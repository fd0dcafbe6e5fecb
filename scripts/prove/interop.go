package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	chgo "github.com/ClickHouse/clickhouse-go/v2"
	"github.com/google/uuid"

	"rollcall/pkg/client"
	"rollcall/pkg/pseudonym"
	catalogue "rollcall/schemas/metrics"
	"rollcall/scripts/parts/partstore"
	"rollcall/scripts/testbed"
)

// peer is another implementation of Avro, called with the schema and a report as JSON.
type peer struct {
	name    string
	command func(ctx context.Context, env *Environment, interop string) (*exec.Cmd, error)
}

func peers() []peer {
	return []peer{
		{"Apache Avro for Java", func(ctx context.Context, env *Environment, interop string) (*exec.Cmd, error) {
			libs, err := env.Part(ctx, partstore.AvroJava)
			return exec.CommandContext(ctx, "java", "-cp", filepath.Join(libs, "*"), filepath.Join(interop, "java", "Encode.java")), err
		}},
		{"fastavro", func(ctx context.Context, env *Environment, interop string) (*exec.Cmd, error) {
			python, err := env.Part(ctx, partstore.Fastavro)
			return exec.CommandContext(ctx, python, filepath.Join(interop, "python", "encode.py")), err
		}},
		{"hamba/avro", func(ctx context.Context, _ *Environment, interop string) (*exec.Cmd, error) {
			command := exec.CommandContext(ctx, "go", "run", ".")
			command.Dir = filepath.Join(interop, "hamba")
			return command, nil
		}},
	}
}

// sample is scripts/interop/report.json: what its peers encode.
type sample struct {
	Counters, Gauges, Distincts map[string]int64

	fields     map[string]any // all of it, to write it again
	licenceKey string
	// Dates that the file leaves at 0.
	day, startedAt, sentAt int64
}

// sent is the sample as one peer encoded it.
type sent struct {
	peer            string
	report, session uuid.UUID
}

// proveInterop posts the same report as three libraries encode it, and compares the
// rows that come of it with one another and with the report.
func proveInterop(ctx context.Context, env *Environment) (string, bool, error) {
	root, err := testbed.Root(ctx)
	if err != nil {
		return "", false, err
	}
	s, err := readSample(filepath.Join(root, "scripts", "interop", "report.json"))
	if err != nil {
		return "", false, err
	}
	p, err := startPipeline(ctx, env, pipelineOptions{Name: "interop"})
	if err != nil {
		return "", false, err
	}
	var all []sent
	for _, encoder := range peers() {
		one := sent{encoder.name, uuid.New(), uuid.New()}
		body, err := encoder.encode(ctx, env, root, s, one)
		if err != nil {
			return "", false, err
		}
		answer, err := p.post(ctx, client.Request{Body: body})
		if err != nil || answer.Status != 202 || answer.ReportID != one.report.String() {
			return "", false, fmt.Errorf("%s: status %d %s: %w", encoder.name, answer.Status, answer.Problem.Reason, err)
		}
		env.Say("%s: %d bytes, %d", encoder.name, len(body), answer.Status)
		all = append(all, one)
	}
	for _, one := range all {
		if err := p.awaitEnd(ctx, patience, s.licenceKey, one.report); err != nil {
			return "", false, fmt.Errorf("%s: %w", one.peer, err)
		}
	}
	return compareRows(ctx, env, p, s, all)
}

// readSample reads the report and dates it: today, at fixed times of that day.
func readSample(path string) (*sample, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the report: %w", err)
	}
	s := &sample{}
	decoder := json.NewDecoder(bytes.NewReader(content))
	decoder.UseNumber()
	if err := errors.Join(json.Unmarshal(content, s), decoder.Decode(&s.fields)); err != nil {
		return nil, fmt.Errorf("read the report: %w", err)
	}
	customer, _ := s.fields["customer"].(map[string]any)
	s.licenceKey, _ = customer["licence_key"].(string)
	s.day = time.Now().UnixMilli() / dayMillis
	s.startedAt, s.sentAt = s.day*dayMillis+1, s.day*dayMillis+123_456
	s.fields["day"], s.fields["session_started_at_ms"], s.fields["sent_at_ms"] = s.day, s.startedAt, s.sentAt
	return s, nil
}

// encode lets the peer encode the sample under ids of its own.
func (e peer) encode(ctx context.Context, env *Environment, root string, s *sample, ids sent) ([]byte, error) {
	fields := maps.Clone(s.fields)
	fields["report_id"], fields["installation_id"], fields["session_id"] = ids.report, uuid.New(), ids.session
	content, err := json.Marshal(fields)
	if err != nil {
		return nil, fmt.Errorf("write the report: %w", err)
	}
	path := env.Path("report.json")
	if err := os.WriteFile(path, content, 0o644); err != nil {
		return nil, fmt.Errorf("write the report: %w", err)
	}
	command, err := e.command(ctx, env, filepath.Join(root, "scripts", "interop"))
	if err != nil {
		return nil, err
	}
	command.Args = append(command.Args, filepath.Join(root, "schemas", "avro", "usage_report.v1.avsc"), path)
	var problems strings.Builder
	command.Stderr = &problems
	body, err := command.Output()
	if err != nil {
		return nil, fmt.Errorf("%s: %w: %s", e.name, err, problems.String())
	}
	return body, nil
}

// compareRows compares every column but the ids, and what depends on the moment of
// receipt, of the rows; and the values with those of the sample.
func compareRows(ctx context.Context, env *Environment, p *pipeline, s *sample, all []sent) (string, bool, error) {
	const columns = `* EXCEPT (installation_id, session_id, report_id, received_at, address_pseudonym, network_pseudonym)`
	const row = `SELECT toString(tuple(` + columns + `)) FROM session_days FINAL WHERE licence_id = {licence:UUID} AND session_id = {session:UUID}`
	const exact = `SELECT count() FROM session_days FINAL WHERE licence_id = {licence:UUID} AND session_id = {session:UUID}
		AND mapSort(mapUpdate(values, suspect)) = {values:Map(UInt16, UInt64)} AND empty(refused) AND empty(unknown_hashes)
		AND unknown_dropped = 0 AND optional_dropped = 0 AND kind_mismatches = 0 AND strings_cut = 0
		AND toUnixTimestamp64Milli(sent_at) = {sent:Int64} AND toUnixTimestamp64Milli(session_started_at) = {started:Int64}
		AND toInt64(toUInt16(day)) = {day:Int64} AND sequence = 3 AND policy_version = 2 AND kind = 'DAILY' AND consent = 'FULL'
		AND application = 'roboserver' AND app_version = '11.5.0.2' AND edition = 'enterprise'
		AND os_name = 'linux' AND os_version = '6.1' AND architecture = 'amd64' AND cpu_count = 8`
	values, err := s.byID()
	if err != nil {
		return "", false, err
	}
	licence := p.licenceID(s.licenceKey)
	total, err := p.count(ctx, "SELECT count() FROM session_days FINAL")
	if err != nil {
		return "", false, err
	}
	rows := map[string]int{}
	right := 0
	for _, one := range all {
		session := p.scoped(s.licenceKey, pseudonym.Session, one.session)
		named := []any{chgo.Named("licence", licence.String()), chgo.Named("session", session.String())}
		found, err := p.texts(ctx, row, named...)
		if err != nil {
			return "", false, err
		}
		for _, text := range found {
			rows[text]++
			env.Say("%s: %s", one.peer, text)
		}
		n, err := p.count(ctx, exact, append(named, chgo.Named("values", values), chgo.Named("sent", s.sentAt),
			chgo.Named("started", s.startedAt), chgo.Named("day", s.day))...)
		if err != nil {
			return "", false, err
		}
		right += int(n)
	}
	same := slices.Max(append(slices.Collect(maps.Values(rows)), 0))
	figure := fmt.Sprintf("%d reports encoded by %d libraries: %d rows, %d identical, %d with exactly the %d values sent",
		len(all), len(all), total, same, right, len(s.Counters)+len(s.Gauges)+len(s.Distincts))
	return figure, total == 3 && same == 3 && len(rows) == 1 && right == 3, nil
}

// byID returns the sample's metrics as ClickHouse writes a map of ids in order.
func (s *sample) byID() (string, error) {
	ids := map[uint16]int64{}
	for _, values := range []map[string]int64{s.Counters, s.Gauges, s.Distincts} {
		for name, value := range values {
			metric, ok := catalogue.Embedded().Metric(name)
			if !ok {
				return "", fmt.Errorf("the catalogue does not have %s", name)
			}
			ids[metric.ID] = value
		}
	}
	var pairs []string
	for _, id := range slices.Sorted(maps.Keys(ids)) {
		pairs = append(pairs, fmt.Sprintf("%d:%d", id, ids[id]))
	}
	return "{" + strings.Join(pairs, ",") + "}", nil
}
