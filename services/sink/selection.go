package sink

import (
	"time"

	"github.com/google/uuid"

	"rollcall/pkg/clickhouse"
)

// selection is the rows that one insert is about: those from ≤ i < end, or, where at is
// not nil, the rows at[i].
type selection struct {
	from, end int
	at        []int
}

func (s selection) len() int { return s.end - s.from }

// row is the number of the selection's row i in its columns.
func (s selection) row(i int) int {
	if s.at == nil {
		return s.from + i
	}
	return s.at[s.from+i]
}

// cut is the selection's rows from ≤ i < end.
func (s selection) cut(from, end int) selection {
	return selection{from: s.from + from, end: s.from + end, at: s.at}
}

// whole is the first rows.
func whole(rows int) selection { return selection{end: rows} }

// picked is those rows.
func picked(at []int) selection { return selection{end: len(at), at: at} }

// ofLicences is the rows whose licence is on that shard.
func ofLicences(licences []uuid.UUID, shard, shards int) selection {
	if shards == 1 {
		return whole(len(licences))
	}
	at := []int{}
	for row, licence := range licences {
		if clickhouse.ShardOf(licence, shards) == shard {
			at = append(at, row)
		}
	}
	return picked(at)
}

// since is the selected rows of the first day and later, and the numbers of the others.
func since(first time.Time, days []time.Time, rows selection) (kept selection, older []int) {
	for i := range rows.len() {
		if row := rows.row(i); days[row].Before(first) {
			older = append(older, row)
		}
	}
	if len(older) == 0 {
		return rows, nil
	}
	at := make([]int, 0, rows.len()-len(older))
	for i := range rows.len() {
		if row := rows.row(i); !days[row].Before(first) {
			at = append(at, row)
		}
	}
	return picked(at), older
}

// ofPartitions is the rows within ranges whose partition is on that shard.
func ofPartitions(partitions []int32, ranges [][2]int, shard, shards int) []selection {
	var parts []selection
	if shards == 1 {
		for _, r := range ranges {
			parts = append(parts, selection{from: r[0], end: r[1]})
		}
		return parts
	}
	at := []int{}
	for _, r := range ranges {
		for row := r[0]; row < r[1]; row++ {
			if clickhouse.ShardOfPartition(partitions[row], shards) == shard {
				at = append(at, row)
			}
		}
	}
	if len(at) > 0 {
		parts = append(parts, picked(at))
	}
	return parts
}

func wholeRange(rows int) [][2]int {
	if rows == 0 {
		return nil
	}
	return [][2]int{{0, rows}}
}
