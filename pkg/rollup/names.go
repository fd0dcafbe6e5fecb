package rollup

import (
	"context"
	"fmt"

	chgo "github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// NameMetrics gives rows of licence_day that have no metric's name theirs, and returns
// how many there were: days computed before rows had names, or by a release that does not write
// them. Frozen ones are among them, which nothing computes again. It goes by ids alone
// and changes no number.
func NameMetrics(ctx context.Context, conn driver.Conn) (uint64, error) {
	var nameless uint64
	if err := conn.QueryRow(ctx, "SELECT count() FROM licence_day WHERE source = '' AND metric = ''").Scan(&nameless); err != nil {
		return 0, fmt.Errorf("look for rows without a metric's name: %w", err)
	}
	if nameless == 0 {
		return 0, nil
	}
	var (
		ids   []uint16
		names []string
	)
	if err := conn.QueryRow(ctx, "SELECT groupArray(metric_id), groupArray(name) FROM metrics FINAL").Scan(&ids, &names); err != nil {
		return 0, fmt.Errorf("read the names of metrics: %w", err)
	}
	const update = `ALTER TABLE licence_day UPDATE metric = transform(metric_id, {ids:Array(UInt16)}, {names:Array(String)}, '') WHERE source = '' AND metric = ''`
	waiting := chgo.Context(ctx, chgo.WithSettings(chgo.Settings{"mutations_sync": 1}))
	if err := conn.Exec(waiting, update, chgo.Named("ids", ids), chgo.Named("names", names)); err != nil {
		return 0, fmt.Errorf("name the metrics of rows: %w", err)
	}
	return nameless, nil
}
