package quarantine

import (
	"context"
	"fmt"
	"time"

	chgo "github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/google/uuid"

	"rollcall/pkg/rollup"
)

// Store keeps the history in ClickHouse. It is safe for concurrent use.
type Store struct {
	conn driver.Conn
	now  func() time.Time
}

// New returns a store on the database of conn.
func New(conn driver.Conn) *Store { return &Store{conn: conn, now: time.Now} }

// held is what session_days has of a target among the days that can be computed.
type held struct {
	SessionDays uint64    `ch:"session_days"`
	Days        uint64    `ch:"days"`
	First       time.Time `ch:"first"`
}

// Add puts a target into quarantine from order.Since on. Errors: rollup.ErrFrozen where
// that day can no longer be computed, ErrAlready where the target is in quarantine from
// that day or an earlier one on, ErrUnseen where nothing of it is held. Where it is in
// quarantine from a later day on, the earlier one takes its place.
func (s *Store) Add(ctx context.Context, order Order) (Result, error) {
	if err := order.validate(); err != nil {
		return Result{}, err
	}
	open := rollup.FirstOpen(s.now())
	since := order.Since.UTC().Truncate(24 * time.Hour)
	if !order.Since.IsZero() && since.Before(open) {
		return Result{}, &FrozenError{Target: order.Target, Day: since, FirstOpen: open}
	}
	if order.Since.IsZero() {
		since = open
	}
	found, err := s.held(ctx, order.Target, since)
	if err != nil {
		return Result{}, err
	}
	if found.SessionDays == 0 && !order.Unseen {
		return Result{}, fmt.Errorf("%s %w from %s on: its pseudonym is another, or what it reported has expired (days before %s can no longer be computed), or nothing has arrived yet",
			order.Target, ErrUnseen, since.Format(time.DateOnly), open.Format(time.DateOnly))
	}
	if order.Since.IsZero() && found.SessionDays > 0 {
		since = found.First // so that it can be released for as long as all of it is held
	}
	current, in, err := s.current(ctx, order.Target)
	if err != nil {
		return Result{}, err
	}
	if in && !since.Before(current) {
		// Whoever asks again may do so because the first time ended half-way.
		if err := rollup.MarkQuarantine(ctx, s.conn); err != nil {
			return Result{}, err
		}
		return Result{}, fmt.Errorf("%s %w, from %s on", order.Target, ErrAlready, current.Format(time.DateOnly))
	}
	return s.write(ctx, order, Added, since, found)
}

// Remove takes a target out of quarantine. Errors: ErrNotThere, and rollup.ErrFrozen where
// days of the quarantine can no longer be computed and order.KeepFrozen is not set.
func (s *Store) Remove(ctx context.Context, order Order) (Result, error) {
	if err := order.validate(); err != nil {
		return Result{}, err
	}
	first, in, err := s.current(ctx, order.Target)
	if err != nil {
		return Result{}, err
	}
	if !in {
		if err := rollup.MarkQuarantine(ctx, s.conn); err != nil {
			return Result{}, err
		}
		return Result{}, fmt.Errorf("%s %w", order.Target, ErrNotThere)
	}
	if open := rollup.FirstOpen(s.now()); first.Before(open) && !order.KeepFrozen {
		return Result{}, &FrozenError{Target: order.Target, Day: first, FirstOpen: open, Removing: true}
	}
	found, err := s.held(ctx, order.Target, first)
	if err != nil {
		return Result{}, err
	}
	return s.write(ctx, order, Removed, first, found)
}

// List returns what is in quarantine, or with all the whole history, oldest first.
func (s *Store) List(ctx context.Context, all bool) ([]Entry, error) {
	// Which entry of a subject is the newest stands in the view, and only there.
	query := `SELECT number, at, entry_id, toString(h.action) AS action, toString(h.subject) AS subject, licence_id, subject_id, first_day, reason, who,
			toBool(h.action = 'added' AND (h.licence_id, toString(h.subject), h.subject_id, h.at, h.first_day) IN (SELECT licence_id, subject, subject_id, at, first_day FROM quarantined)) AS in_force
		FROM quarantine_history AS h`
	if !all {
		query += " WHERE in_force"
	}
	entries := []Entry{}
	if err := s.conn.Select(ctx, &entries, query+" ORDER BY h.number, h.at, h.entry_id"); err != nil {
		return nil, fmt.Errorf("read the history of quarantine: %w", err)
	}
	return entries, nil
}

