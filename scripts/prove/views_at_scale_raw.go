package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"
	"time"

	chgo "github.com/ClickHouse/clickhouse-go/v2"
)

// scaleRawFile has answers of views beside the same from session-days.
const scaleRawFile = "scripts/prove/testdata/views_at_scale_raw.sql"

// scaleCounted are the session-days of a time that are in no quarantine, by the history
// itself rather than by the product's views of it.
const scaleCounted = `(SELECT * FROM session_days FINAL WHERE %s
	AND (licence_id, day) NOT IN (quarantine) AND (installation_id, day) NOT IN (quarantine) AND (session_id, day) NOT IN (quarantine))`

const scaleQuarantine = `SELECT subject_id, arrayJoin(arrayMap(n -> from_day + n, range(toUInt32(today() - from_day + 1)))) FROM
	(SELECT subject_id, argMax(first_day, number) AS from_day FROM quarantine_history GROUP BY subject_id HAVING argMax(action, number) = 'added')`

// rawAnswer is an answer of a view and the query that gives the same without it.
type rawAnswer struct{ name, view, raw string }

var rawHead = regexp.MustCompile(`(?s)^-- ([a-z-]+)\n(.+)\n-- raw\n(.+);?$`)

func readRawAnswers(path string) ([]rawAnswer, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the answers to compare: %w", err)
	}
	return parseRawAnswers(string(content))
}

// parseRawAnswers reads pairs that are parted by empty lines, after a part about the file.
func parseRawAnswers(text string) ([]rawAnswer, error) {
	var answers []rawAnswer
	for _, part := range strings.Split(strings.TrimSpace(text), "\n\n")[1:] {
		found := rawHead.FindStringSubmatch(part)
		if found == nil {
			return nil, fmt.Errorf("not an answer and its like: %.80q", part)
		}
		answers = append(answers, rawAnswer{found[1], found[2], expandRaw(strings.TrimSuffix(found[3], ";"))})
	}
	if len(answers) == 0 {
		return nil, errors.New("no answers to compare")
	}
	return answers, nil
}

func expandRaw(raw string) string {
	for name, condition := range map[string]string{
		"(counted)": "day = {day:Date}", "(counted week)": "toMonday(day) = toMonday({day:Date})", "(counted ever)": "1",
	} {
		raw = strings.ReplaceAll(raw, name, fmt.Sprintf(scaleCounted, condition))
	}
	return strings.ReplaceAll(raw, "(quarantine)", "("+scaleQuarantine+")")
}

// compareRaw asks views about some days and compares each row with what session-days say.
func (s *scale) compareRaw(ctx context.Context, path string) (differ, compared uint64, err error) {
	answers, err := readRawAnswers(path)
	if err != nil {
		return 0, 0, err
	}
	for _, day := range s.comparedDays() {
		for _, answer := range answers {
			rows, wrong, err := s.comparePair(ctx, answer, day)
			if err != nil {
				return 0, 0, err
			}
			if rows == 0 && answer.name != "unknown-metrics" {
				return 0, 0, fmt.Errorf("%s of %s has no rows to compare", answer.name, day.Format(time.DateOnly))
			}
			if wrong > 0 {
				s.env.Say("%s of %s: %d of %d rows differ", answer.name, day.Format(time.DateOnly), wrong, rows)
			}
			differ, compared = differ+wrong, compared+rows
		}
	}
	return differ, compared, nil
}

// comparedDays are the newest day, one in the middle and an old one whose week is held.
func (s *scale) comparedDays() []time.Time {
	days := int(s.summary.Last.Sub(s.summary.Kept) / (24 * time.Hour))
	return []time.Time{s.summary.Last, s.summary.Last.AddDate(0, 0, -days/2), s.summary.Kept.AddDate(0, 0, 7)}
}

// comparePair returns the different rows of both, and those that one has more often.
func (s *scale) comparePair(ctx context.Context, a rawAnswer, day time.Time) (rows, wrong uint64, err error) {
	query := "SELECT count(), countIf(balance != 0) FROM (SELECT line, sum(side) AS balance FROM (" +
		"SELECT toString(tuple(*)) AS line, 1 AS side FROM (" + a.view + ") UNION ALL SELECT toString(tuple(*)), -1 FROM (" + a.raw + ")) GROUP BY line)"
	if err := s.admin.QueryRow(ctx, query, chgo.Named("day", day.Format(time.DateOnly))).Scan(&rows, &wrong); err != nil {
		return 0, 0, fmt.Errorf("compare %s of %s: %w", a.name, day.Format(time.DateOnly), err)
	}
	return rows, wrong, nil
}
