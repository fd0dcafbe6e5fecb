package testbed_test

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"rollcall/scripts/testbed"
)

func itoa(n int) string { return strconv.Itoa(n) }

func shell(t *testing.T, script, readyURL string) *testbed.Process {
	t.Helper()
	process := testbed.NewProcess(testbed.ProcessOptions{
		Name: "shell", Binary: "/bin/sh", Args: []string{"-c", script},
		LogPath: filepath.Join(t.TempDir(), "log"), ReadyURL: readyURL,
	})
	t.Cleanup(process.Kill)
	return process
}

func TestProcessAddsUpItsLives(t *testing.T) {
	ctx := bounded(t)
	// Burns CPU until it is told to end.
	process := shell(t, `trap 'exit 0' TERM; echo life; while :; do :; done`, "")
	var before time.Duration
	for life := range 3 {
		if err := process.Start(ctx); err != nil {
			t.Fatal(err)
		}
		if err := process.Launch(); err == nil {
			t.Error("a running process was started again")
		}
		awaitCPU(t, process, before+200*time.Millisecond)
		if life == 0 {
			process.Kill()
		} else if err := process.Stop(ctx); err != nil {
			t.Fatal(err)
		}
		usage, err := process.Usage()
		if err != nil {
			t.Fatal(err)
		}
		if usage.CPU < before+200*time.Millisecond || usage.PeakBytes < 100<<10 || usage.ResidentBytes != 0 {
			t.Errorf("after life %d: %+v", life+1, usage)
		}
		before = usage.CPU
	}
	if process.Running() || process.Starts() != 3 {
		t.Errorf("running %v, started %d times", process.Running(), process.Starts())
	}
	if log, err := os.ReadFile(process.LogPath()); err != nil || strings.Count(string(log), "life") != 3 {
		t.Errorf("log %q, %v", log, err)
	}
}

// awaitCPU returns once the process has used that much.
func awaitCPU(t *testing.T, process *testbed.Process, want time.Duration) {
	t.Helper()
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	deadline := time.After(time.Minute)
	for {
		usage, err := process.Usage()
		if err != nil {
			t.Fatal(err)
		}
		if usage.CPU >= want {
			return
		}
		select {
		case <-ticker.C:
		case <-deadline:
			t.Fatalf("used %v within a minute, want %v", usage.CPU, want)
		}
	}
}

func TestProcessThatEndsBeforeItIsReadySaysWhy(t *testing.T) {
	process := shell(t, "echo out of luck; exit 3", "http://127.0.0.1:1/readyz")
	err := process.Start(bounded(t))
	if err == nil || !strings.Contains(err.Error(), "out of luck") || !strings.Contains(err.Error(), "exit status 3") {
		t.Errorf("Start = %v", err)
	}
}

func TestProcessIsReadyWhenItsURLSaysSo(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	asked := make(chan struct{}, 1000) // more than are asked: the handler never waits
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked <- struct{}{}
		if len(asked) < 3 {
			w.WriteHeader(http.StatusServiceUnavailable)
			_, _ = fmt.Fprint(w, "not yet") // a client that has gone is no concern
		}
	})}
	go func() { _ = server.Serve(listener) }() // ends with Close
	defer server.Close()
	process := shell(t, "exec sleep 60", "http://"+listener.Addr().String())
	if err := process.Start(bounded(t)); err != nil {
		t.Fatal(err)
	}
	if len(asked) < 3 {
		t.Errorf("ready after %d questions, want 3", len(asked))
	}
	process.Kill()
	if err := process.Ready(t.Context()); err == nil {
		t.Error("a killed process is ready")
	}
}

func TestProcessThatFailsToStopInOrderIsReported(t *testing.T) {
	ctx := bounded(t)
	process := shell(t, "trap 'exit 4' TERM; echo up; while :; do :; done", "")
	if err := process.Start(ctx); err != nil {
		t.Fatal(err)
	}
	awaitCPU(t, process, 50*time.Millisecond) // the trap stands by then
	if err := process.Stop(ctx); err == nil || !strings.Contains(err.Error(), "exit status 4") {
		t.Errorf("Stop = %v", err)
	}
}
