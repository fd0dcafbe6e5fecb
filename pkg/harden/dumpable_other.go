//go:build !linux

package harden

// undumpable can do nothing here: these systems have no such switch.
func undumpable() (bool, error) { return false, nil }
