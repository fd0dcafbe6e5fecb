package testbed

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"
)

// Proxy forwards TCP connections from a loopback port of its own to a target, and
// can misbehave on purpose. It is safe for concurrent use.
type Proxy struct {
	listener *net.TCPListener
	target   string
	tasks    sync.WaitGroup

	mu          sync.Mutex
	refuse      bool          // new connections are closed at once
	gate        chan struct{} // open (closed channel): bytes flow; else they wait
	delay       time.Duration // before each chunk is passed on
	connections map[*net.TCPConn]struct{}
	closed      chan struct{}
}

// StartProxy listens on a free loopback port and forwards to target (host:port).
func StartProxy(target string) (*Proxy, error) {
	port, err := FreePort()
	if err != nil {
		return nil, err
	}
	listener, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port})
	if err != nil {
		return nil, fmt.Errorf("listen as a proxy: %w", err)
	}
	flowing := make(chan struct{})
	close(flowing)
	p := &Proxy{
		listener: listener, target: target, gate: flowing,
		connections: map[*net.TCPConn]struct{}{}, closed: make(chan struct{}),
	}
	p.tasks.Go(p.accept)
	return p, nil
}

// Address is where the proxy listens, host:port.
func (p *Proxy) Address() string { return p.listener.Addr().String() }

// Cut closes every connection and refuses new ones until Restore.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refuse = true
	p.dropAll()
}

// BlackHole keeps connections open and accepts new ones, but no byte passes until
// Restore; then all that was sent meanwhile does.
func (p *Proxy) BlackHole() {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.gate:
		p.gate = make(chan struct{})
	default: // already closed to traffic
	}
}

// Delay holds each chunk of bytes back, in both directions; 0 ends that.
func (p *Proxy) Delay(delay time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.delay = delay
}

// Drop closes every connection once; new ones are served.
func (p *Proxy) Drop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.dropAll()
}

// Restore ends Cut, BlackHole and Delay.
func (p *Proxy) Restore() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refuse = false
	p.delay = 0
	select {
	case <-p.gate:
	default:
		close(p.gate)
	}
}

// Close ends the proxy and its connections, and waits for them.
func (p *Proxy) Close() error {
	p.mu.Lock()
	select {
	case <-p.closed:
		p.mu.Unlock()
		return nil
	default:
	}
	close(p.closed)
	p.refuse = true
	p.dropAll()
	p.mu.Unlock()
	err := p.listener.Close()
	p.tasks.Wait()
	return err
}

// dropAll closes the connections; the caller holds the mutex.
func (p *Proxy) dropAll() {
	for connection := range p.connections {
		// A reset rather than an orderly end, as a broken network would show it.
		_ = connection.SetLinger(0)
		_ = connection.Close()
	}
	clear(p.connections)
}

func (p *Proxy) accept() {
	for {
		client, err := p.listener.AcceptTCP()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue // that client has gone again
		}
		if !p.register(client) {
			continue
		}
		p.tasks.Go(func() { p.serve(client) })
	}
}

// register remembers the connection, or closes it where none is wanted.
func (p *Proxy) register(connection *net.TCPConn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.refuse {
		_ = connection.Close()
		return false
	}
	p.connections[connection] = struct{}{}
	return true
}

func (p *Proxy) forget(connection *net.TCPConn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.connections, connection)
	_ = connection.Close()
}

func (p *Proxy) serve(client *net.TCPConn) {
	defer p.forget(client)
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	dialled, err := new(net.Dialer).DialContext(ctx, "tcp", p.target)
	if err != nil {
		return
	}
	server, ok := dialled.(*net.TCPConn)
	if !ok || !p.register(server) {
		_ = dialled.Close()
		return
	}
	defer p.forget(server)
	var both sync.WaitGroup
	both.Go(func() { p.copy(server, client) })
	both.Go(func() { p.copy(client, server) })
	both.Wait()
}

// copy passes bytes on until either side ends, and then ends the other.
func (p *Proxy) copy(to, from *net.TCPConn) {
	buffer := make([]byte, 64<<10)
	for {
		n, err := from.Read(buffer)
		if n > 0 {
			if !p.pass() {
				break
			}
			if _, err := to.Write(buffer[:n]); err != nil {
				break
			}
		}
		if err != nil {
			break
		}
	}
	// Only this direction: an answer may still come the other way.
	_ = to.CloseWrite()
	_ = from.CloseRead()
}

// pass waits as long as bytes are held back; false: the proxy was closed meanwhile.
func (p *Proxy) pass() bool {
	p.mu.Lock()
	gate, delay := p.gate, p.delay
	p.mu.Unlock()
	if delay > 0 {
		timer := time.NewTimer(delay)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-p.closed:
			return false
		}
	}
	select {
	case <-gate:
		return true
	case <-p.closed:
		return false
	}
}
