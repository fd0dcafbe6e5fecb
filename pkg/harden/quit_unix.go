//go:build unix

package harden

import (
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/pprof"
	"syscall"
)

// exitQuit is the exit code after SIGQUIT, that of the Go runtime.
const exitQuit = 2

// OnQuit takes SIGQUIT over from the Go runtime, whose stacks show arguments by value:
// the stacks go to w without any, and the process ends with code 2. The function
// returned gives the signal back.
func OnQuit(w io.Writer) (stop func()) {
	signals, ended := make(chan os.Signal, 1), make(chan struct{})
	signal.Notify(signals, syscall.SIGQUIT)
	go func() {
		defer close(ended)
		if _, open := <-signals; !open {
			return
		}
		_, _ = fmt.Fprintln(w, "SIGQUIT: goroutines, without arguments")
		_ = pprof.Lookup("goroutine").WriteTo(w, 1) // the process ends anyway
		os.Exit(exitQuit)
	}()
	return func() {
		signal.Stop(signals)
		close(signals)
		<-ended
	}
}
