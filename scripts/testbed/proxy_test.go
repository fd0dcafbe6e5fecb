package testbed_test

import (
	"bufio"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"rollcall/scripts/testbed"
)

// echo answers each line with the same line, until the test ends.
func echo(t *testing.T) (address string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				_, _ = io.Copy(conn, conn) // ends with the connection
			}()
		}
	}()
	return listener.Addr().String()
}

func startProxy(t *testing.T) *testbed.Proxy {
	t.Helper()
	proxy, err := testbed.StartProxy(echo(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := proxy.Close(); err != nil {
			t.Error(err)
		}
	})
	return proxy
}

type connection struct {
	net.Conn
	lines *bufio.Reader
}

func dial(t *testing.T, proxy *testbed.Proxy) *connection {
	t.Helper()
	conn, err := net.Dial("tcp", proxy.Address())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return &connection{conn, bufio.NewReader(conn)}
}

// exchange sends a line and waits at most that long for it to come back.
func (c *connection) exchange(limit time.Duration) error {
	if err := c.SetDeadline(time.Now().Add(limit)); err != nil {
		return err
	}
	if _, err := io.WriteString(c, "line\n"); err != nil {
		return err
	}
	_, err := c.lines.ReadString('\n')
	return err
}

const patience = 10 * time.Second

func TestProxyCutsAndRestores(t *testing.T) {
	proxy := startProxy(t)
	before := dial(t, proxy)
	if err := before.exchange(patience); err != nil {
		t.Fatal(err)
	}
	proxy.Cut()
	if err := before.exchange(patience); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("an open connection over a cut: %v", err)
	}
	if err := dial(t, proxy).exchange(patience); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a new connection during a cut: %v", err)
	}
	proxy.Restore()
	after := dial(t, proxy)
	if err := after.exchange(patience); err != nil {
		t.Errorf("after the cut: %v", err)
	}
}

func TestProxyToNowhereHangsUp(t *testing.T) {
	port, err := testbed.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	proxy, err := testbed.StartProxy(net.JoinHostPort("127.0.0.1", itoa(port)))
	if err != nil {
		t.Fatal(err)
	}
	if err := dial(t, proxy).exchange(patience); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("to nowhere: %v", err)
	}
	if err := proxy.Close(); err != nil {
		t.Error(err)
	}
	if err := proxy.Close(); err != nil {
		t.Errorf("closed twice: %v", err)
	}
}
