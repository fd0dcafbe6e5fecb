// Package pastyear writes into a database what a year of reports leaves behind: the
// registry, the session-days that are still held with their superseded states, receipts,
// dead letters, quarantine, and the rollups of every day. The rollups are computed by
// pkg/rollup from session-days, those of days whose session-days have expired since too:
// their session-days are written, computed and dropped, a month at a time.
//
// Everything is drawn from hashes of a seed, by ClickHouse itself.
package pastyear

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"strings"
	"time"

	chgo "github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"rollcall/pkg/retention"
	"rollcall/pkg/rollup"
	"rollcall/pkg/telemetry"
	catalogue "rollcall/schemas/metrics"
)

//go:embed *.sql
var statements embed.FS

const (
	// Year is how many days a year has; the last one is yesterday.
	Year = 365
	// held is how many days back session-days reach: their TTL (schemas/clickhouse), less
	// the day that may expire while it is written.
	held = retention.SessionTTLDays - 1
	// receiptDays is how long receipts and dead letters live, less one for the same reason.
	receiptDays = retention.ReceiptTTLDays - 1
)

// Options say what to write.
type Options struct {
	Seed     uint64
	Licences uint32 // in the registry
	Days     int    // of the year, counted from its end: 7 to Year
	// Reports in these days, about: the fleet is sized by a sample of days, so what is
	// written is within some percent, and the summary says what it is.
	Reports uint64
	// Now is the time that the year ends before.
	Now time.Time
	// Say gets the progress; nil: nobody.
	Say func(format string, values ...any)
}

// Validate says what is wrong with the options.
func (o Options) Validate() error {
	var errs []error
	if o.Licences < 1 || o.Licences > 1_000_000 {
		errs = append(errs, errors.New("licences must be 1 to 1,000,000"))
	}
	if o.Reports < 10_000 {
		errs = append(errs, errors.New("reports must be at least 10,000"))
	}
	if o.Days < 7 || o.Days > Year {
		errs = append(errs, fmt.Errorf("days must be 7 to %d", Year))
	}
	if o.Now.IsZero() {
		errs = append(errs, errors.New("the time that the year ends before is not set"))
	}
	return errors.Join(errs...)
}

// last is the year's last day, midnight UTC.
func (o Options) last() time.Time { return o.Now.UTC().Truncate(24*time.Hour).AddDate(0, 0, -1) }

// loader writes one year.
type loader struct {
	options Options
	conn    driver.Conn
	tel     telemetry.Telemetry
	fixed   []any // parameters that every statement may use
	first   time.Time
	last    time.Time
	kept    time.Time // first day whose session-days are held
	offset  uint64    // of reports.raw, all partitions together, so far
}

// Load writes the year into a migrated database that holds no reports. Where an earlier
// call with the same options was cut off, it goes on from there.
func Load(ctx context.Context, conn driver.Conn, o Options) (*Summary, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	if o.Say == nil {
		o.Say = func(string, ...any) {}
	}
	l := &loader{options: o, conn: conn, tel: telemetry.Discard(), last: o.last()}
	l.first, l.kept = l.last.AddDate(0, 0, 1-o.Days), l.last.AddDate(0, 0, 1-held)
	if l.kept.Before(l.first) {
		l.kept = l.first
	}
	l.fixed = append([]any{
		chgo.Named("seed", o.Seed), chgo.Named("licences", o.Licences),
		chgo.Named("first", l.last.AddDate(0, 0, 1-Year).Format(time.DateOnly)), chgo.Named("last", l.last.Format(time.DateOnly)),
	}, metricParameters(catalogue.Embedded())...)
	for _, step := range []func(context.Context) error{l.begin, l.fleet, l.days, l.settle} {
		if err := step(ctx); err != nil {
			return nil, err
		}
	}
	return l.summary(ctx)
}

// begin makes the plan's tables, and refuses a database with another year in it.
func (l *loader) begin(ctx context.Context) error {
	if err := l.statements(ctx, "tables.sql"); err != nil {
		return err
	}
	wanted := fmt.Sprintf("seed %d, %d licences, %d reports, %d days until %s", l.options.Seed, l.options.Licences, l.options.Reports, l.options.Days, l.last.Format(time.DateOnly))
	var there string
	var reports uint64
	if err := l.conn.QueryRow(ctx, "SELECT (SELECT any(value) FROM past_year.settings), (SELECT count() FROM session_days)").Scan(&there, &reports); err != nil {
		return fmt.Errorf("look for a year that was begun: %w", err)
	}
	if there == "" && reports > 0 {
		return errors.New("the database holds reports already: a year is written into an empty one")
	}
	if there != "" && there != wanted {
		return fmt.Errorf("the database holds another year: %s", there)
	}
	if err := rollup.LandCatalogue(ctx, l.conn, catalogue.Embedded()); err != nil {
		return err
	}
	if there == wanted {
		return nil
	}
	return l.exec(ctx, "INSERT INTO past_year.settings VALUES ('year', {wanted:String})", chgo.Named("wanted", wanted))
}

// exec runs a statement with the parameters that all share and more.
func (l *loader) exec(ctx context.Context, query string, more ...any) error {
	if err := l.conn.Exec(ctx, query, append(append([]any{}, more...), l.used(query)...)...); err != nil {
		return fmt.Errorf("%s: %w", strings.Join(strings.Fields(query)[:min(4, len(strings.Fields(query)))], " "), err)
	}
	return nil
}

// used returns those of the shared parameters that the query names.
func (l *loader) used(query string) []any {
	var parameters []any
	for _, p := range l.fixed {
		if named, ok := p.(driver.NamedValue); ok && strings.Contains(query, "{"+named.Name+":") {
			parameters = append(parameters, p)
		}
	}
	return parameters
}

// statements runs a file of them, one after the other.
func (l *loader) statements(ctx context.Context, file string, more ...any) error {
	for _, query := range strings.Split(read(file), ";\n") {
		if strings.TrimSpace(query) == "" {
			continue
		}
		if err := l.exec(ctx, query, more...); err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
	}
	return nil
}

// read returns a statement of this package.
func read(file string) string {
	content, err := statements.ReadFile(file)
	if err != nil {
		panic(err) // the file is compiled in
	}
	return string(content)
}

// done says whether a step of a day was finished by an earlier call.
func (l *loader) done(ctx context.Context, step string, day time.Time) (bool, error) {
	var n uint64
	err := l.conn.QueryRow(ctx, "SELECT count() FROM past_year.progress WHERE step = {step:String} AND day = {day:Date}",
		chgo.Named("step", step), chgo.Named("day", day.Format(time.DateOnly))).Scan(&n)
	if err != nil {
		return false, fmt.Errorf("read the progress: %w", err)
	}
	return n > 0, nil
}

func (l *loader) finish(ctx context.Context, step string, day time.Time, reports uint64) error {
	return l.exec(ctx, "INSERT INTO past_year.progress VALUES ({step:String}, {day:Date}, {reports:UInt64})",
		chgo.Named("step", step), chgo.Named("day", day.Format(time.DateOnly)), chgo.Named("reports", reports))
}
