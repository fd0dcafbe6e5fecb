package testbed_test

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"rollcall/scripts/testbed"
)

// A backend gets connections once it has been ready for the lag, and none once it has
// been unready for it; a connection that it has stays.
func TestBalancer(t *testing.T) {
	var ready atomic.Bool
	ready.Store(true)
	readiness := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if !ready.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	defer readiness.Close()
	const lag = 200 * time.Millisecond
	began := time.Now()
	balancer, err := testbed.StartBalancer(testbed.BalancerOptions{
		Backends: []testbed.Backend{{Address: echo(t), ReadyURL: readiness.URL}}, Period: 20 * time.Millisecond, Lag: lag,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := balancer.Close(); err != nil {
			t.Error(err)
		}
	}()
	await(t, "the backend to be in", func() bool { return balancer.In(0) })
	if took := time.Since(began); took < lag {
		t.Errorf("in after %v", took)
	}
	kept := dialled(t, balancer.Address())
	if !echoes(kept) {
		t.Fatal("no connection to a backend that is in")
	}
	began = time.Now()
	ready.Store(false)
	if !echoes(dialled(t, balancer.Address())) {
		t.Error("no connection before anybody can know")
	}
	await(t, "the backend to be out", func() bool { return !balancer.In(0) })
	if took := time.Since(began); took < lag {
		t.Errorf("out after %v", took)
	}
	if echoes(dialled(t, balancer.Address())) {
		t.Error("a connection without a backend answers")
	}
	if !echoes(kept) {
		t.Error("a connection that stood was cut")
	}
}

func dialled(t *testing.T, address string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

func echoes(conn net.Conn) bool {
	_ = conn.SetDeadline(time.Now().Add(5 * time.Second)) // it fails as the read does
	if _, err := conn.Write([]byte("x")); err != nil {
		return false
	}
	_, err := io.ReadFull(conn, make([]byte, 1))
	return err == nil
}
