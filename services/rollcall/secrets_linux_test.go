package main

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
)

const (
	testPassword = "correct-horse-battery-staple"
	testEmail    = "person@secret.example"
)

// watched is a process of rollcall whose output is kept.
type watched struct {
	*exec.Cmd
	mu   sync.Mutex
	said bytes.Buffer
	line chan string // what it says, until its end
}

// watch starts rollcall under another group than the superuser's where it can: the
// group of files in /proc then shows whether the process is dumpable.
func watch(t *testing.T, args ...string) *watched {
	t.Helper()
	w := &watched{Cmd: exec.CommandContext(t.Context(), "rollcall", args...), line: make(chan string, 1000)}
	if os.Getuid() == 0 {
		w.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 0, Gid: 1}}
	}
	out, err := w.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(w.line)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			w.mu.Lock()
			w.said.WriteString(lines.Text() + "\n")
			w.mu.Unlock()
			select {
			case w.line <- lines.Text():
			default: // nobody waits for so many
			}
		}
	}()
	t.Cleanup(func() {
		_ = w.Process.Kill()
		for range w.line { // until the output has ended
		}
		_ = w.Wait()
	})
	return w
}

// await returns the last group of the first match in what it says, once it says so.
func (w *watched) await(t *testing.T, expression string) string {
	t.Helper()
	for {
		if found := regexp.MustCompile(expression).FindStringSubmatch(w.text()); found != nil {
			return found[len(found)-1]
		}
		if _, open := <-w.line; !open {
			t.Fatalf("it never says %s: %s", expression, w.text())
		}
	}
}

func (w *watched) text() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.said.String()
}

