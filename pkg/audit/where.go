package audit

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	chgo "github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/google/uuid"
)

// Ends of a report that no receipt has.
const (
	// Pending: neither a receipt nor a dead letter knows it. It is on its way, was
	// never accepted, or is older than receipts are kept.
	Pending = "pending"
)

// Whereabouts says where a report ended.
type Whereabouts struct {
	End    string `json:"end"`              // landed, dead_lettered, suppressed, erased or pending
	Reason string `json:"reason,omitempty"` // class of a dead letter
	Stage  string `json:"stage,omitempty"`  // service that refused it
	Field  string `json:"field,omitempty"`  // schema path at fault

	LicenceID *uuid.UUID `json:"licence_id,omitempty"`
	SessionID *uuid.UUID `json:"session_id,omitempty"`
	Day       string     `json:"day,omitempty"`      // UTC day of its values
	Sequence  uint64     `json:"sequence,omitempty"` // in its session
	// Superseded: a later report of its session and day counts instead.
	Superseded bool `json:"superseded,omitempty"`

	Partition  int32     `json:"partition"` // of reports.raw; -1: not known
	Offset     int64     `json:"offset"`    // in that partition; -1: not known
	Copies     uint64    `json:"copies"`    // offsets of reports.raw that hold this report
	ReceivedAt time.Time `json:"received_at,omitzero"`
	At         time.Time `json:"at,omitzero"` // when the receipt was written
}

// Where looks a report up by its pseudonym (pseudonym.Licences.Scoped).
func Where(ctx context.Context, conn driver.Conn, report uuid.UUID) (Whereabouts, error) {
	w := Whereabouts{End: Pending, Partition: -1, Offset: -1}
	if report == uuid.Nil {
		return w, errors.New("look up a report: it has no id")
	}
	found, err := fromReceipt(ctx, conn, report, &w)
	if err != nil {
		return w, err
	}
	if !found || w.End == "dead_lettered" {
		if err := fromDeadLetter(ctx, conn, report, &w); err != nil {
			return w, err
		}
	}
	if w.End == "landed" {
		err = fromState(ctx, conn, &w)
	}
	return w, err
}

// fromReceipt reads the receipt of the copy that got furthest.
func fromReceipt(ctx context.Context, conn driver.Conn, report uuid.UUID, w *Whereabouts) (bool, error) {
	const query = `SELECT toString(end), toString(reason), licence_id, session_id, toString(day), sequence, partition, offset, received_at, at,
			count() OVER () AS copies
		FROM receipts FINAL WHERE report_id = {report:UUID} ORDER BY rank DESC, at, offset LIMIT 1`
	var licence, session uuid.UUID
	err := conn.QueryRow(ctx, query, chgo.Named("report", report.String())).
		Scan(&w.End, &w.Reason, &licence, &session, &w.Day, &w.Sequence, &w.Partition, &w.Offset, &w.ReceivedAt, &w.At, &w.Copies)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("look the report up in receipts: %w", err)
	}
	if licence != uuid.Nil {
		w.LicenceID = &licence
	}
	if session != uuid.Nil {
		w.SessionID = &session
	}
	if w.End != "landed" {
		w.Day = ""
	}
	return true, nil
}

func fromDeadLetter(ctx context.Context, conn driver.Conn, report uuid.UUID, w *Whereabouts) error {
	const query = `SELECT toString(reason), toString(stage), field_path, licence_id, lineage_partition, lineage_offset, at
		FROM dead_letters FINAL WHERE report_id = {report:UUID} ORDER BY at DESC LIMIT 1`
	var licence uuid.UUID
	err := conn.QueryRow(ctx, query, chgo.Named("report", report.String())).
		Scan(&w.Reason, &w.Stage, &w.Field, &licence, &w.Partition, &w.Offset, &w.At)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look the report up in dead letters: %w", err)
	}
	w.End = "dead_lettered"
	if licence != uuid.Nil {
		w.LicenceID = &licence
	}
	return nil
}

// fromState tells whether the report is the one that counts.
func fromState(ctx context.Context, conn driver.Conn, w *Whereabouts) error {
	const query = `SELECT max(sequence) FROM session_days WHERE licence_id = {licence:UUID} AND day = {day:Date} AND session_id = {session:UUID}`
	var newest uint64
	err := conn.QueryRow(ctx, query, chgo.Named("licence", w.LicenceID.String()), chgo.Named("day", w.Day), chgo.Named("session", w.SessionID.String())).Scan(&newest)
	if err != nil {
		return fmt.Errorf("look the report's session-day up: %w", err)
	}
	w.Superseded = newest > w.Sequence
	return nil
}
