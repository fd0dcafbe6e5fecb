// Package harden keeps what a process knows inside it: no core file, no memory that
// other processes of the same user may read, and no last words that quote a payload.
//
// Keys and reports are in memory while they are worked on. What leaves a process
// unasked, when it crashes or when somebody looks at it with a debugger, must hold
// neither.
package harden

// Protection is what the system grants.
type Protection struct {
	// NoCore: no core file is written (RLIMIT_CORE is 0, for children too).
	NoCore bool
	// Undumpable: other processes of the same user can neither attach nor read memory
	// or environment, and the kernel hands no core to a collector either. Linux only;
	// the superuser still can.
	Undumpable bool
}

// Process protects this process, before it reads any secret. What the system does not
// have is false in the answer; what it has and refuses is an error.
func Process() (Protection, error) {
	var p Protection
	var err error
	if p.NoCore, err = noCore(); err != nil {
		return p, err
	}
	p.Undumpable, err = undumpable()
	return p, err
}
