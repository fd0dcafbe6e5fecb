//go:build !unix

package harden

import "io"

// OnQuit does nothing here: these systems have no SIGQUIT.
func OnQuit(io.Writer) (stop func()) { return func() {} }
