package main

import (
	"bufio"
	"errors"
	"io"
	"net"
	"os/exec"
	"path/filepath"
	"regexp"
	"syscall"
	"testing"
	"time"

	"rollcall/pkg/keystore"
)

// startGateway runs a gateway whose broker is not there, and returns it with its
// address once it listens.
func startGateway(t *testing.T) (*exec.Cmd, string) {
	t.Helper()
	keys, own := filepath.Join(t.TempDir(), "keys"), filepath.Join(t.TempDir(), "gateway")
	_, err := keystore.Maintain(keys, time.Now(), keystore.MaintainOptions{})
	if err == nil {
		_, err = keystore.Export(keys, own, keystore.ForGateway)
	}
	if err != nil {
		t.Fatal(err)
	}
	command := exec.CommandContext(t.Context(), "rollcall", "gateway", "--kafka.brokers", "127.0.0.1:1",
		"--gateway.listen", "127.0.0.1:0", "--private.listen", "127.0.0.1:0", "--keystore.dir", own)
	log, err := command.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	listens := regexp.MustCompile(`gateway listens.* address=(\S+)`)
	lines := bufio.NewScanner(log)
	for lines.Scan() {
		if found := listens.FindStringSubmatch(lines.Text()); found != nil {
			go func() { _, _ = io.Copy(io.Discard, log) }() // ends with the process
			return command, found[1]
		}
	}
	t.Fatalf("the gateway does not listen: %v", command.Wait())
	return nil, ""
}

func exitCode(t *testing.T, command *exec.Cmd) int {
	t.Helper()
	err := command.Wait()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		return exit.ExitCode()
	}
	t.Fatal(err)
	return 0
}

func TestFirstSignalStopsInOrder(t *testing.T) {
	for _, signal := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		command, _ := startGateway(t)
		if err := command.Process.Signal(signal); err != nil {
			t.Fatal(err)
		}
		if code := exitCode(t, command); code != exitDone {
			t.Errorf("after %v: exit %d, want %d", signal, code, exitDone)
		}
	}
}

// A request in flight keeps the gateway draining; who cannot wait signals again.
func TestSecondSignalStopsAtOnce(t *testing.T) {
	command, address := startGateway(t)
	connection, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = connection.Close() }()
	request := "POST /v1/reports HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\nContent-Length: 100\r\nExpect: 100-continue\r\n\r\n"
	if _, err := io.WriteString(connection, request); err != nil {
		t.Fatal(err)
	}
	// The interim answer says that the handler reads the body, which never comes.
	if line, err := bufio.NewReader(connection).ReadString('\n'); err != nil || line != "HTTP/1.1 100 Continue\r\n" {
		t.Fatalf("interim answer %q, %v", line, err)
	}
	if err := command.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	// The listener closes once the first signal has been heard.
	for {
		probe, err := net.Dial("tcp", address)
		if err != nil {
			break
		}
		_ = probe.Close()
	}
	if err := command.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if code := exitCode(t, command); code != exitImmediate {
		t.Errorf("exit %d, want %d", code, exitImmediate)
	}
}
