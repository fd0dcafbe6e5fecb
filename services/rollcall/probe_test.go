//go:build embedded

package main

import (
	"encoding/json"
	"encoding/pem"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func probe(t *testing.T, args ...string) (int, probeResult, string) {
	t.Helper()
	code, out, said := command(t, append([]string{"probe", "--output", "json"}, args...)...)
	var result probeResult
	if out != "" {
		if err := json.Unmarshal([]byte(out), &result); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	return code, result, said
}

// A probe finds its own report, each its own; and says so where none arrives.
func TestProbe(t *testing.T) {
	dir := t.TempDir()
	here := startStandalone(t, filepath.Join(dir, "data"), "--sink.rollup.min-interval=1s") // the view answers from a rollup
	defer here.stop()
	store := []string{"--clickhouse.addresses", here.clickhouse}

	code, first, said := probe(t, append(store, "--url", here.url)...)
	if code != exitDone || !first.Found || !strings.HasPrefix(first.Release, "0.0.") {
		t.Fatalf("exit %d, %+v: %s", code, first, said)
	}
	key := filepath.Join(dir, "licence.txt")
	if err := os.WriteFile(key, []byte("EX-0001-AAAA\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	code, second, said := probe(t, append(store, "--url", here.url, "--licence-key-file", key)...)
	if code != exitDone || !second.Found || second.Release == first.Release {
		t.Fatalf("exit %d, %+v after %+v: %s", code, second, first, said)
	}

	// Somebody says 202 and keeps nothing.
	liar := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusAccepted)
		_, _ = w.Write([]byte(`{"report_id":"` + reportID + `"}`))
	}))
	defer liar.Close()
	if code, lost, said := probe(t, append(store, "--url", liar.URL, "--timeout", "10s")...); code != exitDiffers || lost.Found {
		t.Errorf("exit %d, %+v where the report was lost: %s", code, lost, said)
	}

	// A gateway that speaks TLS is checked against its own certificate, under the name that it has.
	secure := httptest.NewUnstartedServer(liar.Config.Handler)
	secure.Config.ErrorLog = log.New(io.Discard, "", 0) // of the handshakes that fail
	secure.StartTLS()
	defer secure.Close()
	authority := filepath.Join(dir, "tls.crt")
	if err := os.WriteFile(authority, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: secure.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]int{"example.com": exitDiffers, "other.example.org": exitFailed} { // not found, and not even posted
		if code, _, said := probe(t, append(store, "--url", secure.URL, "--ca-file", authority, "--server-name", name, "--timeout", "10s")...); code != want {
			t.Errorf("exit %d, want %d, with the name %s: %s", code, want, name, said)
		}
	}

	refusing := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(http.StatusBadRequest)
		_, _ = w.Write([]byte(`{"reason":"not_json"}`))
	}))
	defer refusing.Close()
	if code, _, said := probe(t, append(store, "--url", refusing.URL)...); code != exitFailed || !strings.Contains(said, "400 (not_json)") {
		t.Errorf("exit %d where the gateway refuses: %s", code, said)
	}
	absent := httptest.NewServer(nil)
	absent.Close()
	if code, _, said := probe(t, append(store, "--url", absent.URL, "--timeout", "1s")...); code != exitFailed || !strings.Contains(said, "no 202 in time") {
		t.Errorf("exit %d where nobody answers: %s", code, said)
	}
}
