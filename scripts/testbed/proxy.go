package testbed

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"
)

// Proxy forwards TCP connections from a loopback port of its own to a target, and
// can be cut on purpose. It is safe for concurrent use.
type Proxy struct {
	listener *net.TCPListener
	target   func() (address string, ok bool) // of the next connection
	tls      *tls.Config                      // with clients; nil: none
	tasks    sync.WaitGroup

	mu          sync.Mutex
	refuse      bool // new connections are closed at once
	connections map[*net.TCPConn]struct{}
}

// StartProxy listens on a free loopback port and forwards to target (host:port).
func StartProxy(target string) (*Proxy, error) {
	return startProxy(func() (string, bool) { return target, true }, nil)
}

// startProxy forwards each connection to what target says; where that is nothing, the
// connection is closed at once. Where config is not nil, clients must speak TLS.
func startProxy(target func() (string, bool), config *tls.Config) (*Proxy, error) {
	port, err := FreePort()
	if err != nil {
		return nil, err
	}
	listener, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port})
	if err != nil {
		return nil, fmt.Errorf("listen as a proxy: %w", err)
	}
	p := &Proxy{listener: listener, target: target, tls: config, connections: map[*net.TCPConn]struct{}{}}
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

// Restore ends Cut.
func (p *Proxy) Restore() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refuse = false
}

// Close ends the proxy and its connections, and waits for them.
func (p *Proxy) Close() error {
	p.Cut()
	err := p.listener.Close()
	if errors.Is(err, net.ErrClosed) {
		err = nil // it was closed before
	}
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
	target, ok := p.target()
	if !ok {
		return
	}
	dialled, err := new(net.Dialer).DialContext(ctx, "tcp", target)
	if err != nil {
		return
	}
	server, ok := dialled.(*net.TCPConn)
	if !ok || !p.register(server) {
		_ = dialled.Close()
		return
	}
	defer p.forget(server)
	var front half = client
	if p.tls != nil {
		front = tls.Server(client, p.tls)
	}
	var both sync.WaitGroup
	both.Go(func() { p.copy(server, front) })
	both.Go(func() { p.copy(front, server) })
	both.Wait()
}

// half is a connection of which one direction can end before the other.
type half interface {
	net.Conn
	CloseWrite() error
}

// copy passes bytes on until either side ends, and then ends the other.
func (p *Proxy) copy(to, from half) {
	buffer := make([]byte, 64<<10)
	for {
		n, err := from.Read(buffer)
		if n > 0 {
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
	if tcp, ok := from.(*net.TCPConn); ok {
		_ = tcp.CloseRead()
	}
}
