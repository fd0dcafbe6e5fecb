package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/mattn/go-isatty"
)

// progress shows on standard error how far long work is. On a terminal one line is
// written over and over; elsewhere a line appears at each step, and none between.
type progress struct {
	to       io.Writer
	terminal bool
	last     time.Time
	open     bool // an unfinished line stands on the terminal
}

const progressInterval = 100 * time.Millisecond

func newProgress(to io.Writer) *progress {
	f, ok := to.(*os.File)
	return &progress{to: to, terminal: ok && isatty.IsTerminal(f.Fd())}
}

// step announces the next part of the work.
func (p *progress) step(format string, args ...any) {
	p.clear()
	_, _ = fmt.Fprintf(p.to, format+"\n", args...)
}

// update shows how far the part is; most calls do nothing, so call it freely.
func (p *progress) update(format string, args ...any) {
	if !p.terminal || time.Since(p.last) < progressInterval {
		return
	}
	p.last, p.open = time.Now(), true
	_, _ = fmt.Fprintf(p.to, "\r\x1b[K  "+format, args...)
}

func (p *progress) clear() {
	if p.open {
		_, _ = fmt.Fprint(p.to, "\r\x1b[K")
		p.open = false
	}
}
