// Package testbed runs the real system on one machine for tests and proofs: Apache
// Kafka, ClickHouse, the services as processes, and what goes wrong between them.
// Whatever it starts dies with the process that started it.
package testbed

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"rollcall/pkg/childprocess"
	"rollcall/pkg/localclickhouse"
)

// Main runs a test binary's tests, and is the ClickHouse engine in the child process
// that StartClickHouse makes of the same binary. Every TestMain of a package that
// starts ClickHouse ends in it.
func Main(m interface{ Run() int }) {
	if localclickhouse.Main() {
		return
	}
	os.Exit(m.Run())
}

// terminate asks the process to end (SIGTERM), and kills it when it has not after the
// limit or at the end of ctx; then the error says so. A non-zero exit is an error.
func terminate(ctx context.Context, child *childprocess.Child, limit time.Duration) error {
	if !child.Running() {
		return nil
	}
	if err := child.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("terminate process %d: %w", child.PID(), err)
	}
	_ = child.Signal(syscall.SIGCONT) // a paused one would not notice; an ended one needs nothing
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-child.Done():
		return nil
	case <-ctx.Done():
		child.Kill()
		return fmt.Errorf("process %d was killed: %w", child.PID(), context.Cause(ctx))
	case <-timer.C:
		child.Kill()
		return fmt.Errorf("process %d was killed: it had not ended %v after SIGTERM", child.PID(), limit)
	}
}

// fileTail returns the end of a log, for an error's text.
func fileTail(path string) string {
	content, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	const enough = 4 << 10
	return string(content[max(0, len(content)-enough):])
}
