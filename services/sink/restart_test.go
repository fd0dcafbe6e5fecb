//go:build embedded

package sink

import (
	"net"
	"strconv"
	"testing"
	"time"

	"rollcall/pkg/clickhouse"
	"rollcall/pkg/clickhouse/clickhousetest"
	"rollcall/pkg/localclickhouse"
	"rollcall/pkg/topics"
)

// ClickHouse is killed in the middle, twice, and comes back: what it had acknowledged
// is there, the rest comes again, and nothing counts twice.
func TestClickHouseIsKilled(t *testing.T) {
	options := localclickhouse.Options{Dir: t.TempDir(), Databases: []string{"killed"}}
	server, err := localclickhouse.Start(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Kill() })
	_, port, err := net.SplitHostPort(server.Address())
	if err != nil {
		t.Fatal(err)
	}
	if options.TCPPort, err = strconv.Atoi(port); err != nil {
		t.Fatal(err)
	}
	w := newWorld(t)
	cfg := clickhouse.Config{Addresses: []string{server.Address()}, User: "default", Database: "killed", DialTimeout: 30 * time.Second, ReadTimeout: 10 * time.Second}
	if _, err := clickhouse.Migrate(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	w.conn, w.private = clickhousetest.Open(t, cfg), cfg.Restricted()
	w.start(testConfig(), w.conn)
	const reports, step = 3000, 1000
	for n := 0; n < reports; n += step {
		w.produceUsage(n, n+step/2)
		w.awaitReceipts(uint64(n + 1)) // under way
		w.produceUsage(n+step/2, n+step)
		if n+step == reports {
			break
		}
		server.Kill()
		<-server.Done()
		if server, err = localclickhouse.Start(t.Context(), options); err != nil {
			t.Fatal(err)
		}
	}
	w.awaitReceipts(reports)
	for p := range int32(usagePartitions) {
		w.eventually("all is committed", func() bool { return w.committed(topics.Usage, p) == reports/usagePartitions })
	}
	w.settle()
	w.wantSum("v1_licence_day", reports)
	w.wantSum("v1_licence_day_live", reports)
}
