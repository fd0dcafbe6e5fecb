package compliance

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	chgo "github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/google/uuid"
)

// Querier is the part of a ClickHouse connection that an examination needs: the rights
// of an analyst are enough.
type Querier interface {
	Query(ctx context.Context, query string, args ...any) (driver.Rows, error)
	QueryRow(ctx context.Context, query string, args ...any) driver.Row
}

// examination is under way.
type examination struct {
	conn   Querier
	o      Options
	report *Report
	marked map[uuid.UUID]bool // licences with a finding or a sign
}

// Examine compares use with entitlements over a window and looks for signs of abuse.
func Examine(ctx context.Context, conn Querier, o Options) (*Report, error) {
	if err := o.Validate(); err != nil {
		return nil, fmt.Errorf("examine compliance: %w", err)
	}
	e := &examination{conn: conn, o: o, marked: map[uuid.UUID]bool{}, report: &Report{
		From: o.From.Format(dateForm), To: o.To.Format(dateForm), Grace: o.Grace, Findings: []Finding{}, Signs: []Sign{},
	}}
	for _, step := range []func(context.Context) error{e.entitlements, e.places, e.clones, e.count} {
		if err := step(ctx); err != nil {
			return nil, fmt.Errorf("examine compliance: %w", err)
		}
	}
	e.report.sorted()
	return e.report, nil
}

// window are the parameters that every query has.
func (e *examination) window(more ...any) []any {
	return append([]any{
		chgo.Named("from", e.report.From), chgo.Named("to", e.report.To), chgo.Named("licence", e.o.Licence.String()),
	}, more...)
}

