package localclickhouse

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"

	"rollcall/pkg/access"
)

// LibraryVersion is the npm version of the embedded engine this package was tried
// with: ClickHouse 26.7.2.
const LibraryVersion = "26.7.3-stable.1"

// Options say where and how a local ClickHouse runs. Only Dir is required.
type Options struct {
	// Dir keeps the data, the configuration and the logs; it is made when absent.
	// One server at a time may use it.
	Dir string
	// TCPPort (native protocol) and HTTPPort; 0 picks a free one.
	TCPPort, HTTPPort int
	// MemoryBytes bounds the server's memory; 0 means 2 GiB. A query that would
	// pass it fails; the server goes on. At least 512 MiB.
	MemoryBytes int64
	// LibraryPath is the embedded engine's libchdb.so, used when no clickhouse
	// binary is on the PATH. Empty: where `go run ./scripts/parts clickhouse` puts it.
	LibraryPath string
	// BinaryPath is a clickhouse binary. Empty: clickhouse on the PATH, if any.
	BinaryPath string
	// IgnorePath uses the library even where a clickhouse binary is on the PATH.
	IgnorePath bool
	// User and Password of who may do everything; only this machine is let in. Empty:
	// the user default, without a password. With a user of your own, default remains
	// but may do nothing with data.
	User, Password string
	// Databases of Rollcall's tables, whose views' definer may read them; none:
	// rollcall. In those whose name ends in * it may read everything.
	Databases []string
	// Users with a role each (pkg/access), from this machine whatever their networks.
	Users []access.User
	// Remote is a cluster that this server asks as one of its members, or as none.
	Remote Remote
	// ZooKeeper are the addresses, host:port, that Replicated tables find each other by.
	ZooKeeper []string
	// Macros are what {name} stands for in the paths of Replicated tables.
	Macros map[string]string
	// Logger gets the start and the end; nil discards them.
	Logger *slog.Logger
}

// Remote is a cluster of servers, as remote_servers has it.
type Remote struct {
	// Name of the cluster; empty: there is none.
	Name string
	// Shards by the addresses of their replicas, host:port of the native protocol.
	Shards [][]string
}

const (
	defaultMemoryBytes = 2 << 30
	minimumMemoryBytes = 512 << 20
)

// userName keeps the name usable as an XML element.
var userName = regexp.MustCompile(`^[a-z][a-z0-9_]*$`)

// Validate says what is wrong with the options.
func (o Options) Validate() error {
	if o.Dir == "" {
		return errors.New("local ClickHouse: a directory is required")
	}
	for name, port := range map[string]int{"TCP": o.TCPPort, "HTTP": o.HTTPPort} {
		if port < 0 || port > 65535 {
			return fmt.Errorf("local ClickHouse: %s port %d is not within 0 … 65535", name, port)
		}
	}
	if (o.User == "") != (o.Password == "") {
		return errors.New("local ClickHouse: user and password go together")
	}
	if o.User == "default" || o.User != "" && !userName.MatchString(o.User) {
		return fmt.Errorf("local ClickHouse: %q is no name for a user: lower-case letters, digits and _, not default", o.User)
	}
	if o.MemoryBytes != 0 && o.MemoryBytes < minimumMemoryBytes {
		return fmt.Errorf("local ClickHouse: %d bytes of memory are too few, at least %d", o.MemoryBytes, minimumMemoryBytes)
	}
	return nil
}

// CacheDir returns the per-user directory of downloaded parts: ROLLCALL_CACHE where
// set, else rollcall below the system's cache directory.
func CacheDir() (string, error) {
	if dir := os.Getenv("ROLLCALL_CACHE"); dir != "" {
		return filepath.Abs(dir)
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("find the cache directory: %w", err)
	}
	return filepath.Join(dir, "rollcall"), nil
}

// CachedLibrary returns where the engine's library is kept once it was downloaded;
// it need not be there yet.
func CachedLibrary() (string, error) {
	dir, err := CacheDir()
	if err != nil {
		return "", err
	}
	return filepath.Join(dir, "parts", "clickhouse-"+LibraryVersion, "libchdb.so"), nil
}

// engine is what to run: a server binary, or the library in a child process.
type engine struct {
	binary  string // empty: the library
	library string
}

// findEngine prefers a real server binary, which has everything switched on.
func findEngine(o Options) (engine, error) {
	if o.BinaryPath != "" {
		return engine{binary: o.BinaryPath}, nil
	}
	if !o.IgnorePath {
		if binary, err := exec.LookPath("clickhouse"); err == nil {
			return engine{binary: binary}, nil
		}
	}
	if !embeddedBuilt {
		return engine{}, errors.New("no clickhouse binary on the PATH, and this rollcall was built without the embedded engine: " +
			"install ClickHouse (https://clickhouse.com/docs/install), or build with -tags embedded (make build)")
	}
	library := o.LibraryPath
	if library == "" {
		cached, err := CachedLibrary()
		if err != nil {
			return engine{}, err
		}
		library = cached
	}
	if _, err := os.Stat(library); err != nil {
		return engine{}, fmt.Errorf("no clickhouse binary on the PATH and no engine library (%w): "+
			"fetch it with `go run ./scripts/parts clickhouse`, for %s/%s", err, runtime.GOOS, runtime.GOARCH)
	}
	return engine{library: library}, nil
}
