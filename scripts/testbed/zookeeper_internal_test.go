package testbed

import (
	"net"
	"sync/atomic"
	"testing"
	"time"
)

// ZooKeeper takes a connection while it starts and may never answer on it.
func TestZooKeeperIsAskedAnewWhenItLeavesAQuestion(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	var taken atomic.Int32
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			defer conn.Close()
			if taken.Add(1) > 1 {
				_, _ = conn.Write([]byte("Mode: standalone\n"))
				_ = conn.(*net.TCPConn).CloseWrite()
			}
		}
	}()
	if err := awaitServing(t.Context(), listener.Addr().String(), 20*time.Millisecond, func() bool { return true }); err != nil {
		t.Fatal(err)
	}
	if taken.Load() < 2 {
		t.Errorf("it was asked %d times", taken.Load())
	}
}

func TestZooKeeperThatEndedIsNotWaitedFor(t *testing.T) {
	port, err := FreePort()
	if err != nil {
		t.Fatal(err)
	}
	if err := awaitServing(t.Context(), loopback(port), time.Second, func() bool { return false }); err == nil {
		t.Error("a server that ended was said to serve")
	}
}
