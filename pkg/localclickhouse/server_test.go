//go:build embedded

package localclickhouse_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"rollcall/pkg/localclickhouse"
	"rollcall/pkg/localclickhouse/localclickhousetest"
)

func TestMain(m *testing.M) {
	if localclickhouse.Main() {
		return
	}
	goleak.VerifyTestMain(m)
}

// library uses the embedded engine, even where a clickhouse binary is installed: the
// loader is what is tested here.
func library(t *testing.T, o localclickhouse.Options) localclickhouse.Options {
	t.Helper()
	o.IgnorePath = true
	if o.Dir == "" {
		o.Dir = t.TempDir()
	}
	return o
}

// ask runs a statement over HTTP, on a connection of its own: one left open would
// delay the server's end.
func ask(t *testing.T, server *localclickhouse.Server, password, statement string) (status int, answer string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.HTTPURL(), strings.NewReader(statement))
	if err != nil {
		t.Fatal(err)
	}
	if password != "" {
		request.SetBasicAuth(user, password)
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Do(request)
	if err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, strings.TrimSpace(string(body))
}

func mustAsk(t *testing.T, server *localclickhouse.Server, statement string) string {
	t.Helper()
	status, answer := ask(t, server, "", statement)
	if status != http.StatusOK {
		t.Fatalf("%s: %d %s", statement, status, answer)
	}
	return answer
}

func start(t *testing.T, o localclickhouse.Options) *localclickhouse.Server {
	t.Helper()
	server, err := localclickhouse.Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Kill)
	return server
}

const createKept = "CREATE TABLE kept (n UInt64) ENGINE = MergeTree ORDER BY n SETTINGS fsync_after_insert = 1, fsync_part_directory = 1"

func TestDataOutlivesStopAndKill(t *testing.T) {
	o := library(t, localclickhouse.Options{LibraryPath: localclickhousetest.Library(t)})
	server := start(t, o)
	mustAsk(t, server, createKept)
	mustAsk(t, server, "INSERT INTO kept SELECT number FROM numbers(100)")
	if err := server.Stop(t.Context()); err != nil {
		t.Fatalf("Stop = %v", err)
	}
	if err := server.Wait(); err != nil {
		t.Errorf("after an orderly stop Wait = %v", err)
	}
	if _, err := os.Stat(filepath.Join(o.Dir, "data", "status")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("an orderly stop leaves a status file: %v", err)
	}

	server = start(t, o)
	mustAsk(t, server, "INSERT INTO kept SELECT 1000")
	server.Kill()
	if err := server.Wait(); err == nil {
		t.Error("a killed server ended in order")
	}
	server = start(t, o)
	if got := mustAsk(t, server, "SELECT count(), max(n) FROM kept"); got != "101\t1000" {
		t.Errorf("after a stop and a kill there are %q, want 101 rows up to 1000", got)
	}
	if err := server.Stop(t.Context()); err != nil {
		t.Errorf("Stop = %v", err)
	}
	if err := server.Stop(t.Context()); err != nil {
		t.Errorf("a second Stop = %v", err)
	}
}

func TestSecondServerInADirectoryIsRefused(t *testing.T) {
	server := localclickhousetest.Start(t, library(t, localclickhouse.Options{}))
	dir := filepath.Dir(mustAsk(t, server, "SELECT path FROM system.disks WHERE name = 'default'"))
	second, err := localclickhouse.Start(t.Context(), localclickhouse.Options{
		Dir: filepath.Dir(dir), IgnorePath: true, LibraryPath: localclickhousetest.Library(t),
	})
	if !errors.Is(err, localclickhouse.ErrInUse) {
		t.Errorf("a second Start = %v, %v; want %v", second, err, localclickhouse.ErrInUse)
	}
	mustAsk(t, server, "SELECT 1")
}

func TestTakenPortIsNamed(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	o := library(t, localclickhouse.Options{LibraryPath: localclickhousetest.Library(t)})
	o.TCPPort = listener.Addr().(*net.TCPAddr).Port
	if _, err := localclickhouse.Start(t.Context(), o); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("Start on a taken port = %v", err)
	}
}

const user, password = "operator", "correct horse"

