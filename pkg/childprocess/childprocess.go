// Package childprocess starts processes that do not outlive this one.
package childprocess

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
)

// Child is a started process that somebody waits for. It is safe for concurrent use.
type Child struct {
	command *exec.Cmd
	done    chan struct{}
	exit    error // read after done
}

// Start starts the command, whose SysProcAttr it completes: where the system can
// (Linux), the child is killed when this process dies, however it dies.
func Start(command *exec.Cmd) (*Child, error) {
	dieWithParent(command)
	c := &Child{command: command, done: make(chan struct{})}
	started := make(chan error)
	go c.own(started)
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", command.Path, err)
	}
	return c, nil
}

// own starts the process and waits for it, on one thread: the kernel takes the end of
// the thread that forked, not that of the process, for the parent's death.
func (c *Child) own(started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	err := c.command.Start()
	started <- err
	if err != nil {
		return
	}
	c.exit = c.command.Wait()
	close(c.done)
}

// PID returns the process id; it may belong to another process once Done is closed.
func (c *Child) PID() int { return c.command.Process.Pid }

// Done is closed when the process has ended, whatever ended it.
func (c *Child) Done() <-chan struct{} { return c.done }

// Running says whether the process has not ended yet.
func (c *Child) Running() bool {
	select {
	case <-c.done:
		return false
	default:
		return true
	}
}

// Wait returns when the process has ended: nil for exit status 0, else how it ended.
func (c *Child) Wait() error {
	<-c.done
	return c.exit
}

// State returns how the process ended and what it used; nil while it runs.
func (c *Child) State() *os.ProcessState {
	if c.Running() {
		return nil
	}
	return c.command.ProcessState
}

// Signal sends the signal; os.ErrProcessDone where the process has ended.
func (c *Child) Signal(signal os.Signal) error { return c.command.Process.Signal(signal) }

// Kill ends the process at once, as a crash would, and waits for its end.
func (c *Child) Kill() {
	_ = c.command.Process.Kill() // it may have ended already: then there is nothing to do
	<-c.done
}
