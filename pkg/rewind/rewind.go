// Package rewind lets the pipeline read again what ClickHouse does not hold: it was
// restored from a backup, or a group was moved past what it had not read.
//
// Its receipts say up to where it holds each partition of reports.raw, so no operator
// needs to know when the backup was taken. The anonymizer's group is set back to there:
// reports pass the whole pipeline again, under their own lineage and time of receipt,
// and their new offsets in usage mark the days that they change. The sink's group is set
// back to the beginning of what it lands besides reports.
package rewind

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"

	"rollcall/pkg/audit"
	"rollcall/pkg/rollup"
	"rollcall/pkg/topics"
)

// Options say how a rewind goes about it.
type Options struct {
	Anonymizer, Sink string // consumer groups
	// DryRun says what would be done and does none of it; groups may have members.
	DryRun bool
	// NewGroups allows groups that have committed nothing. Most such groups do not exist:
	// the pipeline's have other names.
	NewGroups bool
}

// Partition is what is read again of one partition of reports.raw.
type Partition struct {
	Partition int32 `json:"partition"`
	First     int64 `json:"first_offset"`     // earliest that the topic still has
	Committed int64 `json:"committed_offset"` // where the group stood; -1: nowhere
	Next      int64 `json:"next_offset"`      // where it stands now
	End       int64 `json:"end_offset"`       // one past the newest
	Lost      int64 `json:"lost"`             // offsets that neither ClickHouse nor the topic has
	Unknown   bool  `json:"unknown"`          // whether any are lost cannot be told
}

// Result of a rewind.
type Result struct {
	DryRun     bool        `json:"dry_run"`
	TopicID    uuid.UUID   `json:"topic_id"`   // of reports.raw
	Partitions []Partition `json:"partitions"` // ascending
	Again      int64       `json:"again"`      // reports that had been read and are read again
	Lost       int64       `json:"lost"`       // over all partitions
	Unknown    bool        `json:"unknown"`    // of some partition it cannot be told
	Days       int         `json:"days"`       // days that are computed once more, whatever is read
	Topics     []string    `json:"topics"`     // that the sink reads from their beginning
}

// MembersError says that services of a group still run: Kafka sets no group back while
// it has members, and they would go on from where they are.
type MembersError struct {
	Group   string
	Members []string // client ids
}

func (e *MembersError) Error() string {
	return fmt.Sprintf("group %s has %d members (%s): stop the anonymizers and the sinks first", e.Group, len(e.Members), strings.Join(e.Members, ", "))
}

// NoCommitsError says that a group has committed nothing, in no topic.
type NoCommitsError struct{ Group string }

func (e *NoCommitsError) Error() string {
	return fmt.Sprintf("group %s has committed nothing: is that its name?", e.Group)
}

// besides are the topics of which the sink lands more than what reports become. All of
// them are short, and what is landed twice says the same again.
func besides() []string { return []string{topics.DeadLetters, topics.Identities, topics.Licences} }

// Run sets the groups back to what the database holds, and marks the days that a backup
// may hold in part. A group is never moved forward. It may be run again. The error wraps
// a MembersError where services still run, and a NoCommitsError where a group has done
// nothing yet.
func Run(ctx context.Context, admin *kadm.Client, conn driver.Conn, o Options) (Result, error) {
	result := Result{DryRun: o.DryRun, Topics: besides()}
	if !o.DryRun {
		if err := atRest(ctx, admin, o.Anonymizer, o.Sink); err != nil {
			return result, err
		}
	}
	committed, err := positions(ctx, admin, o.Anonymizer, o.NewGroups)
	if err != nil {
		return result, err
	}
	if _, err := positions(ctx, admin, o.Sink, o.NewGroups); err != nil {
		return result, err
	}
	held, id, err := audit.HeldUpTo(ctx, admin, conn)
	if err != nil {
		return result, err
	}
	result.TopicID = id
	for _, h := range held {
		p := partitionOf(h, committed)
		result.Partitions = append(result.Partitions, p)
		result.Again += max(0, p.Committed-p.Next)
		result.Lost += p.Lost
		result.Unknown = result.Unknown || p.Unknown
	}
	if result.Days, err = rollup.MarkRestored(ctx, conn, taken(held), o.DryRun); err != nil || o.DryRun {
		return result, err
	}
	if err := set(ctx, admin, o.Anonymizer, result.offsets()); err != nil {
		return result, err
	}
	starts, err := starts(ctx, admin)
	if err != nil {
		return result, err
	}
	return result, set(ctx, admin, o.Sink, starts)
}

