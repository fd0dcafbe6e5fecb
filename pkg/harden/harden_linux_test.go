package harden

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// systemRoles are what children do that only this system can.
func systemRoles() map[string]func() error {
	return map[string]func() error{"protect": protect, "quit": func() error {
		stop := OnQuit(os.Stderr)
		defer stop()
		wait([4]byte{203, 0, 113, 77}, make(chan struct{}))
		return nil
	}}
}

func protect() error {
	before, err := unix.PrctlRetInt(unix.PR_GET_DUMPABLE, 0, 0, 0, 0)
	if err != nil {
		return err
	}
	granted, err := Process()
	if err != nil {
		return err
	}
	after, err := unix.PrctlRetInt(unix.PR_GET_DUMPABLE, 0, 0, 0, 0)
	if err != nil {
		return err
	}
	var core unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_CORE, &core); err != nil {
		return err
	}
	fmt.Printf("dumpable %d, then %d; core %d of %d; %+v\n", before, after, core.Cur, core.Max, granted)
	return nil
}

//go:noinline
func wait(_ [4]byte, forEver chan struct{}) {
	fmt.Println("ready")
	<-forEver
}

func TestProcess(t *testing.T) {
	want := "dumpable 1, then 0; core 0 of 0; {NoCore:true Undumpable:true}\n"
	if said, code := child(t, "protect"); said != want || code != 0 {
		t.Errorf("exit %d, %q, want %q", code, said, want)
	}
}

// TestQuitShowsNoArguments: SIGQUIT still tells where every goroutine stands.
func TestQuitShowsNoArguments(t *testing.T) {
	command := exec.CommandContext(t.Context(), os.Args[0])
	command.Env = append(os.Environ(), envRole+"=quit")
	var said strings.Builder
	command.Stderr = &said
	out, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "ready\n" {
		t.Fatalf("%q, %v", line, err)
	}
	if err := command.Process.Signal(syscall.SIGQUIT); err != nil {
		t.Fatal(err)
	}
	_ = command.Wait() // its code says how it ended
	if code := command.ProcessState.ExitCode(); code != exitQuit {
		t.Errorf("exit %d, want %d", code, exitQuit)
	}
	if text := said.String(); !strings.Contains(text, "harden.wait") || strings.Contains(text, "0xcb, ") || strings.Contains(text, "wait(") {
		t.Errorf("said: %s", text)
	}
}
