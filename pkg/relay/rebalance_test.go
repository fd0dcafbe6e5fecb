package relay

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
)

// A second member joins, and later the first leaves, in mid-stream: each hands over
// what it has finished, so nothing is lost and nothing is even handled twice.
func TestRebalanceHandsOverFinishedWork(t *testing.T) {
	b := newBench(t)
	b.fill(0, 1000)
	cfg := config()
	cfg.CommitInterval = time.Hour // only handing over commits
	cfg.ProducerLinger = 30 * time.Millisecond
	var first, second atomic.Int64
	counting := func(n *atomic.Int64) copier {
		return copier{before: func(context.Context, *kgo.Record, *Subject) error { n.Add(1); return nil }}
	}
	a := b.start(cfg, counting(&first))
	b.until("the first member is at work", func() bool { return first.Load() > 100 })
	c := b.start(cfg, counting(&second))
	records := 1000
	stream := func() {
		b.fill(records, records+20)
		records += 20
	}
	b.until("the second member is at work", func() bool { stream(); return second.Load() > 100 })
	a.stop()
	b.until("the first member has left", func() bool {
		stream()
		select {
		case err := <-a.ended:
			a.ended <- err
			return true
		default:
			return false
		}
	})
	a.mustStop()
	by := b.numbers(outTopic, records)
	c.mustStop()
	inOrderOnce(t, by)
	if n := first.Load() + second.Load(); n != int64(records) {
		t.Errorf("%d records were handled in all, want %d", n, records)
	}
	if diff := cmp.Diff(wholeCommit(records), b.committed()); diff != "" {
		t.Errorf("committed offsets (-want +got):\n%s", diff)
	}
}

// severable is a network that can be cut for good, which is how a killed process
// looks from the broker.
type severable struct {
	mu    sync.Mutex
	cut   bool
	conns []net.Conn
}

func (s *severable) dial(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cut || err != nil {
		if conn != nil {
			_ = conn.Close()
		}
		return nil, errors.New("cut")
	}
	s.conns = append(s.conns, conn)
	return conn, nil
}

func (s *severable) sever() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cut = true
	for _, conn := range s.conns {
		_ = conn.Close()
	}
}

func TestKilledMemberLosesNothing(t *testing.T) {
	b := newBench(t, kfake.GroupMinSessionTimeout(100*time.Millisecond))
	const records = 2000
	b.fill(0, records)
	cfg := config()
	cfg.SessionTimeout, cfg.DrainTimeout = 500*time.Millisecond, 100*time.Millisecond
	var handled atomic.Int64
	wire := &severable{}
	killed := b.start(cfg, copier{before: func(context.Context, *kgo.Record, *Subject) error {
		if handled.Add(1) == records/2 {
			wire.sever()
		}
		return nil
	}}, kgo.Dialer(wire.dial))
	b.until("the first member is cut off in mid-stream", func() bool { return handled.Load() >= records/2 })
	heir := b.start(cfg, copier{})
	inOrderOnce(t, distinct(b.numbers(outTopic, records)))
	b.until("all is committed", func() bool { return cmp.Equal(b.committed(), wholeCommit(records)) })
	heir.mustStop()
	killed.stop()
	_ = killed.wait() // it cannot say farewell, and says so
}
