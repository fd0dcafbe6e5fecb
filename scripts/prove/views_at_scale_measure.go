package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	chgo "github.com/ClickHouse/clickhouse-go/v2"
	"github.com/google/uuid"
)

// runs is how often a question is asked: once as it comes, and five times more.
func (s *scale) runs() int { return Choose(s.env, 1, 6) }

// measurement is what a question took, by the server's own log.
type measurement struct {
	question      scaleQuestion
	licence       uuid.UUID // zero: about none
	rows          int       // of the answer
	first, median time.Duration
	readRows      uint64 // most of a run
	readBytes     uint64
	memory        uint64 // highest peak, bytes
}

// share is the median against what is wanted: 1 and more is too slow.
func (m measurement) share() float64 {
	limit := scaleWholeLimit
	if m.question.ofLicence {
		limit = scaleLicenceLimit
	}
	return float64(m.median) / float64(limit)
}

func (m measurement) String() string {
	of := "whole"
	if m.question.ofLicence {
		of = "licence"
	}
	return fmt.Sprintf("%-26s %-34s %-7s first %6.0f ms, median %6.0f ms, %10d rows read, %8.1f MB, memory %7.1f MB, answer %6d rows",
		m.question.view, m.question.name, of, milliseconds(m.first), milliseconds(m.median), m.readRows, float64(m.readBytes)/1e6, float64(m.memory)/1e6, m.rows)
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// measure asks the question as the one who may, of each licence where it is about one.
func (s *scale) measure(ctx context.Context, q scaleQuestion) ([]measurement, error) {
	licences := []uuid.UUID{{}}
	if q.ofLicence {
		licences = s.licences
		if q.asker == "partner" {
			licences = s.ofPartner
		}
	}
	var all []measurement
	for _, licence := range licences {
		m := measurement{question: q, licence: licence}
		tag := q.name + "/" + licence.String()
		for run := range s.runs() {
			rows, err := s.ask(ctx, q, licence, fmt.Sprintf("%s/%d", tag, run))
			if err != nil {
				return nil, fmt.Errorf("ask %s: %w", q.name, err)
			}
			m.rows = rows
		}
		if err := s.look(ctx, tag, &m); err != nil {
			return nil, err
		}
		all = append(all, m)
	}
	return all, nil
}

// ask asks once and reads the answer. What ClickHouse remembers of conditions that it has
// evaluated is forgotten before: a question is not asked six times in life.
func (s *scale) ask(ctx context.Context, q scaleQuestion, licence uuid.UUID, comment string) (int, error) {
	for _, cache := range []string{"QUERY CONDITION CACHE", "QUERY CACHE"} {
		if err := s.admin.Exec(ctx, "SYSTEM DROP "+cache); err != nil {
			return 0, fmt.Errorf("forget: %w", err)
		}
	}
	rows, err := s.readers[q.asker].Query(chgo.Context(ctx, chgo.WithSettings(chgo.Settings{"log_comment": comment})), q.sql, s.parameters(q, licence)...)
	if err != nil {
		return 0, err
	}
	defer rows.Close()
	n := 0
	for rows.Next() {
		n++
	}
	return n, rows.Err()
}

func (s *scale) parameters(q scaleQuestion, licence uuid.UUID) []any {
	var parameters []any
	for name, value := range map[string]string{
		"from": s.summary.First.Format(time.DateOnly), "to": s.summary.Last.Format(time.DateOnly),
		"since": s.summary.Kept.Format(time.DateOnly), "licence": licence.String(),
	} {
		if strings.Contains(q.sql, "{"+name+":") {
			parameters = append(parameters, chgo.Named(name, value))
		}
	}
	return parameters
}

// look reads what the runs took from the log.
func (s *scale) look(ctx context.Context, tag string, m *measurement) error {
	if err := s.admin.Exec(ctx, "SYSTEM FLUSH LOGS query_log"); err != nil {
		return fmt.Errorf("flush the log of queries: %w", err)
	}
	var runs []struct {
		Comment      string `ch:"log_comment"`
		Microseconds int64  `ch:"took"`
		Rows         uint64 `ch:"read_rows"`
		Bytes        uint64 `ch:"read_bytes"`
		Memory       int64  `ch:"memory"`
	}
	const query = `SELECT log_comment, dateDiff('microsecond', query_start_time_microseconds, event_time_microseconds) AS took, read_rows, read_bytes, toInt64(memory_usage) AS memory
		FROM system.query_log WHERE type = 'QueryFinish' AND is_initial_query AND startsWith(log_comment, {tag:String}) AND event_date >= today() - 1
		AND event_time >= toDateTime({since:Int64}) ORDER BY log_comment`
	if err := s.admin.Select(ctx, &runs, query, chgo.Named("tag", tag+"/"), chgo.Named("since", s.began.Unix())); err != nil {
		return fmt.Errorf("read the log of queries: %w", err)
	}
	if len(runs) != s.runs() {
		return fmt.Errorf("the log of queries has %d runs of %s, not %d", len(runs), tag, s.runs())
	}
	var later []int64
	for n, run := range runs {
		if n > 0 {
			later = append(later, run.Microseconds)
		}
		m.readRows, m.readBytes, m.memory = max(m.readRows, run.Rows), max(m.readBytes, run.Bytes), max(m.memory, uint64(max(0, run.Memory)))
	}
	m.first = time.Duration(runs[0].Microseconds) * time.Microsecond
	m.median = time.Duration(median(later)) * time.Microsecond
	return nil
}