// taken is a moment no later than the backup's end: when the newest receipt was written
// that it holds for certain. Of the partitions the earliest counts, since in one that got
// nothing between the backup and the restore, what came after it stands beyond no gap.
func taken(held []audit.Held) time.Time {
	var at time.Time
	for _, h := range held {
		if !h.Newest.IsZero() && (at.IsZero() || h.Newest.Before(at)) {
			at = h.Newest
		}
	}
	return at
}

// partitionOf decides where a partition is read on: at what is not held, and never
// beyond where the group stands.
func partitionOf(h audit.Held, committed kadm.OffsetResponses) Partition {
	p := Partition{Partition: h.Partition, First: h.First, Committed: -1, Next: h.Upto, End: h.End, Lost: h.Lost, Unknown: h.Unknown}
	if at, ok := committed.Lookup(topics.Raw, h.Partition); ok && at.At >= 0 {
		p.Committed = at.At
		p.Next = min(p.Next, max(p.Committed, h.First))
	}
	return p
}

func (r *Result) offsets() kadm.Offsets {
	offsets := kadm.Offsets{}
	for _, p := range r.Partitions {
		offsets.Add(kadm.Offset{Topic: topics.Raw, Partition: p.Partition, At: p.Next, LeaderEpoch: -1})
	}
	return offsets
}

// atRest returns a MembersError where a group has members.
func atRest(ctx context.Context, admin *kadm.Client, groups ...string) error {
	described, err := admin.DescribeGroups(ctx, groups...)
	if err != nil {
		return fmt.Errorf("look for members of the groups: %w", err)
	}
	var errs []error
	for _, group := range described.Sorted() {
		if group.Err != nil && !errors.Is(group.Err, kerr.GroupIDNotFound) {
			return fmt.Errorf("look for members of group %s: %w", group.Group, group.Err)
		}
		if len(group.Members) == 0 {
			continue
		}
		members := make([]string, len(group.Members))
		for i, member := range group.Members {
			members[i] = member.ClientID
		}
		slices.Sort(members)
		errs = append(errs, &MembersError{group.Group, members})
	}
	return errors.Join(errs...)
}

// positions returns where a group stands. Where that is nowhere, in no topic, it is a
// NoCommitsError unless allowed.
func positions(ctx context.Context, admin *kadm.Client, group string, allowed bool) (kadm.OffsetResponses, error) {
	committed, err := admin.FetchOffsets(ctx, group)
	if err != nil && !errors.Is(err, kerr.GroupIDNotFound) {
		return nil, fmt.Errorf("read where group %s stands: %w", group, err)
	}
	if len(committed) == 0 && !allowed {
		return nil, &NoCommitsError{group}
	}
	return committed, nil
}

// starts returns the first offsets of what the sink lands besides reports.
func starts(ctx context.Context, admin *kadm.Client) (kadm.Offsets, error) {
	listed, err := admin.ListStartOffsets(ctx, besides()...)
	if err == nil {
		err = listed.Error()
	}
	if err != nil {
		return nil, fmt.Errorf("read the first offsets of %s: %w", strings.Join(besides(), ", "), err)
	}
	return listed.Offsets(), nil
}

func set(ctx context.Context, admin *kadm.Client, group string, offsets kadm.Offsets) error {
	if err := admin.CommitAllOffsets(ctx, group, offsets); err != nil {
		return fmt.Errorf("set back group %s: %w", group, err)
	}
	return nil
}
