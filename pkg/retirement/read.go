package retirement

import (
	"context"
	"fmt"
	"math/big"
	"time"

	chgo "github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/google/uuid"
)

// Querier is the part of a ClickHouse connection that reading needs.
type Querier interface {
	Query(ctx context.Context, query string, args ...any) (driver.Rows, error)
}

// licencesQuery: the newest terms that have begun say whether a licence is valid. The
// tuple keeps argMax from skipping terms without an end.
const licencesQuery = `SELECT licence_id, min(valid_from), ifNull(argMax(tuple(valid_until), valid_from).1, toDate('2149-06-06')) >= toDate(@last)
	FROM v1_licences WHERE valid_from <= toDate(@last) GROUP BY licence_id`

// evidenceQuery: a metric of any application has a row for each of them, so days are
// put together first.
const evidenceQuery = `SELECT metric_id, licence_id,
	max(on_day), countIf(is_whole), countIf(able_n > 0), maxIf(on_day, covered_n < able_n), countIf(used_n > 0), countIf(odd_n > 0),
	minIf(on_day, used_n > 0), maxIf(on_day, used_n > 0), toString(sum(amount)), toString(max(amount)), max(able_n), max(covered_n), max(used_n),
	CAST(maxMap(able_in), 'Map(String, UInt64)'), CAST(maxMap(used_in), 'Map(String, UInt64)'),
	[countIf(is_whole AND third = 1), countIf(is_whole AND third = 2), countIf(is_whole AND third = 3)],
	[countIf(used_n > 0 AND third = 1), countIf(used_n > 0 AND third = 2), countIf(used_n > 0 AND third = 3)]
FROM
(
	SELECT metric_id, licence_id, day AS on_day, sum(able) AS able_n, sum(covered) AS covered_n, sum(used) AS used_n, sum(implausible) AS odd_n, sum(value) AS amount,
		sumMap(able_releases) AS able_in, sumMap(used_releases) AS used_in,
		covered_n = able_n AND odd_n = 0 AS is_whole,
		multiIf(on_day < toDate(@second), 1, on_day < toDate(@third), 2, 3) AS third
	FROM v1_retirement
	WHERE day >= toDate(@first) AND day <= toDate(@last)
	GROUP BY metric_id, licence_id, day
)
GROUP BY metric_id, licence_id`

// Read asks ClickHouse for the facts of a window. It needs v1_retirement and
// v1_licences, no more.
func Read(ctx context.Context, conn Querier, w Window) (*Facts, error) {
	facts := &Facts{Reported: map[uuid.UUID]bool{}, Evidence: map[uint16]map[uuid.UUID]*Evidence{}}
	if err := facts.readLicences(ctx, conn, w); err != nil {
		return nil, err
	}
	from := w.thirdsFrom()
	rows, err := conn.Query(ctx, evidenceQuery, chgo.Named("first", w.First.Format(time.DateOnly)), chgo.Named("last", w.Last.Format(time.DateOnly)),
		chgo.Named("second", from[1].Format(time.DateOnly)), chgo.Named("third", from[2].Format(time.DateOnly)))
	if err != nil {
		return nil, fmt.Errorf("read v1_retirement: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		metric, licence, evidence, err := scanEvidence(rows)
		if err != nil {
			return nil, fmt.Errorf("read v1_retirement: %w", err)
		}
		if facts.Evidence[metric] == nil {
			facts.Evidence[metric] = map[uuid.UUID]*Evidence{}
		}
		facts.Evidence[metric][licence] = evidence
		facts.Reported[licence] = true
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read v1_retirement: %w", err)
	}
	return facts, nil
}

func (f *Facts) readLicences(ctx context.Context, conn Querier, w Window) error {
	rows, err := conn.Query(ctx, licencesQuery, chgo.Named("last", w.Last.Format(time.DateOnly)))
	if err != nil {
		return fmt.Errorf("read v1_licences: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var (
			licence Licence
			valid   uint8
		)
		if err := rows.Scan(&licence.ID, &licence.Since, &valid); err != nil {
			return fmt.Errorf("read v1_licences: %w", err)
		}
		licence.Valid = valid == 1
		f.Licences = append(f.Licences, licence)
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("read v1_licences: %w", err)
	}
	return nil
}

func scanEvidence(rows driver.Rows) (metric uint16, licence uuid.UUID, e *Evidence, err error) {
	var (
		sum, highest string
		whole, uses  []uint64
	)
	e = &Evidence{}
	if err := rows.Scan(&metric, &licence, &e.LastSeen, &e.WholeDays, &e.AbleDays, &e.LastBlind, &e.UsedDays, &e.ImplausibleDays,
		&e.FirstUsed, &e.LastUsed, &sum, &highest, &e.Able, &e.Covered, &e.Used, &e.AbleReleases, &e.UsedReleases, &whole, &uses); err != nil {
		return 0, uuid.Nil, nil, err
	}
	copy(e.WholeThirds[:], whole)
	copy(e.UsedThirds[:], uses)
	for _, day := range []*time.Time{&e.LastBlind, &e.FirstUsed, &e.LastUsed} {
		if day.Unix() <= 0 { // no such day
			*day = time.Time{}
		}
	}
	var ok [2]bool
	e.Sum, ok[0] = new(big.Int).SetString(sum, 10)
	e.Highest, ok[1] = new(big.Int).SetString(highest, 10)
	if !ok[0] || !ok[1] {
		return 0, uuid.Nil, nil, fmt.Errorf("a sum of licence %s is no number", licence)
	}
	return metric, licence, e, nil
}
