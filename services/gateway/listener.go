package gateway

import (
	"fmt"
	"net"
	"sync"
)

// boundedListener serves a bounded number of connections at a time; more wait in
// the kernel's queue. netutil.LimitListener does the same but hides CloseWrite from
// the server, which needs it to be heard by a client that is still sending.
type boundedListener struct {
	*net.TCPListener
	slots  chan struct{} // as many places as connections
	closed chan struct{}
	close  func() // closes closed, once
}

func listen(address string, connections int) (*boundedListener, error) {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("gateway: %w", err)
	}
	tcp, ok := listener.(*net.TCPListener)
	if !ok { // "tcp" gives no other
		return nil, fmt.Errorf("gateway: listener is a %T", listener)
	}
	closed := make(chan struct{})
	return &boundedListener{
		TCPListener: tcp, slots: make(chan struct{}, connections), closed: closed,
		close: sync.OnceFunc(func() { close(closed) }),
	}, nil
}

// Accept waits for a place and a connection.
func (l *boundedListener) Accept() (net.Conn, error) {
	select {
	case l.slots <- struct{}{}:
	case <-l.closed:
		return nil, net.ErrClosed
	}
	conn, err := l.AcceptTCP()
	if err != nil {
		<-l.slots
		return nil, err
	}
	return &boundedConn{TCPConn: conn, release: sync.OnceFunc(func() { <-l.slots })}, nil
}

// Close ends Accept too where it waits for a place.
func (l *boundedListener) Close() error {
	l.close()
	return l.TCPListener.Close()
}

type boundedConn struct {
	*net.TCPConn
	release func()
}

// Close gives the connection's place to the next one.
func (c *boundedConn) Close() error {
	defer c.release()
	return c.TCPConn.Close()
}
