//go:build !linux

package harden

// systemRoles are what children do that only some systems can.
func systemRoles() map[string]func() error { return nil }