func TestAbuseDoesNotEndTheServer(t *testing.T) {
	server := localclickhousetest.Start(t, library(t, localclickhouse.Options{User: user, Password: password}))
	if status, _ := ask(t, server, "battery staple", "SELECT 1"); status == http.StatusOK {
		t.Error("a wrong password was let in")
	}
	if status, answer := ask(t, server, password, createKept); status != http.StatusOK {
		t.Errorf("the right password: %d %s", status, answer)
	}
	for _, statement := range []string{"SELECT * FROM kept", "CREATE TABLE mine (n UInt64) ENGINE = Memory", "SYSTEM RELOAD CONFIG"} {
		if status, _ := ask(t, server, "", statement); status == http.StatusOK {
			t.Errorf("without a password: %s was done", statement)
		}
	}
	for _, garbage := range []string{"GET / HTTP/1.1\r\n\r\n", "\x00\xff\x01\x80", strings.Repeat("\xff", 4096)} {
		conn, err := net.Dial("tcp", server.Address())
		if err != nil {
			t.Fatal(err)
		}
		_, _ = conn.Write([]byte(garbage)) // the server may have hung up already
		_ = conn.(*net.TCPConn).SetLinger(0)
		conn.Close()
	}
	if status, answer := ask(t, server, password, "SELECT nonsense FROM nowhere"); status == http.StatusOK {
		t.Errorf("nonsense was answered with %s", answer)
	}
	select {
	case <-server.Done():
		t.Fatalf("the server has ended: %v", server.Wait())
	default:
	}
	if status, answer := ask(t, server, password, "SELECT 1"); status != http.StatusOK || answer != "1" {
		t.Errorf("after all that: %d %s", status, answer)
	}
}

func TestQueriesAndPartsAreLogged(t *testing.T) {
	server := localclickhousetest.Start(t, library(t, localclickhouse.Options{}))
	mustAsk(t, server, createKept)
	mustAsk(t, server, "INSERT INTO kept SELECT number FROM numbers(10)")
	mustAsk(t, server, "SYSTEM FLUSH LOGS")
	if got := mustAsk(t, server, "SELECT count() FROM system.part_log WHERE table = 'kept' AND event_type = 'NewPart'"); got != "1" {
		t.Errorf("part_log has %s new parts, want 1", got)
	}
	if got := mustAsk(t, server, "SELECT count() > 0 FROM system.query_log WHERE query LIKE 'INSERT INTO kept%'"); got != "1" {
		t.Error("query_log lacks the insert")
	}
}

func TestQueriesAreLoggedAfterARestart(t *testing.T) {
	o := library(t, localclickhouse.Options{Dir: t.TempDir()})
	for life := range 2 {
		server := localclickhousetest.Start(t, o)
		mustAsk(t, server, "SELECT 'of this life'")
		mustAsk(t, server, "SYSTEM FLUSH LOGS")
		if got := mustAsk(t, server, "SELECT count() > 0 FROM system.query_log WHERE query LIKE '%of this life%' AND query NOT LIKE '%query_log%'"); got != "1" {
			t.Errorf("life %d: query_log lacks the query", life+1)
		}
		if err := server.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

func TestMemoryIsBounded(t *testing.T) {
	server := localclickhousetest.Start(t, library(t, localclickhouse.Options{MemoryBytes: 512 << 20}))
	if status, answer := ask(t, server, "", "SELECT length(groupArray(number)) FROM numbers(200000000)"); status == http.StatusOK {
		t.Errorf("a query of 1.6 GB went through 512 MiB: %s", answer)
	}
	mustAsk(t, server, "SELECT 1")
}

func TestStartEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	o := library(t, localclickhouse.Options{LibraryPath: localclickhousetest.Library(t)})
	if _, err := localclickhouse.Start(ctx, o); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("Start = %v, want %v", err, context.DeadlineExceeded)
	}
	start(t, o) // the directory is free again
}

func TestBrokenLibraryIsReported(t *testing.T) {
	broken := filepath.Join(t.TempDir(), "libchdb.so")
	if err := os.WriteFile(broken, []byte("no library"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := localclickhouse.Start(t.Context(), library(t, localclickhouse.Options{LibraryPath: broken}))
	if err == nil || !strings.Contains(err.Error(), "libchdb.so") {
		t.Errorf("Start = %v, want the loader's words", err)
	}
}
