package testbed

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"rollcall/pkg/childprocess"
)

const (
	readyLimit = 3 * time.Minute
	stopLimit  = 70 * time.Second // longer than any service takes to drain
	probeLimit = 2 * time.Second
)

// ProcessOptions describe a process that can be started over and over.
type ProcessOptions struct {
	Name   string // for errors and logs
	Binary string
	Args   []string
	Env    []string // added to ours
	Dir    string   // working directory; empty: ours
	// LogPath gets standard output and error of all its lives, one after the other.
	LogPath string
	// ReadyURL answers 200 when the process is ready; empty: it is once started.
	ReadyURL string
	// ReadyCA has the authority that a ReadyURL of https is checked against.
	ReadyCA *x509.CertPool
}

// Process is a service under test. It is safe for concurrent use, but for two
// concurrent starts.
type Process struct {
	options ProcessOptions

	mu     sync.Mutex
	child  *childprocess.Child // nil before the first start
	spent  Usage               // of former lives
	starts int
	extra  []string // arguments, from Become
}

// NewProcess returns the process, not started.
func NewProcess(o ProcessOptions) *Process { return &Process{options: o} }

// Become makes the next start run another binary, with arguments behind its own.
func (p *Process) Become(binary string, arguments ...string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.options.Binary, p.extra = binary, arguments
}

// Name returns the name it was given.
func (p *Process) Name() string { return p.options.Name }

// LogPath returns the file with its output.
func (p *Process) LogPath() string { return p.options.LogPath }

// URL returns the address of a path on the listener that ReadyURL is on.
func (p *Process) URL(path string) string {
	return strings.TrimSuffix(p.options.ReadyURL, "/readyz") + path
}

// Starts returns how often the process was started.
func (p *Process) Starts() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.starts
}

// Start starts the process and returns when it is ready. ctx bounds the wait only.
func (p *Process) Start(ctx context.Context) error {
	if err := p.Launch(); err != nil {
		return err
	}
	return p.AwaitReady(ctx)
}

// Launch starts the process without waiting for it; one that runs is an error.
func (p *Process) Launch() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.child != nil && p.child.Running() {
		return fmt.Errorf("%s runs already", p.options.Name)
	}
	log, err := os.OpenFile(p.options.LogPath, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return fmt.Errorf("open the log of %s: %w", p.options.Name, err)
	}
	defer log.Close()
	command := exec.Command(p.options.Binary, slices.Concat(p.options.Args, p.extra)...)
	command.Env = append(os.Environ(), p.options.Env...)
	command.Dir = p.options.Dir
	command.Stdout, command.Stderr = log, log
	command.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // a terminal's Ctrl-C is ours to handle
	child, err := childprocess.Start(command)
	if err != nil {
		return err
	}
	if p.child != nil { // the former life ended by itself, and nobody has counted it
		p.spent = p.spent.Add(cpuOf(p.child))
	}
	p.child = child
	p.starts++
	return nil
}

// AwaitReady returns when the process says that it is ready, or why it never will.
func (p *Process) AwaitReady(ctx context.Context) error {
	if p.options.ReadyURL == "" {
		return nil
	}
	child := p.current()
	if child == nil {
		return fmt.Errorf("%s was not started", p.options.Name)
	}
	ctx, cancel := context.WithTimeout(ctx, readyLimit)
	defer cancel()
	ticker := time.NewTicker(pollPeriod)
	defer ticker.Stop()
	for {
		err := probe(ctx, p.options.ReadyURL, p.options.ReadyCA)
		if err == nil {
			return nil
		}
		select {
		case <-child.Done():
			return fmt.Errorf("%s ended before it was ready (%v); its log ends with:\n%s",
				p.options.Name, child.State(), fileTail(p.options.LogPath))
		case <-ctx.Done():
			return fmt.Errorf("%s is not ready (%w): %w; its log ends with:\n%s",
				p.options.Name, context.Cause(ctx), err, fileTail(p.options.LogPath))
		case <-ticker.C:
		}
	}
}

