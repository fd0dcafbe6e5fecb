package localclickhouse

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

// tailBytes is how much of a log an error quotes.
const tailBytes = 4 << 10

// makeLayout makes the directory.
func makeLayout(dir string) (layout, error) {
	absolute, err := filepath.Abs(dir)
	if err != nil {
		return layout{}, fmt.Errorf("local ClickHouse's directory: %w", err)
	}
	l := layout{dir: absolute}
	if err := os.MkdirAll(l.data(), 0o700); err != nil {
		return layout{}, fmt.Errorf("make local ClickHouse's directory: %w", err)
	}
	return l, nil
}

// lockDirectory takes the directory for one server. The lock belongs to the open file,
// which the child inherits: it lasts exactly as long as the engine lives.
func lockDirectory(ctx context.Context, l layout) (*os.File, error) {
	file, err := os.OpenFile(l.lock(), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open local ClickHouse's lock: %w", err)
	}
	deadline := time.NewTimer(lockLimit)
	defer deadline.Stop()
	ticker := time.NewTicker(pollPeriod)
	defer ticker.Stop()
	for {
		err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return file, clearErrorLog(l, file)
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR) {
			file.Close()
			return nil, fmt.Errorf("lock %s: %w", l.dir, err)
		}
		select {
		case <-ticker.C:
		case <-deadline.C:
			file.Close()
			return nil, fmt.Errorf("start local ClickHouse in %s: %w", l.dir, ErrInUse)
		case <-ctx.Done():
			file.Close()
			return nil, fmt.Errorf("lock %s: %w", l.dir, context.Cause(ctx))
		}
	}
}

// clearErrorLog drops the error log of an earlier run, so that a quoted tail is of
// this one. On an error the lock is let go.
func clearErrorLog(l layout, lock *os.File) error {
	if err := os.Remove(l.errorLog()); err != nil && !errors.Is(err, os.ErrNotExist) {
		lock.Close()
		return fmt.Errorf("drop the former error log: %w", err)
	}
	return nil
}

// freePort checks that the port can be listened on, or picks one where it is 0.
func freePort(port int) (int, error) {
	listener, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		return 0, fmt.Errorf("local ClickHouse's port: %w: %w", errPortTaken, err)
	}
	defer listener.Close()
	address, ok := listener.Addr().(*net.TCPAddr)
	if !ok {
		return 0, fmt.Errorf("local ClickHouse's port: unexpected address %v", listener.Addr())
	}
	return address.Port, nil
}

// tail returns the end of a file, empty where it cannot be read.
func tail(path string) string {
	content, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	if len(content) > tailBytes {
		content = content[len(content)-tailBytes:]
	}
	return string(content)
}
