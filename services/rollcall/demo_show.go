package main

import (
	"context"
	"fmt"
	"io"
	"reflect"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/twmb/franz-go/pkg/kadm"

	"rollcall/pkg/kafka"
	"rollcall/pkg/telemetry"
	"rollcall/pkg/topics"
)

func discard() telemetry.Telemetry { return telemetry.Discard() }

// question is one that an analyst asks, with the columns of its answer.
type question struct {
	title   string
	columns []any
	query   string
}

func questions() []question {
	return []question{{
		"Feature usage: the most used", []any{"FEATURE", "LIFECYCLE", "LICENCES", "OF ALL", "USES"},
		`WITH (SELECT uniqExact(licence_id) FROM v1_licence_day) AS all_licences
		SELECT metric, any(features.lifecycle), toString(uniqExact(licence_id) AS licences), concat(toString(round(100 * licences / all_licences)), ' %'),
			formatReadableQuantity(sum(value))
		FROM v1_licence_day INNER JOIN (SELECT DISTINCT metric, lifecycle FROM v1_feature_usage WHERE startsWith(metric, 'feature_')) AS features USING (metric)
		WHERE value > 0 GROUP BY metric ORDER BY sum(value) DESC LIMIT 12`,
	}, {
		"Legacy features: are they dying out?", []any{"FEATURE", "REPLACED BY", "LICENCES", "USES, FIRST HALF", "USES, SECOND HALF"},
		`WITH (SELECT min(day) + intDiv(dateDiff('day', min(day), max(day)), 2) FROM v1_licence_day) AS middle
		SELECT metric, any(legacy.replaced_by), toString(uniqExact(licence_id)),
			formatReadableQuantity(sumIf(value, day <= middle)), formatReadableQuantity(sumIf(value, day > middle))
		FROM v1_licence_day INNER JOIN (SELECT DISTINCT metric, replaced_by FROM v1_feature_usage WHERE lifecycle = 'legacy') AS legacy USING (metric)
		WHERE value > 0 GROUP BY metric ORDER BY sum(value) DESC`,
	}, {
		"Legacy features: who uses them most", []any{"FEATURE", "LICENCE", "LAST DAY", "USES"},
		`SELECT metric, toString(licence_id), toString(max(day)), formatReadableQuantity(sum(value) AS uses)
		FROM v1_licence_day WHERE value > 0 AND metric IN (SELECT DISTINCT metric FROM v1_feature_usage WHERE lifecycle = 'legacy')
		GROUP BY metric, licence_id ORDER BY metric, uses DESC LIMIT 3 BY metric`,
	}, {
		"Licences: the largest", []any{"LICENCE", "DAYS", "CPUS ON THE BUSIEST DAY", "STEPS EXECUTED", "OF THEM IMPLAUSIBLE"},
		`SELECT toString(licence_id), toString(uniqExact(day)), toString(maxIf(value, metric = 'cpus')),
			formatReadableQuantity(sumIf(value, metric = 'steps_executed')), formatReadableQuantity(sumIf(suspect, metric = 'steps_executed'))
		FROM v1_licence_day WHERE metric IN ('cpus', 'steps_executed') GROUP BY licence_id ORDER BY sumIf(value, metric = 'steps_executed') DESC, licence_id LIMIT 10`,
	}}
}

// showFleet asks the analysts' views and prints the answers.
func showFleet(ctx context.Context, conn driver.Conn, to io.Writer) error {
	for _, q := range questions() {
		rows, err := answers(ctx, conn, q)
		if err != nil {
			return err
		}
		if _, err := fmt.Fprintf(to, "\n%s\n\n", q.title); err != nil {
			return fmt.Errorf("write answer: %w", err)
		}
		err = output{}.show(to, nil, func(w *columns) {
			w.row(q.columns...)
			for _, cells := range rows {
				w.row(cells...)
			}
		})
		if err != nil {
			return err
		}
	}
	_, err := fmt.Fprintln(to)
	return err
}

// answers reads a query whose columns are all strings.
func answers(ctx context.Context, conn driver.Conn, q question) ([][]any, error) {
	rows, err := conn.Query(ctx, q.query)
	if err != nil {
		return nil, fmt.Errorf("ask %q: %w", q.title, err)
	}
	defer func() { _ = rows.Close() }()
	var all [][]any
	for rows.Next() {
		cells := make([]any, len(q.columns))
		for i := range cells {
			cells[i] = new(string)
		}
		if err := rows.Scan(cells...); err != nil {
			return nil, fmt.Errorf("read the answer to %q: %w", q.title, err)
		}
		for i := range cells {
			cells[i] = reflect.ValueOf(cells[i]).Elem().Interface()
		}
		all = append(all, cells)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read the answer to %q: %w", q.title, err)
	}
	return all, nil
}

// receipts counts the offsets of reports.raw that have a receipt, and all of them.
func receipts(ctx context.Context, brokers kafka.Config, conn driver.Conn) (ended, offsets uint64, err error) {
	client, err := kafka.NewClient(brokers, discard())
	if err != nil {
		return 0, 0, err
	}
	defer client.Close()
	id, err := kafka.TopicID(ctx, client, topics.Raw)
	if err != nil {
		return 0, 0, err
	}
	ends, err := kadm.NewClient(client).ListEndOffsets(ctx, topics.Raw)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		return 0, 0, fmt.Errorf("list offsets of %s: %w", topics.Raw, err)
	}
	ends.Each(func(o kadm.ListedOffset) { offsets += uint64(max(0, o.Offset)) })
	if err := conn.QueryRow(ctx, "SELECT uniqExact(partition, offset) FROM receipts WHERE topic_id = ?", id).Scan(&ended); err != nil {
		return 0, 0, fmt.Errorf("count receipts: %w", err)
	}
	return ended, offsets, nil
}