// current returns from which day on the target is in quarantine.
func (s *Store) current(ctx context.Context, t Target) (first time.Time, in bool, err error) {
	const query = `SELECT count() > 0, max(first_day) FROM quarantined
		WHERE licence_id = {licence:UUID} AND subject = {subject:String} AND subject_id = {id:UUID}`
	err = s.conn.QueryRow(ctx, query, t.named()...).Scan(&in, &first)
	if err != nil {
		return time.Time{}, false, fmt.Errorf("read whether %s is in quarantine: %w", t, err)
	}
	return first.UTC(), in, nil
}

func (t Target) named() []any {
	return []any{chgo.Named("licence", t.LicenceID.String()), chgo.Named("subject", string(t.Subject)), chgo.Named("id", t.ID.String())}
}

func (s *Store) held(ctx context.Context, t Target, since time.Time) (held, error) {
	const query = `SELECT uniqExact(installation_id, session_id, day) AS session_days, uniqExact(day) AS days, min(day) AS first
		FROM session_days
		WHERE licence_id = {licence:UUID} AND day >= {since:Date}
			AND ({subject:String} = 'licence' OR {subject:String} = 'installation' AND installation_id = {id:UUID} OR {subject:String} = 'session' AND session_id = {id:UUID})`
	var found held
	row := s.conn.QueryRow(ctx, query, append(t.named(), chgo.Named("since", since.Format(time.DateOnly)))...)
	if err := row.ScanStruct(&found); err != nil {
		return found, fmt.Errorf("look for session-days of %s: %w", t, err)
	}
	found.First = found.First.UTC()
	return found, nil
}

// frozen returns how many days the rollup has of the licence from before the first that
// can be computed. Whose installation or session was in them is no longer known.
func (s *Store) frozen(ctx context.Context, t Target) (days uint64, err error) {
	const query = `SELECT uniqExact(day) FROM licence_day WHERE licence_id = {licence:UUID} AND day < {open:Date}`
	open := rollup.FirstOpen(s.now()).Format(time.DateOnly)
	if err := s.conn.QueryRow(ctx, query, chgo.Named("licence", t.LicenceID.String()), chgo.Named("open", open)).Scan(&days); err != nil {
		return 0, fmt.Errorf("look for days of %s that are frozen: %w", t, err)
	}
	return days, nil
}

// write adds the entry first and the marks after: a computation that reads a mark sees
// the entry. The number is the server's to give; where two writers get the same, their
// times and ids decide, the same way for everybody.
func (s *Store) write(ctx context.Context, order Order, action string, first time.Time, found held) (Result, error) {
	result := Result{
		EntryID: uuid.New(), Action: action, Subject: order.Subject, LicenceID: order.LicenceID, SubjectID: order.ID,
		FirstDay: first.Format(time.DateOnly), SessionDays: found.SessionDays, Days: found.Days,
	}
	var err error
	if result.FrozenDays, err = s.frozen(ctx, order.Target); err != nil {
		return Result{}, err
	}
	const query = `INSERT INTO quarantine_history (number, at, entry_id, action, subject, licence_id, subject_id, first_day, reason, who)
		SELECT max(number) + 1, now64(3, 'UTC'), {entry:UUID}, {action:String}, {subject:String}, {licence:UUID}, {id:UUID}, {first:Date}, {reason:String}, {who:String}
		FROM quarantine_history`
	values := append(order.named(), chgo.Named("entry", result.EntryID.String()), chgo.Named("action", action), chgo.Named("first", result.FirstDay),
		chgo.Named("reason", order.Reason), chgo.Named("who", order.Who))
	if err := s.conn.Exec(ctx, query, values...); err != nil {
		return Result{}, fmt.Errorf("write the entry about %s: %w", order.Target, err)
	}
	return result, rollup.MarkQuarantine(ctx, s.conn)
}
