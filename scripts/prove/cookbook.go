package main

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"time"

	chgo "github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/google/uuid"

	"rollcall/pkg/access"
	"rollcall/pkg/fleet"
	"rollcall/pkg/geoip"
	catalogue "rollcall/schemas/metrics"
	"rollcall/scripts/parts/partstore"
	"rollcall/scripts/testbed"
)

// cookbookQuestions is how many the page must have at least.
const cookbookQuestions = 15

// cookbookFleet is the fleet of the page: two whole weeks, the last that are over. Its
// seed decides every answer. Copies of one report may come from two countries, and
// either may be the one that stays: so there are none; other proofs look at copies.
func cookbookFleet(now time.Time) fleet.Options {
	today := now.UTC().Truncate(24 * time.Hour)
	week := today.AddDate(0, 0, -(int(today.Weekday())+6)%7)
	return fleet.Options{
		Seed: 5, Licences: 60, Installations: 240, Days: 14, End: week.Add(-time.Millisecond), ReportsPerDay: 2,
		Loss: 0.03, Late: 0.05, LateDays: 3, Shuffle: 2 * time.Hour, JSON: 0.05,
	}
}

// proveCookbook plays a fleet through the real pipeline, asks each question of the page
// as the analyst, and compares each answer with the truth and with the page; then it
// compares whole views with the truth, in every dimension.
func proveCookbook(ctx context.Context, env *Environment) (string, bool, error) {
	root, err := testbed.Root(ctx)
	if err != nil {
		return "", false, err
	}
	questions, err := readQuestions(filepath.Join(root, cookbookPage))
	if err != nil {
		return "", false, err
	}
	c, err := startCookbook(ctx, env)
	if err != nil {
		return "", false, err
	}
	holds, asked, rows := c.missing(questions) == 0, 0, 0
	for _, q := range questions {
		ok, n, err := c.ask(ctx, q)
		if err != nil {
			return "", false, err
		}
		asked, rows, holds = asked+1, rows+n, holds && ok
	}
	cells, differ, err := c.compareViews(ctx)
	if err != nil {
		return "", false, err
	}
	holds = holds && differ == 0 && cells > 0 && asked >= cookbookQuestions
	return fmt.Sprintf("%d questions, %d rows of answers, %d wrong and %d other than on the page; %d rows of whole views in every dimension, %d differ",
		asked, rows, c.wrong, c.stale, cells, differ), holds, nil
}

// cookbook is a fleet that was played, and who asks about it.
type cookbook struct {
	*pipeline
	known        *knowledge
	analyst      driver.Conn
	table        table
	wrong, stale int
}

func startCookbook(ctx context.Context, env *Environment) (*cookbook, error) {
	plan, err := fleet.New(cookbookFleet(time.Now()), fleet.MetricsOf(catalogue.Embedded()))
	if err != nil {
		return nil, err
	}
	part, err := env.Part(ctx, partstore.GeoIP)
	if err != nil {
		return nil, err
	}
	places, err := geoip.Open(filepath.Join(part, "country.mmdb"))
	if err != nil {
		return nil, err
	}
	known, err := learn(plan, places)
	if err != nil {
		return nil, err
	}
	var random [24]byte
	_, _ = rand.Read(random[:]) // never fails
	password := base64.RawURLEncoding.EncodeToString(random[:])
	p, err := startPipeline(ctx, env, pipelineOptions{
		Name: "cookbook", Simulated: true, Cluster: testbed.ClusterOptions{ServiceSettings: eagerRollup()},
		ClickHouse: testbed.ClickHouseOptions{Users: []access.User{{Name: "analyst", Role: access.RoleAnalyst, Password: password}}},
	})
	if err != nil {
		return nil, err
	}
	env.Say("playing %d licences over %d days", len(known.licences), known.to-known.from+1)
	if _, err := p.play(ctx, plan, nil); err != nil {
		return nil, err
	}
	if err := p.answered(ctx, exactSettleLimit); err != nil {
		return nil, err
	}
	c := &cookbook{pipeline: p, known: known, table: table{first: known.from, licences: map[uuid.UUID]int{}}}
	for i, l := range known.licences {
		c.table.licences[p.licenceID(l.Key)] = i
	}
	c.analyst, err = p.openAnalyst(ctx, password)
	return c, err
}

// openAnalyst connects as somebody who has the rights of an analyst and no other.
func (p *pipeline) openAnalyst(ctx context.Context, password string) (driver.Conn, error) {
	path := filepath.Join(p.dir, "analyst.password")
	if err := os.WriteFile(path, []byte(password), 0o600); err != nil {
		return nil, fmt.Errorf("write a password: %w", err)
	}
	return p.env.OpenAs(ctx, p.clickhouse, "analyst", path)
}

