package audit

import (
	"context"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/twmb/franz-go/pkg/kadm"
)

// Pauses between two looks of Settled: short for a pipeline that has nearly drained, and
// long enough not to be a load on one that is far behind.
const (
	shortestPause = 100 * time.Millisecond
	longestPause  = 10 * time.Second
)

// Reach returns the end offset of each partition of reports.raw: one past its newest.
func Reach(ctx context.Context, admin *kadm.Client) (map[int32]int64, error) {
	bounds, _, err := readTopic(ctx, admin)
	if err != nil {
		return nil, err
	}
	ends := map[int32]int64{}
	for _, p := range bounds {
		ends[p.Partition] = p.End
	}
	return ends, nil
}

// Settled audits up to opts.Ends, which Reach returns, again and again until nothing is
// missing there, for as long as limit. What came before the ends has that long to get its
// receipt; what comes meanwhile is not looked at. The last report is returned, whatever
// it says.
func Settled(ctx context.Context, admin *kadm.Client, conn driver.Conn, opts Options, limit time.Duration) (*Report, error) {
	last := time.NewTimer(limit)
	defer last.Stop()
	for pause := shortestPause; ; pause = min(2*pause, longestPause) {
		report, err := Audit(ctx, admin, conn, opts)
		if err != nil || report.OK() {
			return report, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-last.C:
			return report, nil
		case <-time.After(pause):
		}
	}
}
