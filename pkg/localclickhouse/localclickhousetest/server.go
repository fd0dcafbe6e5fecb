// Package localclickhousetest starts a real ClickHouse for one test.
package localclickhousetest

import (
	"context"
	"os/exec"
	"strings"
	"testing"

	"rollcall/pkg/localclickhouse"
)

// Start runs a server until the test has ended; an empty directory means one of the
// test's own. The engine is fetched into the per-user cache where it is absent. The
// package's TestMain calls localclickhouse.Main first.
func Start(t testing.TB, o localclickhouse.Options) *localclickhouse.Server {
	t.Helper()
	if o.LibraryPath == "" && o.BinaryPath == "" {
		o.LibraryPath = Library(t)
	}
	if o.Dir == "" {
		o.Dir = t.TempDir()
	}
	server, err := localclickhouse.Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		// By now the test's context has ended.
		if err := server.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return server
}

// Library returns the path of the engine (or of a clickhouse binary on the PATH),
// fetching it where it is absent.
func Library(t testing.TB) string {
	t.Helper()
	// A command, not an import: what services share does not know the scripts.
	command := exec.CommandContext(t.Context(), "go", "run", "rollcall/scripts/parts", "-print", "clickhouse")
	var progress strings.Builder
	command.Stderr = &progress
	output, err := command.Output()
	if err != nil {
		t.Fatalf("fetch ClickHouse's engine: %v: %s", err, progress.String())
	}
	return strings.TrimSpace(string(output))
}
