//go:build !linux

package childprocess

import "os/exec"

// dieWithParent can do nothing here: these systems have no such signal.
func dieWithParent(*exec.Cmd) {}
