package sink

import (
	"slices"
	"testing"

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