// keysOf makes a keystore and the gateway's part of it, and returns every secret in it.
func keysOf(t *testing.T, dir string) (keys, public string, secrets map[string][]byte) {
	t.Helper()
	keys, public, secrets = filepath.Join(dir, "keys"), filepath.Join(dir, "public"), map[string][]byte{}
	for _, args := range [][]string{
		{"keys", "maintain", "--keystore.dir", keys},
		{"keys", "export", "gateway", "--keystore.dir", keys, "--to", public},
	} {
		a, _, stderr := newApp()
		if code := run(t.Context(), a, args); code != exitDone {
			t.Fatalf("%v: exit %d, %s", args, code, stderr)
		}
	}
	err := filepath.WalkDir(keys, func(path string, entry os.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() || strings.Contains(path, "sealing") || strings.HasPrefix(entry.Name(), ".") {
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		secrets[path], err = base64.StdEncoding.DecodeString(strings.TrimSpace(string(content)))
		return err
	})
	if err != nil || len(secrets) < 5 {
		t.Fatalf("%d keys, %v", len(secrets), err)
	}
	return keys, public, secrets
}

// TestSecretsStayInside: real processes with passwords and keys of every kind show none
// of them in arguments, environment or log, and neither does what clients send them.
func TestSecretsStayInside(t *testing.T) {
	dir := t.TempDir()
	password := filepath.Join(dir, "password")
	if err := os.WriteFile(password, []byte(testPassword+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	keys, public, secrets := keysOf(t, dir)
	secrets["the password"] = []byte(testPassword)
	common := []string{"--kafka.brokers", "127.0.0.1:1", "--kafka.sasl.mechanism", "SCRAM-SHA-512", "--kafka.sasl.user", "someone",
		"--kafka.sasl.password-file", password, "--private.listen", "127.0.0.1:0", "--telemetry.log-level", "debug"}
	gateway := watch(t, append([]string{"gateway", "--gateway.listen", "127.0.0.1:0", "--gateway.ack-timeout", "1s", "--keystore.dir", public}, common...)...)
	anonymizer := watch(t, append([]string{"anonymizer", "--keystore.dir", keys}, common...)...)
	silent, err := net.Listen("tcp", "127.0.0.1:0") // a ClickHouse that never answers
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	sink := watch(t, append([]string{"sink", "--clickhouse.addresses", silent.Addr().String(), "--clickhouse.dial-timeout", "1m",
		"--clickhouse.password-file", password}, common...)...)
	address := gateway.await(t, `gateway listens.* address=(\S+)`)
	secrets["the e-mail address"] = []byte(testEmail)
	secrets["the licence key"] = []byte("QQQQ-7777-WWWW-8888")
	postTo(t, address)
	for name, process := range map[string]*watched{"gateway": gateway, "anonymizer": anonymizer, "sink": sink} {
		if granted := process.await(t, `process protected.* (no_core=\S+ undumpable=\S+)`); granted != "no_core=true undumpable=true" {
			t.Errorf("%s: %s", name, granted)
		}
		protected(t, name, process.Process.Pid)
		for _, file := range []string{"cmdline", "environ"} {
			content, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", process.Process.Pid, file))
			if err != nil && !os.IsPermission(err) {
				t.Fatal(err)
			}
			holdsNone(t, name+"'s "+file, content, secrets)
		}
	}
	anonymizer.await(t, `(level=WARN|level=ERROR)`) // the brokers are not there: it has reason to complain
	if err := gateway.Process.Signal(syscall.SIGQUIT); err != nil {
		t.Fatal(err)
	}
	gateway.await(t, `goroutine profile: (total)`)
	gateway.await(t, `(gateway\.\(\*Service\)\.Run)\+`) // where it stands, without arguments
	for name, process := range map[string]*watched{"gateway": gateway, "anonymizer": anonymizer, "sink": sink} {
		holdsNone(t, name+"'s log", []byte(process.text()), secrets)
	}
}

// postTo sends a report and a broken one.
func postTo(t *testing.T, address string) {
	t.Helper()
	for _, body := range []string{
		`{"report_id": "7b2f0c3e-98a1-4c0e-9d6f-0d3c6a1e5b11", "kind": "DAILY", "sent_at": "2026-01-31T23:59:59Z", "day": "2026-01-31",
		"installation_id": "7b2f0c3e-98a1-4c0e-9d6f-0d3c6a1e5b12", "host_id": "7b2f0c3e-98a1-4c0e-9d6f-0d3c6a1e5b13",
		"session_id": "7b2f0c3e-98a1-4c0e-9d6f-0d3c6a1e5b14", "session_started_at": "2026-01-31T20:59:59Z", "sequence": 1,
		"consent": "FULL", "policy_version": 1, "application": {"name": "` + testEmail + `", "version": "1", "edition": ""},
		"host": {"os_name": "linux", "os_version": "6.1", "architecture": "amd64", "cpu_count": 4},
		"customer": {"company_name": "` + testEmail + `", "email": "` + testEmail + `", "licence_key": "QQQQ-7777-WWWW-8888"},
		"counters": {"` + testEmail + `": 1}, "gauges": {}, "distincts": {}}`,
		testEmail,
	} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+address+"/v1/reports?"+testEmail, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Content-Type", "application/json")
		request.Header.Set("User-Agent", testEmail)
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, response.Body); err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
	}
	http.DefaultClient.CloseIdleConnections()
}

// protected checks what the kernel says of the process.
func protected(t *testing.T, name string, pid int) {
	t.Helper()
	limits, err := os.ReadFile(fmt.Sprintf("/proc/%d/limits", pid))
	if err != nil {
		t.Fatal(err)
	}
	if !regexp.MustCompile(`(?m)^Max core file size +0 +0 `).Match(limits) {
		t.Errorf("%s may write core files:\n%s", name, limits)
	}
	if uid, gid := ownerOf(t, pid); uid != 0 || gid != 0 {
		t.Errorf("%s is dumpable: its memory belongs to %d:%d", name, uid, gid)
	}
}

// ownerOf returns who may read a process's memory: its own user and group, or the
// superuser's where it is not dumpable.
func ownerOf(t *testing.T, pid int) (uid, gid uint32) {
	t.Helper()
	info, err := os.Stat(fmt.Sprintf("/proc/%d/environ", pid))
	if err != nil {
		t.Fatal(err)
	}
	stat := info.Sys().(*syscall.Stat_t)
	return stat.Uid, stat.Gid
}

// TestOwnerTellsDumpable is the control of protected: a process that does nothing about
// it belongs to its own user and group.
func TestOwnerTellsDumpable(t *testing.T) {
	command := exec.CommandContext(t.Context(), "sleep", "60")
	if os.Getuid() == 0 {
		command.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 0, Gid: 1}}
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	uid, gid := ownerOf(t, command.Process.Pid)
	_ = command.Process.Kill()
	_ = command.Wait()
	if uid == 0 && gid == 0 {
		t.Error("its memory belongs to the superuser, too")
	}
}

// holdsNone checks that content holds no secret, in none of the usual forms.
func holdsNone(t *testing.T, what string, content []byte, secrets map[string][]byte) {
	t.Helper()
	if len(content) == 0 && !strings.Contains(what, "environ") {
		t.Errorf("%s is empty", what)
	}
	for name, secret := range secrets {
		for form, bytesOf := range map[string][]byte{
			"plain": secret, "hexadecimal": []byte(hex.EncodeToString(secret)), "base64": []byte(base64.StdEncoding.EncodeToString(secret)),
			"decimal": fmt.Appendf(nil, "%d", secret),
		} {
			if bytes.Contains(content, bytesOf) {
				t.Errorf("%s holds %s (%s)", what, filepath.Base(name), form)
			}
		}
	}
}
