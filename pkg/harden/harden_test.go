package harden

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"runtime/debug"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

const envRole = "HARDEN_TEST_ROLE"

// payload is what must never be said.
const payload = "person@secret.example"

// roles are what this binary does as a child.
func roles() map[string]func() error {
	roles := map[string]func() error{
		"panic":             Guard(func() error { panic("cannot read " + payload) }),
		"panic of an error": Guard(func() error { panic(errors.New(payload)) }),
		"handler":           func() error { return abortIn(func() { panic(fmt.Sprintf("%q", payload)) }) },
		"nothing guarded":   func() error { panic("cannot read " + payload) }, // the control
	}
	maps.Copy(roles, systemRoles())
	return roles
}

func TestMain(m *testing.M) {
	if role := os.Getenv(envRole); role != "" {
		if err := roles()[role](); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	goleak.VerifyTestMain(m)
}

// child runs this binary in a role and returns what it wrote and its exit code.
func child(t *testing.T, role string) (said string, code int) {
	t.Helper()
	command := exec.CommandContext(t.Context(), os.Args[0])
	command.Env = append(os.Environ(), envRole+"="+role)
	out, err := command.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return string(out), command.ProcessState.ExitCode()
}

// TestPanicsOfAProcessQuoteNothing: what a process says when it panics with a payload
// is where and of which type, in a real process.
func TestPanicsOfAProcessQuoteNothing(t *testing.T) {
	for role, want := range map[string]string{"panic": "a string", "panic of an error": "a *errors.errorString", "handler": "a string"} {
		said, code := child(t, role)
		if strings.Contains(said, payload) || code == 0 {
			t.Errorf("%s: exit %d, said %q", role, code, said)
		}
		if !strings.Contains(said, "panicked: "+want) || !strings.Contains(said, "harden/harden_test.go:") {
			t.Errorf("%s: it does not say what happened and where: %q", role, said)
		}
	}
	if said, _ := child(t, "nothing guarded"); !strings.Contains(said, payload) {
		t.Errorf("the control says nothing: %q", said)
	}
}

// abortIn lets a handler of a real server panic, and returns what was told of it.
func abortIn(panics func()) error {
	var told error
	server := httptest.NewUnstartedServer(Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panics() }), func(e *PanicError) { told = e }))
	server.Config.ErrorLog = nil // net/http's own words go to standard error
	server.Start()
	defer server.Close()
	response, err := server.Client().Get(server.URL)
	if err == nil {
		_ = response.Body.Close()
		return errors.New("the connection did not break")
	}
	server.Close() // the handler has ended
	return told
}

//go:noinline
func locate(address [4]byte) error { panic(fmt.Sprint(payload, address)) }

// TestStacksHaveNoArguments: an address that was passed by value stands in a stack of
// the runtime, in hexadecimal; in ours it does not.
func TestStacksHaveNoArguments(t *testing.T) {
	address, hexadecimal := [4]byte{203, 0, 113, 77}, "0xcb, 0x0, 0x71, 0x4d"
	var plain string
	err := func() (err error) {
		defer func() {
			if value := recover(); value != nil {
				plain, err = string(debug.Stack()), Panicked(value)
			}
		}()
		return locate(address)
	}()
	if !strings.Contains(plain, hexadecimal) {
		t.Fatal("the control: the runtime's stack has no address in it")
	}
	var told *PanicError
	if !errors.As(err, &told) || strings.Contains(err.Error(), hexadecimal) || strings.Contains(err.Error(), "203 0 113") {
		t.Fatalf("%v", err)
	}
	if len(told.Frames) == 0 || !strings.HasPrefix(told.Frames[0], "rollcall/pkg/harden.locate (harden/harden_test.go:") {
		t.Errorf("the innermost frame is not where it happened: %q", told.Frames)
	}
}

// quoting calls itself an error of the runtime.
type quoting struct{}

func (quoting) RuntimeError() {}
func (quoting) Error() string { return payload }

func nilMap() map[string]int { return nil }

func TestWhatIsSaid(t *testing.T) {
	for _, test := range []struct {
		panics func()
		want   string
	}{
		{func() { panic(payload) }, "a string"},
		{func() { panic(fmt.Errorf("read %w", errors.New(payload))) }, "a *fmt.wrapError"},
		{func() { panic(quoting{}) }, "a harden.quoting"},
		{func() { panic(&quoting{}) }, "a *harden.quoting"},
		{func() { _ = []int{}[len(payload)] }, "runtime error: index out of range [21] with length 0"},
		{func() { _ = any(payload).(int) }, "interface conversion: interface {} is string, not int"},
		{func() { nilMap()[payload] = 1 }, "assignment to entry in nil map"},
		{func() { panic(nil) }, "panic called with nil argument"},
	} {
		err := Guard(func() error { test.panics(); return nil })()
		var told *PanicError
		if !errors.As(err, &told) || told.Said != test.want {
			t.Errorf("got %v, want %q", err, test.want)
		}
	}
	if err := Guard(func() error { return io.EOF })(); !errors.Is(err, io.EOF) {
		t.Errorf("an error became %v", err)
	}
	if err := Guard(func() error { return nil })(); err != nil {
		t.Errorf("nothing became %v", err)
	}
}

func TestErrorLog(t *testing.T) {
	var out bytes.Buffer
	log := ErrorLog(slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug})))
	log.Print("http: panic serving 203.0.113.77:1: " + payload + "\ngoroutine 7 [running]:\nmain.f({0xcb00714d})")
	log.Print("http: TLS handshake error from 203.0.113.77:1: EOF")
	log.Print("http: Accept error: 203.0.113.77")
	if text := out.String(); strings.Contains(text, "203.0.113") || strings.Contains(text, payload) || strings.Contains(text, "cb00") || strings.Count(text, "\n") != 3 {
		t.Errorf("logged: %s", text)
	}
}
