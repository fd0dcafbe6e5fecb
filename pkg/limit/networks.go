// Package limit bounds what strangers can take: reports by network, licence keys
// that nobody has seen, memory. Every table has a fixed size.
package limit

import (
	"fmt"
	"math"
	"net/netip"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
	"golang.org/x/time/rate"
)

// Networks limits each network to a rate, in a table of fixed size. A limiter
// that is full again is no different from a new one, so dropping it costs nothing;
// while the table is full of others, newcomers share one limiter: inventing
// networks (an IPv6 /32 has 65,536 of them) buys nobody more than the table holds.
type Networks struct {
	rate  rate.Limit
	burst int
	size  int
	full  time.Duration // after which any limiter is full again

	mu       sync.Mutex
	table    *simplelru.LRU[netip.Addr, *watched]
	overflow *rate.Limiter
}

type watched struct {
	limiter *rate.Limiter
	seen    time.Time
}

// NewNetworks returns limits of perSecond and burst for each network, in a table of
// size networks.
func NewNetworks(perSecond float64, burst, size int) (*Networks, error) {
	table, err := simplelru.NewLRU[netip.Addr, *watched](size, nil)
	if err != nil {
		return nil, fmt.Errorf("table of networks: %w", err)
	}
	limit := rate.Limit(perSecond)
	return &Networks{
		rate: limit, burst: burst, size: size, table: table,
		full:     seconds(float64(burst) / perSecond),
		overflow: rate.NewLimiter(limit, burst),
	}, nil
}

// Take takes n from the network's allowance, or says how long to wait.
func (l *Networks) Take(now time.Time, from netip.Addr, n int) (wait time.Duration, ok bool) {
	limiter := l.limiter(now, from)
	if limiter.AllowN(now, n) {
		return 0, true
	}
	return seconds(float64(n) / float64(l.rate)), false
}

func (l *Networks) limiter(now time.Time, from netip.Addr) *rate.Limiter {
	l.mu.Lock()
	defer l.mu.Unlock()
	if entry, ok := l.table.Get(from); ok {
		entry.seen = now
		return entry.limiter
	}
	if l.table.Len() >= l.size {
		if _, oldest, ok := l.table.GetOldest(); ok && now.Sub(oldest.seen) < l.full {
			return l.overflow
		}
		l.table.RemoveOldest()
	}
	entry := &watched{limiter: rate.NewLimiter(l.rate, l.burst), seen: now}
	l.table.Add(from, entry)
	return entry.limiter
}

// Expire drops the limiters that are full again.
func (l *Networks) Expire(now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for {
		_, oldest, ok := l.table.GetOldest()
		if !ok || now.Sub(oldest.seen) < l.full {
			return
		}
		l.table.RemoveOldest()
	}
}

// Len returns how many networks are watched.
func (l *Networks) Len() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.table.Len()
}

func seconds(s float64) time.Duration {
	return time.Duration(min(s, math.MaxInt32) * float64(time.Second))
}
