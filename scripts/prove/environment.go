package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"rollcall/pkg/access"
	"rollcall/pkg/clickhouse"
	"rollcall/pkg/telemetry"
	"rollcall/scripts/parts/partstore"
	"rollcall/scripts/testbed"
)

// Size is how much of everything a proof uses.
type Size string

const (
	Small Size = "small"
	Full  Size = "full"
)

// patience bounds the wait for what a pipeline does within seconds. It says that
// something hangs, on a machine however loaded, and nothing about speed.
const patience = 5 * time.Minute

// closeLimit bounds the orderly end of one part.
const closeLimit = 90 * time.Second

// Environment is where a proof runs. What it starts through the environment ends
// with it.
type Environment struct {
	Size Size
	// Dir is the proof's own directory, removed after a proof that held.
	Dir string

	progress io.Writer
	binary   func(ctx context.Context) (string, error)
	mu       sync.Mutex
	cleanups []func(context.Context) error
}

func newEnvironment(size Size, progress io.Writer) (*Environment, error) {
	dir, err := os.MkdirTemp("", "rollcall-prove-")
	if err != nil {
		return nil, fmt.Errorf("make the proof's directory: %w", err)
	}
	env := &Environment{Size: size, Dir: dir, progress: progress}
	var (
		once   sync.Once
		binary string
		failed error
	)
	env.binary = func(ctx context.Context) (string, error) {
		once.Do(func() {
			env.Say("building rollcall")
			binary, failed = testbed.Build(ctx, testbed.BuildOptions{Dir: dir, Tags: []string{"embedded"}})
		})
		return binary, failed
	}
	return env, nil
}

// Say tells the user what is going on, on standard error.
func (e *Environment) Say(format string, values ...any) {
	fmt.Fprintf(e.progress, time.Now().Format(time.TimeOnly)+" "+format+"\n", values...)
}

// Choose returns small or full by the size.
func Choose[T any](e *Environment, small, full T) T {
	if e.Size == Small {
		return small
	}
	return full
}

// OnClose registers what ends with the environment; the last registered goes first.
func (e *Environment) OnClose(cleanup func(context.Context) error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.cleanups = append(e.cleanups, cleanup)
}

// close ends what was started, and removes the directory unless it is kept.
func (e *Environment) close(keep bool) error {
	var errs []error
	e.mu.Lock()
	cleanups := slices.Clone(e.cleanups)
	e.mu.Unlock()
	for _, cleanup := range slices.Backward(cleanups) {
		ctx, cancel := context.WithTimeout(context.Background(), closeLimit)
		errs = append(errs, cleanup(ctx))
		cancel()
	}
	if !keep {
		errs = append(errs, os.RemoveAll(e.Dir))
	}
	return errors.Join(errs...)
}

// Path returns a path below the proof's directory.
func (e *Environment) Path(elements ...string) string {
	return filepath.Join(append([]string{e.Dir}, elements...)...)
}

// Binary returns rollcall, built once for the proof with the embedded engine.
func (e *Environment) Binary(ctx context.Context) (string, error) { return e.binary(ctx) }

// Mutant builds rollcall with the mutant's edits, and with files replaced or added as
// testbed.BuildOptions says, in a directory of its own.
func (e *Environment) Mutant(ctx context.Context, dir string, m testbed.Mutant, overlay map[string]string) (string, error) {
	path := e.Path(dir)
	if err := os.MkdirAll(path, 0o755); err != nil {
		return "", fmt.Errorf("make the build's directory: %w", err)
	}
	e.Say("building %q", m.Name)
	return testbed.BuildMutant(ctx, testbed.BuildOptions{Dir: path, Tags: []string{"embedded"}, Overlay: overlay}, m)
}

// Part returns the path of a part, fetching it where it is absent.
func (e *Environment) Part(ctx context.Context, name string) (string, error) {
	store, err := partstore.Open(e.progress)
	if err != nil {
		return "", err
	}
	return store.Ensure(ctx, name)
}

// Kafka starts a cluster in a directory of that name.
func (e *Environment) Kafka(ctx context.Context, name string, o testbed.KafkaOptions) (*testbed.Kafka, error) {
	e.Say("starting Kafka")
	o.Progress = e.progress
	kafka, err := testbed.StartKafka(ctx, e.Path(name), o)
	if err != nil {
		return nil, err
	}
	// Its data is thrown away or looked at, never used again: no need for order.
	e.OnClose(func(context.Context) error { kafka.Kill(); return nil })
	return kafka, nil
}

// ClickHouse starts a server in a directory of that name.
func (e *Environment) ClickHouse(ctx context.Context, name string, o testbed.ClickHouseOptions) (*testbed.ClickHouse, error) {
	e.Say("starting ClickHouse")
	o.Progress = e.progress
	server, err := testbed.StartClickHouse(ctx, e.Path(name), o)
	if err != nil {
		return nil, err
	}
	e.OnClose(func(context.Context) error { server.Kill(); return nil })
	return server, nil
}

// Kubernetes starts a cluster in a directory of that name.
func (e *Environment) Kubernetes(ctx context.Context, name string) (*testbed.Kubernetes, error) {
	e.Say("starting Kubernetes")
	cluster, err := testbed.StartKubernetes(ctx, e.Path(name), testbed.KubernetesOptions{Progress: e.progress})
	if err != nil {
		return nil, err
	}
	e.OnClose(func(context.Context) error { cluster.Kill(); return nil })
	return cluster, nil
}

// OpenAs connects to ClickHouse as a user, for as long as the proof runs. passwordFile
// may be empty.
func (e *Environment) OpenAs(ctx context.Context, server *testbed.ClickHouse, user, passwordFile string) (driver.Conn, error) {
	return e.open(ctx, storeConfig(server, user, passwordFile))
}

func (e *Environment) open(ctx context.Context, config clickhouse.Config) (driver.Conn, error) {
	conn, err := clickhouse.Open(ctx, config, telemetry.Discard())
	if err != nil {
		return nil, err
	}
	e.OnClose(func(context.Context) error { return conn.Close() })
	return conn, nil
}

// storeConfig says how a proof reaches its ClickHouse.
func storeConfig(server *testbed.ClickHouse, user, passwordFile string) clickhouse.Config {
	return clickhouse.Config{
		Addresses: []string{server.Address()}, Database: access.DefaultDatabase, User: user, PasswordFile: passwordFile, Compression: "none",
		DialTimeout: time.Minute, ReadTimeout: 2 * time.Minute,
	}
}

// Cluster makes the services' processes, not started; Binary and Dir are filled in
// where they are empty.
func (e *Environment) Cluster(ctx context.Context, name string, o testbed.ClusterOptions) (*testbed.Cluster, error) {
	if o.Binary == "" {
		binary, err := e.Binary(ctx)
		if err != nil {
			return nil, err
		}
		o.Binary = binary
	}
	if o.Dir == "" {
		o.Dir = e.Path(name)
	}
	cluster, err := testbed.NewCluster(ctx, o)
	if err != nil {
		return nil, err
	}
	e.OnClose(func(context.Context) error { cluster.Kill(); return nil })
	return cluster, nil
}
