//go:build !unix

package harden

// noCore can do nothing here: the system writes no core files of its own accord.
func noCore() (bool, error) { return false, nil }
