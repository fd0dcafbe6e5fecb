package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	chgo "github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// mayBeEmpty are the views of which this proof's fleet gives no row; of each other one a
// comparison without rows would say nothing.
func mayBeEmpty() []string {
	return []string{"v1_cloned_installations"}
}

// viewRows are the rows of each v1_ view, as text, sorted.
type viewRows map[string][]string

// apart are columns that say when something was written, not what, and those that are
// estimates of a digest, which depend on the order in which parts of it come together.
func apart() []string {
	return []string{
		"v1_data_quality.delay_median_s", "v1_data_quality.delay_p99_s", "v1_licence_day.computed_at", "v1_licence_usage.computed_at", "v1_licence_day_live.computed_at", "v1_partner_licence_day.computed_at",
		"v1_quarantine.at", "v1_metrics.updated_at",
		"v1_clock_skew.ahead_median_s", "v1_clock_skew.ahead_p01_s", "v1_clock_skew.ahead_p99_s",
	}
}

// rowsOfViews reads every view whole.
func (s *shardsProof) rowsOfViews(ctx context.Context, conn driver.Conn) (viewRows, error) {
	var columns []struct {
		View string `ch:"table"`
		Name string `ch:"name"`
	}
	const query = "SELECT table, name FROM system.columns WHERE database = currentDatabase() AND startsWith(table, 'v1_') ORDER BY table, position"
	if err := conn.Select(ctx, &columns, query); err != nil {
		return nil, fmt.Errorf("list the views: %w", err)
	}
	of := map[string][]string{}
	for _, c := range columns {
		if !slices.Contains(apart(), c.View+"."+c.Name) {
			of[c.View] = append(of[c.View], "`"+c.Name+"`")
		}
	}
	rows := viewRows{}
	for _, view := range slices.Sorted(maps.Keys(of)) {
		var texts []string
		query := "SELECT groupArray(text) FROM (SELECT toString(tuple(" + strings.Join(of[view], ", ") + ")) AS text FROM " + view + " ORDER BY text)"
		if err := conn.QueryRow(ctx, query).Scan(&texts); err != nil {
			return nil, fmt.Errorf("read %s: %w", view, err)
		}
		slices.Sort(texts)
		rows[view] = texts
	}
	return rows, nil
}

func (v viewRows) total() (n int) {
	for _, rows := range v {
		n += len(rows)
	}
	return n
}

// differences counts the rows that only one of both has, over all views, and the views
// that have rows; it tells the first ones.
func (v viewRows) differences(env *Environment, name string, other viewRows) (different, filled int) {
	for _, view := range slices.Sorted(maps.Keys(v)) {
		if len(other[view]) > 0 {
			filled++
		} else if !slices.Contains(mayBeEmpty(), view) {
			different++
			env.Say("%s has no row in %s: nothing was compared", name, view)
		}
		counts := map[string]int{}
		for _, row := range v[view] {
			counts[row]++
		}
		for _, row := range other[view] {
			counts[row]--
		}
		told := 0
		for _, row := range slices.Sorted(maps.Keys(counts)) {
			n := counts[row]
			if n == 0 {
				continue
			}
			different += max(n, -n)
			if told++; told <= 4 {
				env.Say("%s, %s: %+d in one server's: %.400s", name, view, n, row)
			}
		}
	}
	for view := range other {
		if _, ok := v[view]; !ok {
			different++
			env.Say("%s has %s, which one server has not", name, view)
		}
	}
	return different, filled
}

// allShards are the connections to every server's own tables.
func (s *shardsProof) allShards() []driver.Conn {
	all := []driver.Conn{s.conn}
	for _, c := range s.copies {
		all = append(all, c.shards...)
	}
	return all
}

// quarantine takes a session of some licences out of the counts everywhere, by the command.
func (s *shardsProof) quarantine(ctx context.Context) error {
	var chosen []struct {
		Licence string `ch:"licence"`
		Session string `ch:"session"`
	}
	const query = `SELECT toString(licence_id) AS licence, toString(min(session_id)) AS session FROM session_days GROUP BY licence_id ORDER BY licence_id LIMIT 3`
	if err := s.conn.Select(ctx, &chosen, query); err != nil {
		return fmt.Errorf("choose sessions: %w", err)
	}
	for _, of := range chosen {
		arguments := []string{"quarantine", "add", "--licence", of.Licence, "--session", of.Session, "--reason", "proof", "--by", "proof"}
		if _, err := s.cluster.Command(ctx, arguments...); err != nil {
			return err
		}
		for _, c := range s.copies {
			if _, err := s.cluster.Command(ctx, append(slices.Clone(arguments), c.flags()...)...); err != nil {
				return err
			}
		}
	}
	return nil
}

// named is a parameter of a query.
func named(name string, value any) any { return chgo.Named(name, fmt.Sprint(value)) }
