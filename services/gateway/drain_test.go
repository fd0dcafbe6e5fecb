package gateway

import (
	"net"
	"net/http"
	"runtime"
	"testing"
	"time"
)

func TestDrain(t *testing.T) {
	b := start(t)
	held, release := b.hold()
	answered := b.postAside(avroOf(t, testReport()))
	<-held
	b.stop()
	// The listener closes first; what is in flight waits for its acknowledgement.
	deadline := time.Now().Add(time.Minute)
	for {
		conn, err := net.Dial("tcp", b.service.Addr().String())
		if err != nil {
			break
		}
		_ = conn.Close()
		if time.Now().After(deadline) {
			t.Fatal("the listener stays open")
		}
	}
	if b.checks.Failing()["gateway"] == "" {
		t.Error("ready while it stops")
	}
	select {
	case err := <-b.done:
		t.Fatalf("Run returned %v with a request in flight", err)
	case <-time.After(50 * time.Millisecond):
	}
	release()
	if got := <-answered; got.status != http.StatusAccepted {
		t.Errorf("in flight: %d %s", got.status, got.body)
	}
	err := <-b.done
	if err != nil {
		t.Errorf("Run: %v", err)
	}
	b.done <- nil
	b.records(1)
}

// At a stop the gateway is unready at once, takes reports for the shutdown delay, ends
// connections with their next answer, and only then takes no more.
func TestShutdownDelay(t *testing.T) {
	for range 5 { // on a machine that pauses through a delay nothing is seen of it
		if seesShutdownDelay(t) {
			return
		}
	}
	t.Error("ready, or no report taken, through five shutdown delays")
}

// seesShutdownDelay stops a gateway. It reports whether a report was taken after readiness
// ended and before the delay was over.
func seesShutdownDelay(t *testing.T) bool {
	t.Helper()
	const delay = time.Second
	b := start(t, config(func(c *Config) { c.ShutdownDelay = delay }))
	body := avroOf(t, testReport())
	if got := b.post(body); got.status != http.StatusAccepted || got.closes {
		t.Fatalf("before: %d, closes %t", got.status, got.closes)
	}
	began := time.Now()
	b.stop()
	for b.checks.Failing()["gateway"] == "" && time.Since(began) < delay {
		runtime.Gosched()
	}
	seen := false
	for time.Since(began) < delay/2 {
		response, err := b.http.Do(b.request(body))
		if err != nil {
			if time.Since(began) < delay {
				t.Fatalf("within the delay: %v", err)
			}
			break
		}
		if got := readReply(t, response); got.status != http.StatusAccepted || !got.closes {
			t.Fatalf("%v after the stop: %d %s, closes %t", time.Since(began), got.status, got.body, got.closes)
		}
		seen = true
	}
	if err := <-b.done; err != nil {
		t.Errorf("Run: %v", err)
	}
	b.done <- nil
	if took := time.Since(began); took < delay {
		t.Errorf("it ended after %v", took)
	}
	if conn, err := net.Dial("tcp", b.service.Addr().String()); err == nil {
		conn.Close()
		t.Error("the listener is open after the end")
	}
	return seen
}

func TestDrainTimesOut(t *testing.T) {
	b := start(t, func(_ *bench, s *setup) { s.drain = 50 * time.Millisecond })
	held, release := b.hold()
	failed := make(chan struct{})
	go func() {
		defer close(failed)
		if response, err := b.http.Do(b.request(avroOf(t, testReport()))); err == nil {
			_ = response.Body.Close()
			t.Errorf("answered %d", response.StatusCode)
		}
	}()
	<-held
	b.stop()
	if err := <-b.done; err == nil {
		t.Error("Run says nothing of a request that it cut off")
	}
	b.done <- nil
	<-failed
	release()
}