// each calls row for every row of the query.
func (e *examination) each(ctx context.Context, what, query string, args []any, row func(driver.Rows) error) (err error) {
	rows, err := e.conn.Query(ctx, query, args...)
	if err != nil {
		return fmt.Errorf("query %s: %w", what, err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		if err := row(rows); err != nil {
			return fmt.Errorf("read %s: %w", what, err)
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("read %s: %w", what, err)
	}
	return nil
}

// ofLicence restricts a view to the window and, where one is named, a licence. It is
// told in the query's own text, so that ClickHouse reads that licence alone.
func (e *examination) ofLicence(day string) string {
	condition := day + " BETWEEN {from:Date} AND {to:Date}"
	if e.o.Licence != uuid.Nil {
		condition += " AND licence_id = {licence:UUID}"
	}
	return condition
}

// entitlements judges the days of each licence and entitlement of which one is not in order.
func (e *examination) entitlements(ctx context.Context) error {
	query := `SELECT licence_id, toString(entitlement), days.1, days.2, days.3, days.4, days.5, days.6, days.7, days.8, days.9
		FROM
		(
			SELECT licence_id, entitlement,
				arraySort(groupArray((toString(day), entitled, used_certain, used_possible, toString(state), valid_until, days_past, open, clock_doubtful))) AS days
			FROM v1_compliance WHERE ` + e.ofLicence("day") + `
			GROUP BY licence_id, entitlement
			HAVING countIf(state NOT IN ('within', 'unlimited')) > 0
		)`
	err := e.each(ctx, "v1_compliance", query, e.window(), func(rows driver.Rows) error {
		var (
			licence           uuid.UUID
			entitlement       string
			day, state        []string
			entitled          []*int64
			certain, possible []uint64
			validUntil        []*time.Time
			past              []uint32
			open, doubtful    []bool
		)
		if err := rows.Scan(&licence, &entitlement, &day, &entitled, &certain, &possible, &state, &validUntil, &past, &open, &doubtful); err != nil {
			return err
		}
		days := make([]Day, len(day))
		for i := range day {
			days[i] = Day{
				Day: day[i], Entitled: entitled[i], Certain: certain[i], Possible: possible[i], State: state[i], DaysPast: past[i], StillOpen: open[i], ClockDoubtful: doubtful[i],
			}
			if validUntil[i] != nil {
				until := validUntil[i].Format(dateForm)
				days[i].ValidTo = &until
			}
		}
		e.take(licence, entitlement, days)
		return nil
	})
	if err != nil {
		return err
	}
	return e.sessions(ctx)
}

func (e *examination) take(licence uuid.UUID, entitlement string, days []Day) {
	if entitlement == validityOnly {
		for _, s := range validity(licence, days, e.o) {
			e.sign(s)
		}
		if f, ok := graceOfValidity(licence, days, e.o); ok {
			e.finding(f)
		}
		return
	}
	if f, ok := judge(licence, entitlement, days, e.o); ok {
		e.finding(f)
	}
}

func (e *examination) finding(f Finding) {
	e.report.Findings = append(e.report.Findings, f)
	e.marked[f.LicenceID] = true
}

func (e *examination) sign(s Sign) {
	e.report.Signs = append(e.report.Signs, s)
	e.marked[s.LicenceID] = true
}

// worstDay is a licence's day whose sessions stand behind a finding.
type worstDay struct {
	licence uuid.UUID
	day     string
}

// sessionsAtOnce bounds how many licences one query for sessions names: some 70 bytes
// of its text each.
const sessionsAtOnce = 500

// sessions adds to findings of peaks the sessions that ran on the worst day. Licences
// are asked for together, each of their days once: CPUs and RoboServers share theirs.
func (e *examination) sessions(ctx context.Context) error {
	if e.o.Rows == 0 {
		return nil
	}
	findings := map[worstDay][]*Finding{}
	var asked []worstDay
	for i := range e.report.Findings {
		f := &e.report.Findings[i]
		if f.Entitlement != "cpus" && f.Entitlement != "roboservers" {
			continue
		}
		of := worstDay{f.LicenceID, f.Worst}
		if findings[of] == nil {
			asked = append(asked, of)
		}
		findings[of] = append(findings[of], f)
	}
	for some := range slices.Chunk(asked, sessionsAtOnce) {
		err := e.sessionsOf(ctx, some, func(of worstDay, s Session) {
			for _, f := range findings[of] {
				f.Sessions = append(f.Sessions, s)
			}
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// sessionsOf calls found for each session that ran, or may have run, on one of the days.
func (e *examination) sessionsOf(ctx context.Context, asked []worstDay, found func(worstDay, Session)) error {
	const query = `SELECT licence_id, toString(asked.day), installation_id, session_id, host_id, cpus, started_at, certain_until, possible_until, closed, toString(country), clock_doubtful
		FROM (SELECT * FROM v1_sessions WHERE licence_id IN {licences:Array(UUID)} AND application = 'roboserver') AS ran
		INNER JOIN (SELECT pair.1 AS licence_id, pair.2 AS day FROM (SELECT arrayJoin(arrayZip({licences:Array(UUID)}, {days:Array(Date)})) AS pair)) AS asked USING (licence_id)
		WHERE ran.first_day <= asked.day AND started_at < toDateTime64(asked.day + 1, 3, 'UTC') AND possible_until > toDateTime64(asked.day, 3, 'UTC')
		ORDER BY licence_id, asked.day, started_at, session_id LIMIT {rows:UInt32} BY licence_id, asked.day`
	licences, days := make([]string, len(asked)), make([]string, len(asked))
	for i, of := range asked {
		licences[i], days[i] = of.licence.String(), of.day
	}
	args := []any{chgo.Named("licences", licences), chgo.Named("days", days), chgo.Named("rows", e.o.Rows)}
	return e.each(ctx, "v1_sessions", query, args, func(rows driver.Rows) error {
		var (
			of worstDay
			s  Session
		)
		err := rows.Scan(&of.licence, &of.day, &s.InstallationID, &s.SessionID, &s.HostID, &s.CPUs, &s.StartedAt, &s.CertainUntil, &s.PossibleUntil, &s.Closed, &s.Country, &s.ClockDoubtful)
		if err == nil {
			found(of, s)
		}
		return err
	})
}

// places looks for licences that report from many networks or countries in a day.
func (e *examination) places(ctx context.Context) error {
	query := `SELECT licence_id, toString(received_day), installation_id, networks, countries, licence_networks, licence_countries
		FROM v1_licence_places
		WHERE ` + e.ofLicence("received_day") + ` AND (licence_networks > {networks:UInt64} OR length(licence_countries) > {countries:UInt64})
		ORDER BY licence_id, received_day, installation_id`
	networks, countries := signRows{}, signRows{}
	err := e.each(ctx, "v1_licence_places", query,
		e.window(chgo.Named("networks", e.o.Networks), chgo.Named("countries", e.o.Countries)), func(rows driver.Rows) error {
			var (
				licence, installation uuid.UUID
				row                   Row
				ofLicence             uint64
				all                   []string
			)
			if err := rows.Scan(&licence, &row.Day, &installation, &row.Networks, &row.Countries, &ofLicence, &all); err != nil {
				return err
			}
			row.InstallationID = &installation
			if ofLicence > uint64(e.o.Networks) {
				row.amount = float64(ofLicence)
				networks.add(licence, row)
			}
			if len(all) > e.o.Countries {
				row.amount = float64(len(all))
				countries.add(licence, row)
			}
			return nil
		})
	e.signs(networks, SignNetworks, "networks")
	e.signs(countries, SignCountries, "countries")
	return err
}

// clones looks for installations that ran on several hosts at one time.
func (e *examination) clones(ctx context.Context) error {
	query := `SELECT licence_id, toString(day), installation_id, hosts_at_once, overlap_s, clock_doubtful FROM v1_cloned_installations
		WHERE ` + e.ofLicence("day") + ` AND overlap_s > {overlap:Float64} ORDER BY licence_id, day, installation_id`
	found := signRows{}
	err := e.each(ctx, "v1_cloned_installations", query, e.window(chgo.Named("overlap", e.o.Overlap.Seconds())), func(rows driver.Rows) error {
		var (
			licence, installation uuid.UUID
			row                   Row
		)
		if err := rows.Scan(&licence, &row.Day, &installation, &row.HostsAtOnce, &row.OverlapSeconds, &row.ClockDoubtful); err != nil {
			return err
		}
		row.InstallationID, row.amount = &installation, float64(row.HostsAtOnce)
		found.add(licence, row)
		return nil
	})
	e.signs(found, SignClone, "hosts at once")
	return err
}

// signRows are rows by licence, each ascending by day.
type signRows map[uuid.UUID][]Row

func (s signRows) add(licence uuid.UUID, row Row) { s[licence] = append(s[licence], row) }

func (e *examination) signs(of signRows, sign, unit string) {
	for licence, rows := range of {
		e.sign(newSign(licence, sign, unit, rows, e.o))
	}
}

// count says how many licences were looked at, and how many of them are clean.
func (e *examination) count(ctx context.Context) error {
	marked := make([]string, 0, len(e.marked))
	for licence := range e.marked {
		marked = append(marked, licence.String())
	}
	slices.Sort(marked)
	query := `SELECT uniqExact(licence_id), uniqExactIf(licence_id, NOT has({marked:Array(UUID)}, licence_id)) FROM v1_licence_day WHERE ` + e.ofLicence("day")
	if err := e.conn.QueryRow(ctx, query, e.window(chgo.Named("marked", marked))...).Scan(&e.report.Licences, &e.report.Clean); err != nil {
		return fmt.Errorf("count licences: %w", err)
	}
	return nil
}
