package sink

import (
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"rollcall/pkg/clickhouse"
)

// Over all shards, each row is selected once, on the shard that has its licence, and
// halving a selection loses none.
func TestEveryRowHasOneShard(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		shards := rapid.IntRange(1, 5).Draw(t, "shards")
		licences := make([]uuid.UUID, rapid.IntRange(0, 40).Draw(t, "rows"))
		for i := range licences {
			licences[i] = uuid.UUID(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "licence"))
		}
		seen := map[int]int{}
		for shard := range shards {
			selected := ofLicences(licences, shard, shards)
			middle := selected.len() / 2
			for _, half := range []selection{selected.cut(0, middle), selected.cut(middle, selected.len())} {
				for i := range half.len() {
					row := half.row(i)
					seen[row]++
					if clickhouse.ShardOf(licences[row], shards) != shard {
						t.Fatalf("row %d is on shard %d of %d", row, shard, shards)
					}
				}
			}
		}
		if len(seen) != len(licences) {
			t.Fatalf("%d rows of %d are selected", len(seen), len(licences))
		}
		for row, times := range seen {
			if times != 1 {
				t.Fatalf("row %d is selected %d times", row, times)
			}
		}
	})
}

// What is kept and what is older are all that was selected, whichever way it was.
func TestOlderRowsAreLeftOut(t *testing.T) {
	first := time.Date(2026, 5, 2, 0, 0, 0, 0, time.UTC)
	days := []time.Time{first, first.AddDate(0, 0, -1), first.AddDate(0, 0, 1), first.AddDate(0, 0, -200), first}
	for name, c := range map[string]struct {
		rows        selection
		kept, older []int
	}{
		"of one shard":        {whole(5), []int{0, 2, 4}, []int{1, 3}},
		"of several":          {picked([]int{1, 2, 3}), []int{2}, []int{1, 3}},
		"none of them is old": {picked([]int{0, 2}), []int{0, 2}, nil},
		"all of them are old": {picked([]int{1, 3}), nil, []int{1, 3}},
		"no row":              {whole(0), nil, nil},
	} {
		kept, older := since(first, days, c.rows)
		var rows []int
		for i := range kept.len() {
			rows = append(rows, kept.row(i))
		}
		if !slices.Equal(rows, c.kept) || !slices.Equal(older, c.older) {
			t.Errorf("%s: keeps %v and leaves out %v, want %v and %v", name, rows, older, c.kept, c.older)
		}
	}
}

// Receipts of a partition stand on one shard, and what is refused on none.
func TestReceiptsFollowTheirPartition(t *testing.T) {
	partitions := []int32{0, 1, 2, 3, 4, 5, 0, 1}
	var rows []int
	for _, part := range ofPartitions(partitions, [][2]int{{0, 3}, {4, 8}}, 1, 2) {
		for i := range part.len() {
			rows = append(rows, part.row(i))
		}
	}
	if !slices.Equal(rows, []int{1, 5, 7}) {
		t.Errorf("shard 1 of 2 gets the rows %v", rows)
	}
}
