package replay

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"rollcall/pkg/record"
	"rollcall/pkg/topics"
)

// Group is the consumer group under which Kafka remembers how far the dead letters of
// each class have been replayed: as the metadata of its offsets in dead-letters. No
// member ever joins it, so Kafka forgets it a week after the last run
// (offsets.retention.minutes); then letters are replayed again, which changes no count.
const Group = "rollcall-replay"

// chunkLetters is how many dead letters are gathered and sorted at a time; their
// offsets take 16 bytes each. After each chunk the position is remembered.
const chunkLetters = 50_000

// Class replays the reports that dead letters of a class speak of, in chunks; after
// each, Kafka remembers how far it came, so that another run goes on there. Letters
// that come meanwhile, those of replayed reports among them, are left to the next run.
func (r *Replayer) Class(ctx context.Context, class string) (Result, error) {
	if err := ValidClass(class); err != nil {
		return r.report(), err
	}
	places, err := r.places(ctx)
	if err != nil {
		return r.report(), err
	}
	positions, err := r.positions(ctx, places, class)
	if err != nil {
		return r.report(), err
	}
	for {
		offsets, err := r.letters(ctx, class, positions, min(chunkLetters, r.left()))
		if err != nil {
			return r.report(), err
		}
		if err := r.scattered(ctx, offsets); err != nil {
			return r.report(), err
		}
		if err := r.remember(ctx, places, class, positions); err != nil {
			return r.report(), err
		}
		pending := slices.ContainsFunc(slices.Collect(maps.Values(positions)), func(b *topics.Bounds) bool { return b.First < b.End })
		if !pending || r.left() <= 0 {
			r.result.Complete = !pending
			return r.report(), nil
		}
	}
}

// places are the next letters of each class, by partition of dead-letters.
type places map[int32]map[string]int64

// places asks Kafka how far earlier runs came.
func (r *Replayer) places(ctx context.Context) (places, error) {
	found := places{}
	done, err := r.admin.FetchOffsets(ctx, Group)
	if err != nil && !errors.Is(err, kerr.GroupIDNotFound) {
		return nil, fmt.Errorf("read how far dead letters were replayed: %w", err)
	}
	done.Each(func(at kadm.OffsetResponse) {
		if at.Topic == topics.DeadLetters && at.Err == nil {
			found[at.Partition] = parsePlaces(at.Metadata)
		}
	})
	return found, nil
}

// parsePlaces reads "class=offset class=offset"; what is none is passed over.
func parsePlaces(metadata string) map[string]int64 {
	next := map[string]int64{}
	for word := range strings.FieldsSeq(metadata) {
		class, text, _ := strings.Cut(word, "=")
		if offset, err := strconv.ParseInt(text, 10, 64); err == nil && offset >= 0 && ValidClass(class) == nil {
			next[class] = offset
		}
	}
	return next
}

func formatPlaces(next map[string]int64) string {
	words := make([]string, 0, len(next))
	for _, class := range slices.Sorted(maps.Keys(next)) {
		words = append(words, class+"="+strconv.FormatInt(next[class], 10))
	}
	return strings.Join(words, " ")
}

// positions returns, by partition of dead-letters, from where to where letters are read.
func (r *Replayer) positions(ctx context.Context, done places, class string) (map[int32]*topics.Bounds, error) {
	bounds, err := topics.ReadBounds(ctx, r.admin, topics.DeadLetters)
	if err != nil {
		return nil, err
	}
	positions := map[int32]*topics.Bounds{}
	for number, b := range bounds {
		positions[number] = &b
		// A place beyond the end is of a topic that was made anew.
		if next := done[number][class]; !r.options.Again && next <= b.End {
			positions[number].First = max(b.First, next)
		}
	}
	return positions, nil
}

// remember notes in Kafka how far the letters of a class have been replayed.
func (r *Replayer) remember(ctx context.Context, done places, class string, positions map[int32]*topics.Bounds) error {
	if r.options.DryRun {
		return nil
	}
	offsets := kadm.Offsets{}
	for number, b := range positions {
		if done[number] == nil {
			done[number] = map[string]int64{}
		}
		done[number][class] = b.First
		offsets.Add(kadm.Offset{Topic: topics.DeadLetters, Partition: number, At: b.First, LeaderEpoch: -1, Metadata: formatPlaces(done[number])})
	}
	if err := r.admin.CommitAllOffsets(ctx, Group, offsets); err != nil {
		return fmt.Errorf("remember how far dead letters were replayed: %w", err)
	}
	return nil
}

// letters reads on until it has found so many letters of the class, or all there are.
// It moves the positions, and returns the offsets of reports.raw that they speak of,
// by partition, ascending and each once.
func (r *Replayer) letters(ctx context.Context, class string, positions map[int32]*topics.Bounds, most int64) (map[int32][]int64, error) {
	offsets, found := map[int32][]int64{}, int64(0)
	for _, number := range slices.Sorted(maps.Keys(positions)) {
		b := positions[number]
		if b.First >= b.End || found >= most {
			continue
		}
		err := r.scan(ctx, topics.DeadLetters, Range{number, b.First, b.End - 1}, func(in *kgo.Record) error {
			b.First = in.Offset + 1
			r.result.Letters++
			var letter record.DeadLetter
			switch err := record.Decode(in.Value, &letter); {
			case errors.Is(err, record.ErrUnknownSchema): // of a newer release, which can read it
				return fmt.Errorf("dead letter at offset %d of partition %d: %w", in.Offset, number, err)
			case err != nil || letter.Reason != class: // the sink counts broken ones
				return nil
			}
			if l := letter.Lineage; l == nil || l.TopicID != r.result.TopicID || l.Offset >= r.bounds[l.Partition].End {
				r.result.Elsewhere++
				return nil
			}
			offsets[letter.Lineage.Partition] = append(offsets[letter.Lineage.Partition], letter.Lineage.Offset)
			if found++; found >= most {
				return errEnough
			}
			return nil
		})
		if err == nil {
			b.First = b.End // retention may have taken the last ones
		} else if !errors.Is(err, errEnough) {
			return nil, err
		}
	}
	for number, all := range offsets {
		slices.Sort(all)
		offsets[number] = slices.Compact(all)
	}
	return offsets, nil
}

// scattered replays single offsets: those near each other in one go.
func (r *Replayer) scattered(ctx context.Context, offsets map[int32][]int64) error {
	for _, number := range slices.Sorted(maps.Keys(offsets)) {
		for rest := offsets[number]; len(rest) > 0; {
			n := 1
			for n < len(rest) && rest[n]-rest[n-1] <= farApart {
				n++
			}
			near := rest[:n]
			rest = rest[n:]
			wanted := func(offset int64) bool {
				_, found := slices.BinarySearch(near, offset)
				return found
			}
			if err := r.span(ctx, Range{number, near[0], near[n-1]}, wanted, int64(n)); err != nil {
				return err
			}
		}
	}
	return nil
}
