package testbed

import (
	"context"
	"math/rand/v2"
	"sync/atomic"
	"time"
)

// Backend is a server behind a Balancer.
type Backend struct {
	Address  string // host:port
	ReadyURL string // answers 200 while connections are welcome
}

// BalancerOptions say what stands behind a balancer and how soon it notices changes.
type BalancerOptions struct {
	Backends []Backend
	// Period lies between two questions whether a backend is ready.
	Period time.Duration
	// Lag is how long an answer takes until connections heed it.
	Lag time.Duration
}

// Balancer gives each TCP connection to one of the backends that were ready a while ago,
// as a Kubernetes Service does: a connection stays where it is, and one that meets a
// backend which has gone meanwhile fails; it is given to no other.
type Balancer struct {
	proxy    *Proxy
	options  BalancerOptions
	backends []*backend
	stop     context.CancelFunc
}

type backend struct {
	Backend
	in atomic.Bool
}

// StartBalancer listens on a free loopback port. Backends get connections once they have
// been found ready.
func StartBalancer(o BalancerOptions) (*Balancer, error) {
	ctx, stop := context.WithCancel(context.Background())
	b := &Balancer{options: o, stop: stop}
	for _, of := range o.Backends {
		b.backends = append(b.backends, &backend{Backend: of})
	}
	var err error
	if b.proxy, err = startProxy(b.pick, nil); err != nil {
		stop()
		return nil, err
	}
	for _, of := range b.backends {
		b.proxy.tasks.Go(func() { b.watch(ctx, of) })
	}
	return b, nil
}

// Address is where the balancer listens, host:port.
func (b *Balancer) Address() string { return b.proxy.Address() }

// In says whether backend n, from 0, gets connections.
func (b *Balancer) In(n int) bool { return b.backends[n].in.Load() }

// Close ends the balancer and its connections, and waits for them.
func (b *Balancer) Close() error {
	b.stop()
	return b.proxy.Close()
}

// pick returns one of the backends that are in, by chance.
func (b *Balancer) pick() (string, bool) {
	var in []*backend
	for _, of := range b.backends {
		if of.in.Load() {
			in = append(in, of)
		}
	}
	if len(in) == 0 {
		return "", false
	}
	return in[rand.IntN(len(in))].Address, true
}

// watch keeps what connections may know of one backend, until ctx ends.
func (b *Balancer) watch(ctx context.Context, of *backend) {
	type finding struct {
		heeded time.Time
		ready  bool
	}
	var findings []finding // not heeded yet, oldest first
	ticker := time.NewTicker(b.options.Period)
	defer ticker.Stop()
	for {
		ready := probe(ctx, of.ReadyURL, nil) == nil
		findings = append(findings, finding{time.Now().Add(b.options.Lag), ready})
		for len(findings) > 0 && !time.Now().Before(findings[0].heeded) {
			of.in.Store(findings[0].ready)
			findings = findings[1:]
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}
