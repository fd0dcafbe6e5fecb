package accesslog

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/google/uuid"

	"rollcall/pkg/clickhouse"
)

// Anchor says what stood at the end of the log at some time. Kept outside of Kafka, it
// shows when the log no longer has it.
type Anchor struct {
	TopicID  uuid.UUID `json:"topic_id"` // zero: not known
	Sequence int64     `json:"sequence"` // 0: not known
	Offset   int64     `json:"offset"`
	Hash     Hash      `json:"hash"`
}

// String returns OFFSET:HASH, which ParseAnchor reads.
func (a Anchor) String() string { return strconv.FormatInt(a.Offset, 10) + ":" + a.Hash.String() }

// ParseAnchor reads OFFSET:HASH.
func ParseAnchor(text string) (Anchor, error) {
	number, digits, ok := strings.Cut(text, ":")
	if !ok {
		return Anchor{}, errors.New("an anchor is OFFSET:HASH")
	}
	offset, err := strconv.ParseInt(number, 10, 64)
	if err != nil || offset < 0 {
		return Anchor{}, errors.New("an anchor begins with an offset, 0 or more")
	}
	hash, err := ParseHash(digits)
	if err != nil {
		return Anchor{}, fmt.Errorf("an anchor ends with a hash: %w", err)
	}
	return Anchor{Offset: offset, Hash: hash}, nil
}

// Store keeps anchors in ClickHouse, in the table access_log of the restricted
// database. Its rows are only ever added: one that was changed could hide what it is
// to show.
type Store struct {
	Conn driver.Conn
	// Database is the restricted one: clickhouse.Config.Restricted.
	Database string
}

// Keep adds an anchor; when it returns nil, ClickHouse has it on disk.
func (s Store) Keep(ctx context.Context, a Anchor) error {
	batch, err := s.Conn.PrepareBatch(clickhouse.Foreground(ctx), "INSERT INTO "+s.Database+".access_log (topic_id, sequence, offset, hash, at)")
	if err != nil {
		return fmt.Errorf("keep anchor of the access log: %w", err)
	}
	if err := batch.Append(a.TopicID, uint64(a.Sequence), a.Offset, a.Hash.String(), time.Now()); err != nil {
		return errors.Join(fmt.Errorf("keep anchor of the access log: %w", err), batch.Abort())
	}
	if err := batch.Send(); err != nil {
		return fmt.Errorf("keep anchor of the access log: %w", err)
	}
	return nil
}

// Newest returns the anchor of the highest sequence, or nil where there is none.
func (s Store) Newest(ctx context.Context) (*Anchor, error) {
	anchors, err := s.query(ctx, "ORDER BY sequence DESC, at DESC LIMIT 1")
	if err != nil || len(anchors) == 0 {
		return nil, err
	}
	return &anchors[0], nil
}

// All returns every anchor, ascending by sequence.
func (s Store) All(ctx context.Context) ([]Anchor, error) {
	return s.query(ctx, "ORDER BY sequence, at")
}

func (s Store) query(ctx context.Context, order string) ([]Anchor, error) {
	rows, err := s.Conn.Query(ctx, "SELECT topic_id, sequence, offset, hash FROM "+s.Database+".access_log "+order)
	if err != nil {
		return nil, fmt.Errorf("read anchors of the access log: %w", err)
	}
	defer rows.Close()
	var anchors []Anchor
	for rows.Next() {
		var (
			a        Anchor
			sequence uint64
			digits   string
		)
		if err := rows.Scan(&a.TopicID, &sequence, &a.Offset, &digits); err != nil {
			return nil, fmt.Errorf("read anchors of the access log: %w", err)
		}
		// A hash that is none is in no log: it must show, not stop the reading.
		a.Sequence, a.Hash = int64(sequence), Hash{}
		if hash, err := ParseHash(digits); err == nil {
			a.Hash = hash
		}
		anchors = append(anchors, a)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read anchors of the access log: %w", err)
	}
	return anchors, nil
}
