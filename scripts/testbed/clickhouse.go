package testbed

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"

	"rollcall/pkg/access"
	"rollcall/pkg/localclickhouse"
	"rollcall/scripts/parts/partstore"
)

// ClickHouseOptions say how a local ClickHouse runs.
type ClickHouseOptions struct {
	// MemoryBytes bounds the server's memory; 0: localclickhouse's default.
	MemoryBytes int64
	// Users with a role each, beside default, who may do everything.
	Users []access.User
	// TCPPort is that of the native protocol; 0: a free one.
	TCPPort int
	// Remote, ZooKeeper and Macros make the server one of a cluster, as in localclickhouse.
	Remote    localclickhouse.Remote
	ZooKeeper []string
	Macros    map[string]string
	// Progress gets the download's progress; nil: standard error.
	Progress io.Writer
}

// ClickHouse is a real ClickHouse server that keeps ports and data over restarts.
// It is safe for concurrent use, but for two concurrent starts.
type ClickHouse struct {
	options localclickhouse.Options

	mu     sync.Mutex
	server *localclickhouse.Server
	spent  Usage // of former lives
}

// StartClickHouse starts a server in dir and returns once it answers. Test binaries
// that call it need Main in their TestMain, other programs localclickhouse.Main.
func StartClickHouse(ctx context.Context, dir string, o ClickHouseOptions) (*ClickHouse, error) {
	if o.Progress == nil {
		o.Progress = os.Stderr
	}
	store, err := partstore.Open(o.Progress)
	if err != nil {
		return nil, err
	}
	library, err := store.Ensure(ctx, partstore.ClickHouse)
	if err != nil {
		return nil, err
	}
	options := localclickhouse.Options{
		Dir: dir, MemoryBytes: o.MemoryBytes, LibraryPath: library, Users: o.Users,
		TCPPort: o.TCPPort, Remote: o.Remote, ZooKeeper: o.ZooKeeper, Macros: o.Macros,
	}
	if options.TCPPort == 0 {
		if options.TCPPort, err = FreePort(); err != nil {
			return nil, err
		}
	}
	if options.HTTPPort, err = FreePort(); err != nil {
		return nil, err
	}
	c := &ClickHouse{options: options}
	if err := c.Restart(ctx); err != nil {
		return nil, err
	}
	return c, nil
}

// Restart starts the server again where it does not run.
func (c *ClickHouse) Restart(ctx context.Context) error {
	if server := c.current(); server != nil {
		return fmt.Errorf("ClickHouse runs already, process %d", server.PID())
	}
	server, err := localclickhouse.Start(ctx, c.options)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.server = server
	return nil
}

func (c *ClickHouse) current() *localclickhouse.Server {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.server
}

// Address returns the native protocol's host:port, which restarts keep.
func (c *ClickHouse) Address() string { return loopback(c.options.TCPPort) }

// HTTPURL returns the base of the HTTP interface.
func (c *ClickHouse) HTTPURL() string { return "http://" + loopback(c.options.HTTPPort) }

// Kill ends the server at once (SIGKILL), as a crash would.
func (c *ClickHouse) Kill() {
	_ = c.end(func(server *localclickhouse.Server) error { server.Kill(); return nil }) // it has none to return
}

// Stop ends the server in order. Stopping one that does not run does nothing.
func (c *ClickHouse) Stop(ctx context.Context) error {
	return c.end(func(server *localclickhouse.Server) error { return server.Stop(ctx) })
}

func (c *ClickHouse) end(end func(*localclickhouse.Server) error) error {
	server := c.current()
	if server == nil {
		return nil
	}
	used, _ := ProcessUsage(server.PID()) // one that has crashed has nothing to tell
	err := end(server)
	used.ResidentBytes = 0
	c.mu.Lock()
	defer c.mu.Unlock()
	c.server = nil
	c.spent = c.spent.Add(used)
	return err
}

// LoseData removes all that a server which does not run has stored, as a lost disk would.
// Backups stay: they lie elsewhere.
func (c *ClickHouse) LoseData() error {
	if server := c.current(); server != nil {
		return fmt.Errorf("ClickHouse runs, process %d", server.PID())
	}
	if err := os.RemoveAll(filepath.Join(c.options.Dir, "data")); err != nil {
		return fmt.Errorf("lose ClickHouse's data: %w", err)
	}
	return nil
}

// Usage returns what the server used, former lives included.
func (c *ClickHouse) Usage() (Usage, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.server == nil {
		return c.spent, nil
	}
	now, err := ProcessUsage(c.server.PID())
	if err != nil {
		return Usage{}, err
	}
	return c.spent.Add(now), nil
}