// missing tells which questions have no truth, and which truths no question.
func (c *cookbook) missing(questions []question) int {
	left, n := answers(), 0
	for _, q := range questions {
		if left[q.name] == nil {
			c.env.Say("NOT AS IT SHOULD BE: nobody knows the truth of %s", q.name)
			n++
		}
		delete(left, q.name)
	}
	for _, name := range slices.Sorted(maps.Keys(left)) {
		c.env.Say("NOT AS IT SHOULD BE: the page does not ask for %s", name)
		n++
	}
	return n
}

// ask asks one question, and returns whether the answer is the truth and the page's.
func (c *cookbook) ask(ctx context.Context, q question) (bool, int, error) {
	truth, known := answers()[q.name]
	if !known {
		return false, 0, nil
	}
	var want []string
	for _, row := range truth(c.known) {
		want = append(want, c.table.row(row))
	}
	got, err := c.rows(ctx, q.sql)
	if err != nil {
		return false, 0, fmt.Errorf("question %s: %w", q.name, err)
	}
	ok := slices.Equal(want, got) && len(got) > 0
	if !ok {
		c.wrong++
		c.env.Say("NOT AS IT SHOULD BE: %s\ntruth:\n%s\nanswer:\n%s", q.name, strings.Join(want, "\n"), strings.Join(got, "\n"))
	}
	asShown := make([]string, len(got))
	for i, row := range got {
		asShown[i] = strings.TrimSpace(row)
	}
	if !slices.Equal(asShown, q.answer) {
		c.stale++
		c.env.Say("NOT AS ON THE PAGE: %s\n| %s |", q.name, strings.Join(got, " |\n| "))
		ok = false
	}
	return ok, len(got), nil
}

// rows asks as the analyst and renders the answer.
func (c *cookbook) rows(ctx context.Context, query string) (out []string, err error) {
	var arguments []any
	for name, day := range map[string]int32{"from": c.known.from, "to": c.known.to} {
		if strings.Contains(query, "{"+name+":Date}") {
			arguments = append(arguments, chgo.Named(name, time.UnixMilli(int64(day)*dayMillis).UTC().Format(time.DateOnly)))
		}
	}
	rows, err := c.analyst.Query(ctx, query, arguments...)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var places []any
		for _, column := range rows.ColumnTypes() {
			places = append(places, reflect.New(column.ScanType()).Interface())
		}
		if err := rows.Scan(places...); err != nil {
			return nil, err
		}
		values := make([]any, len(places))
		for i, place := range places {
			values[i] = reflect.ValueOf(place).Elem().Interface()
		}
		out = append(out, c.table.row(values))
	}
	return out, rows.Err()
}

// compareViews compares all rows of the views that have dimensions.
func (c *cookbook) compareViews(ctx context.Context) (compared, differ int, err error) {
	compare := func(name, query string, truth [][]any) error {
		var want []string
		for _, row := range truth {
			want = append(want, c.table.row(row))
		}
		got, err := c.rows(ctx, query)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		slices.Sort(want)
		slices.Sort(got)
		compared += max(len(want), len(got))
		if wrong := symmetricDifference(want, got); len(wrong) > 0 {
			differ += len(wrong)
			c.env.Say("NOT AS IT SHOULD BE: %s: %d rows, as\n%s", name, len(wrong), strings.Join(wrong[:min(5, len(wrong))], "\n"))
		}
		return nil
	}
	for _, dimension := range dimensions() {
		where := " WHERE dimension = '" + dimension + "'"
		err := errors.Join(
			compare("v1_uptake by "+dimension, "SELECT day, application, segment, installations, share, licences, full_consent FROM v1_uptake"+where, c.known.uptakeRows(dimension)),
			compare("v1_feature_day by "+dimension, "SELECT day, metric, application, segment, installations, covered, used, adoption, licences, licences_covered, licences_used, reach, total, intensity FROM v1_feature_day"+where,
				c.known.featureRows(dimension, false)),
			compare("v1_feature_trend by "+dimension, "SELECT week, metric, application, segment, installations, covered, used, adoption, licences_covered, licences_used, reach, total, intensity FROM v1_feature_trend"+where,
				c.known.featureRows(dimension, true)),
		)
		if err != nil {
			return compared, differ, err
		}
	}
	return compared, differ, nil
}

// symmetricDifference returns what only one of two sorted lists has, with the sign of
// the list: - for the truth's, + for the answer's.
func symmetricDifference(want, got []string) []string {
	var out []string
	for len(want) > 0 || len(got) > 0 {
		switch {
		case len(got) == 0 || len(want) > 0 && want[0] < got[0]:
			out, want = append(out, "-"+want[0]), want[1:]
		case len(want) == 0 || got[0] < want[0]:
			out, got = append(out, "+"+got[0]), got[1:]
		default:
			want, got = want[1:], got[1:]
		}
	}
	return out
}
