package harden

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// undumpable is needed beside the limit on core files: a collector that the kernel
// pipes cores to (core_pattern) gets them whatever the limit is.
func undumpable() (bool, error) {
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return false, fmt.Errorf("make the process undumpable: %w", err)
	}
	return true, nil
}
