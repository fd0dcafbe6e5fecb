package main

import "testing"

// command runs the command line as a process would.
func command(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	a, out, err := newApp()
	code = run(t.Context(), a, args)
	return code, out.String(), err.String()
}
