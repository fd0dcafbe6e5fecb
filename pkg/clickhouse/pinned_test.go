package clickhouse_test

import (
	"context"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"rollcall/pkg/clickhouse"
	"rollcall/pkg/telemetry"
)

// replicas are servers that hang up on whoever calls, and tell who was called.
type replicas struct {
	mu        sync.Mutex
	addresses []string
	called    []int // the same one several times in a row counts once
}

func startReplicas(t *testing.T, number int) *replicas {
	t.Helper()
	r := &replicas{}
	var (
		running   sync.WaitGroup
		listeners []net.Listener
	)
	t.Cleanup(func() {
		for _, listener := range listeners {
			_ = listener.Close()
		}
		running.Wait()
	})
	for i := range number {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		listeners = append(listeners, listener)
		r.addresses = append(r.addresses, listener.Addr().String())
		running.Go(func() {
			for {
				conn, err := listener.Accept()
				if err != nil {
					return
				}
				r.mu.Lock()
				if n := len(r.called); n == 0 || r.called[n-1] != i {
					r.called = append(r.called, i)
				}
				r.mu.Unlock()
				_ = conn.Close()
			}
		})
	}
	return r
}

func (r *replicas) since() []int {
	r.mu.Lock()
	defer r.mu.Unlock()
	called := slices.Clone(r.called)
	r.called = nil
	return called
}

// A call goes to one replica; the next one goes to the next only where it failed.
func TestPinnedDialsOneReplicaACall(t *testing.T) {
	servers := startReplicas(t, 3)
	cfg := clickhouse.Config{
		Addresses: servers.addresses, Database: "rollcall", User: "default", DialTimeout: time.Minute, ReadTimeout: time.Minute,
		Cluster: clickhouse.Cluster{Name: "main", Shards: []string{servers.addresses[0] + " " + servers.addresses[1] + " " + servers.addresses[2]}, Replicated: true},
	}
	shards, err := clickhouse.PinShards(cfg, telemetry.Discard())
	if err != nil || len(shards) != 1 {
		t.Fatalf("%d shards, error %v", len(shards), err)
	}
	defer func() {
		if err := clickhouse.CloseAll(shards); err != nil {
			t.Error(err)
		}
	}()
	pinned, ok := shards[0].(*clickhouse.Pinned)
	if !ok {
		t.Fatalf("a shard is %T", shards[0])
	}
	apart := pinned.Apart()
	fails := func(want int, err error) {
		t.Helper()
		if err == nil {
			t.Error("a server that hangs up answered")
		}
		if diff := cmp.Diff([]int{want}, servers.since()); diff != "" {
			t.Errorf("replicas called (-want +got):\n%s", diff)
		}
	}
	fails(0, pinned.Exec(t.Context(), "SELECT 1"))
	fails(1, pinned.Select(t.Context(), &[]struct{}{}, "SELECT 1"))
	fails(2, pinned.QueryRow(t.Context(), "SELECT 1").Err())
	_, err = pinned.Query(t.Context(), "SELECT 1")
	fails(0, err)
	_, err = pinned.PrepareBatch(t.Context(), "INSERT INTO t")
	fails(1, err)
	fails(0, apart.Exec(t.Context(), "SELECT 1")) // which has failed on none yet
	ended, end := context.WithCancel(t.Context())
	end()
	if err := pinned.Exec(ended, "SELECT 1"); err == nil {
		t.Error("a call that was cut short succeeded")
	}
	servers.since()
	fails(2, pinned.Exec(t.Context(), "SELECT 1")) // still the one after the last failure
}

// One server's pool is left as it is.
func TestOneServerIsNotPinned(t *testing.T) {
	shards, err := clickhouse.PinShards(clickhouse.Config{Addresses: []string{"ch-1:9000", "ch-2:9000"}, Database: "rollcall"}, telemetry.Discard())
	if err != nil || shards != nil {
		t.Errorf("%v, error %v", shards, err)
	}
}