// Ready says whether the process is ready now; the error says why it is not.
func (p *Process) Ready(ctx context.Context) error {
	if child := p.current(); child == nil || !child.Running() {
		return fmt.Errorf("%s does not run", p.options.Name)
	}
	if p.options.ReadyURL == "" {
		return nil
	}
	return probe(ctx, p.options.ReadyURL, p.options.ReadyCA)
}

// probe asks url, whose certificate ca has signed; nil: one that the system trusts.
func probe(ctx context.Context, url string, ca *x509.CertPool) error {
	ctx, cancel := context.WithTimeout(ctx, probeLimit)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return fmt.Errorf("ask whether it is ready: %w", err)
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: ca}}}
	response, err := client.Do(request)
	if err != nil {
		return fmt.Errorf("ask whether it is ready: %w", err)
	}
	defer response.Body.Close()
	if response.StatusCode == http.StatusOK {
		return nil
	}
	why, _ := io.ReadAll(io.LimitReader(response.Body, 4<<10)) // what was read is enough for the error
	return fmt.Errorf("status %d: %s", response.StatusCode, why)
}

func (p *Process) current() *childprocess.Child {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.child
}

// Running says whether the process runs.
func (p *Process) Running() bool {
	child := p.current()
	return child != nil && child.Running()
}

// PID returns the process id of the last start, 0 before the first.
func (p *Process) PID() int {
	if child := p.current(); child != nil {
		return child.PID()
	}
	return 0
}

// Done is closed when the present life has ended; nil before the first start.
func (p *Process) Done() <-chan struct{} {
	if child := p.current(); child != nil {
		return child.Done()
	}
	return nil
}

// Stop ends the process in order (SIGTERM). An exit status other than 0, or a kill
// because it took longer than any service may, or ctx ended, is an error.
func (p *Process) Stop(ctx context.Context) error {
	child := p.current()
	if child == nil || !child.Running() {
		return nil
	}
	err := p.account(child, func() error { return terminate(ctx, child, stopLimit) })
	if err == nil {
		err = child.Wait()
	}
	if err != nil {
		return fmt.Errorf("stop %s: %w; its log ends with:\n%s", p.options.Name, err, fileTail(p.options.LogPath))
	}
	return nil
}

// Kill ends the process at once (SIGKILL) and waits for its end.
func (p *Process) Kill() {
	child := p.current()
	if child == nil || !child.Running() {
		return
	}
	_ = p.account(child, func() error { child.Kill(); return nil })
}

// account ends the child and keeps what it used. Its peak is read before the end:
// afterwards the kernel tells one that our own may have raised.
func (p *Process) account(child *childprocess.Child, end func() error) error {
	before, _ := ProcessUsage(child.PID()) // one that has just ended has no peak to tell
	err := end()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.child == child {
		p.spent = p.spent.Add(cpuOf(child)).Add(Usage{PeakBytes: before.PeakBytes})
		p.child = nil
	}
	return err
}

// cpuOf returns what an ended child used, but for memory.
func cpuOf(child *childprocess.Child) Usage {
	state := child.State()
	if state == nil {
		return Usage{}
	}
	return Usage{CPU: state.UserTime() + state.SystemTime()}
}

// Signal sends a signal to the running process.
func (p *Process) Signal(signal os.Signal) error {
	child := p.current()
	if child == nil {
		return fmt.Errorf("%s does not run", p.options.Name)
	}
	return child.Signal(signal)
}

// Pause freezes the process (SIGSTOP).
func (p *Process) Pause() error { return p.Signal(syscall.SIGSTOP) }

// Resume lets a paused process go on.
func (p *Process) Resume() error { return p.Signal(syscall.SIGCONT) }

// Usage returns what all lives of the process used so far. A life that ended by
// itself counts with its CPU; its peak is that of the last question.
func (p *Process) Usage() (Usage, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.child == nil {
		return p.spent, nil
	}
	if !p.child.Running() {
		return p.spent.Add(cpuOf(p.child)), nil
	}
	now, err := ProcessUsage(p.child.PID())
	if err != nil {
		if errors.Is(err, os.ErrNotExist) { // it is ending this very moment
			return p.spent, nil
		}
		return Usage{}, err
	}
	return p.spent.Add(now), nil
}
