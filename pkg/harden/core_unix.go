//go:build unix

package harden

import (
	"fmt"

	"golang.org/x/sys/unix"
)

func noCore() (bool, error) {
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}); err != nil {
		return false, fmt.Errorf("forbid core files: %w", err)
	}
	return true, nil
}
