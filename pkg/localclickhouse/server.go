// Package localclickhouse runs a real ClickHouse server on this machine, in a child
// process: the clickhouse binary on the PATH, or else the engine's library (build tag
// embedded), loaded by a re-execution of this very binary.
//
// A program that starts one calls Main first thing in main (or TestMain).
package localclickhouse

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/creack/pty"

	"rollcall/pkg/childprocess"
)

const (
	// childArgument is the hidden first argument that makes a process the engine.
	childArgument = "local-clickhouse-engine"
	envLibrary    = "ROLLCALL_ENGINE_LIBRARY"
	envConfig     = "ROLLCALL_ENGINE_CONFIG"
	envData       = "ROLLCALL_ENGINE_DATA"

	startLimit = 3 * time.Minute       // a start after kill -9 reads every part again
	stopLimit  = 2 * time.Minute       // then it is killed
	lockLimit  = 5 * time.Second       // a predecessor that has just been killed lets go of the directory within this
	pollPeriod = 20 * time.Millisecond // how often a starting server is asked
	pingLimit  = 5 * time.Second       // for one such question
)

// ErrInUse says that another server runs in the directory.
var ErrInUse = errors.New("another server uses this directory")

// Main is the engine when this process was started as one, and then does not return.
// Otherwise it returns false at once.
func Main() bool {
	if len(os.Args) < 2 || os.Args[1] != childArgument {
		return false
	}
	engineMain()
	return true
}

// Server is a running ClickHouse. It is safe for concurrent use.
type Server struct {
	options  Options
	layout   layout
	child    *childprocess.Child
	terminal *os.File // the engine's standard input; nil with a server binary
	done     chan struct{}
}

// Start runs a server in o.Dir and returns once it answers. ctx bounds the start
// only; Stop ends the server. ErrInUse: one runs there already.
func Start(ctx context.Context, o Options) (*Server, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	found, err := findEngine(o)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	// A port picked here can be taken before the server listens: then another is tried.
	for attempt := 1; ; attempt++ {
		server, err := startOnce(ctx, o, found)
		picked := o.TCPPort == 0 || o.HTTPPort == 0
		if err == nil || !picked || attempt == 3 || !errors.Is(err, errPortTaken) {
			return server, err
		}
	}
}

// errPortTaken says that the server could not listen.
var errPortTaken = errors.New("a port is in use")

func startOnce(ctx context.Context, o Options, found engine) (*Server, error) {
	l, err := makeLayout(o.Dir)
	if err != nil {
		return nil, err
	}
	lock, err := lockDirectory(ctx, l)
	if err != nil {
		return nil, err
	}
	defer lock.Close() // the child holds it from now on
	if o.TCPPort, err = freePort(o.TCPPort); err != nil {
		return nil, err
	}
	if o.HTTPPort, err = freePort(o.HTTPPort); err != nil {
		return nil, err
	}
	if err := writeConfig(l, o); err != nil {
		return nil, err
	}
	if found.binary == "" {
		if err := forgetLogs(l); err != nil {
			return nil, err
		}
	}
	s := &Server{options: o, layout: l, done: make(chan struct{})}
	if err := s.spawn(found, lock); err != nil {
		return nil, err
	}
	if err := s.awaitAnswer(ctx); err != nil {
		s.kill()
		return nil, err
	}
	o.Logger.Info("local ClickHouse is up", "address", s.Address(), "http", s.HTTPURL(), "pid", s.PID())
	return s, nil
}

// Address returns the native protocol's host:port.
func (s *Server) Address() string {
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(s.options.TCPPort))
}

// HTTPURL returns the base of the HTTP interface, without a slash at its end.
func (s *Server) HTTPURL() string {
	return "http://" + net.JoinHostPort("127.0.0.1", strconv.Itoa(s.options.HTTPPort))
}

// PID returns the engine's process id.
func (s *Server) PID() int { return s.child.PID() }

// Done is closed when the engine's process has ended, whatever ended it.
func (s *Server) Done() <-chan struct{} { return s.done }

// Wait returns when the engine's process has ended; nil after an orderly stop.
func (s *Server) Wait() error {
	<-s.done
	return s.child.Wait()
}

// Stop ends the server in order, within 2 minutes and ctx; after that it is killed, and the
// error says so. Rows acknowledged with fsync settings survive either. A connection
// left open by a client delays the end by 5 s: close clients first. Stopping a server
// that has ended returns nil.
func (s *Server) Stop(ctx context.Context) error {
	select {
	case <-s.done:
		return nil
	default:
	}
	if err := s.requestExit(); err != nil {
		s.kill()
		return fmt.Errorf("stop local ClickHouse (killed instead): %w", err)
	}
	limit := time.NewTimer(stopLimit)
	defer limit.Stop()
	select {
	case <-s.done:
		s.options.Logger.Info("local ClickHouse has stopped", "pid", s.PID())
		return nil
	case <-ctx.Done():
		s.kill()
		return fmt.Errorf("stop local ClickHouse (killed instead): %w", context.Cause(ctx))
	case <-limit.C:
		s.kill()
		return fmt.Errorf("stop local ClickHouse: not within %v, killed", stopLimit)
	}
}

// Kill ends the process at once, as a crash would, and waits for its end.
func (s *Server) Kill() { s.kill() }

func (s *Server) requestExit() error {
	if s.terminal == nil {
		return s.child.Signal(syscall.SIGTERM)
	}
	// SIGTERM would end the library's process with its buffers unwritten.
	_, err := s.terminal.WriteString("exit\n")
	return err
}

func (s *Server) kill() {
	s.child.Kill()
	<-s.done
}

// spawn starts the process and the goroutine that owns it.
func (s *Server) spawn(found engine, lock *os.File) error {
	output, err := os.OpenFile(s.layout.output(), os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("open the engine's output: %w", err)
	}
	defer output.Close()
	command, err := engineCommand(found, s.layout)
	if err != nil {
		return err
	}
	command.Dir = s.layout.dir
	command.Stdout, command.Stderr = output, output
	command.ExtraFiles = []*os.File{lock}
	// A session of its own: a terminal's Ctrl-C reaches only us, who then stop the engine in order.
	command.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: found.binary == ""}
	if found.binary == "" {
		terminal, standardInput, err := pty.Open()
		if err != nil {
			return fmt.Errorf("open a pseudo-terminal for the engine: %w", err)
		}
		defer standardInput.Close()
		s.terminal, command.Stdin = terminal, standardInput
	}
	if s.child, err = childprocess.Start(command); err != nil {
		if s.terminal != nil {
			s.terminal.Close()
		}
		return err
	}
	go s.attend()
	return nil
}

// attend keeps what the engine echoes from filling its terminal, and gives the
// terminal back once the engine has ended.
func (s *Server) attend() {
	defer close(s.done)
	if s.terminal == nil {
		<-s.child.Done()
		return
	}
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		_, _ = io.Copy(io.Discard, s.terminal) // ends with an error when the other side closes
	}()
	<-s.child.Done()
	s.terminal.Close()
	<-drained
}

// engineCommand returns the process to start: the server binary, or ourselves.
func engineCommand(found engine, l layout) (*exec.Cmd, error) {
	if found.binary != "" {
		command := exec.Command(found.binary, "server", "--config-file="+l.config())
		command.Env = append(os.Environ(), "CLICKHOUSE_WATCHDOG_ENABLE=0") // one process, whose id is the server's
		return command, nil
	}
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this binary: %w", err)
	}
	command := exec.Command(self, childArgument)
	command.Env = append(os.Environ(), envLibrary+"="+found.library, envConfig+"="+l.config(), envData+"="+l.data(),
		"HOME="+l.dir, "TERM=dumb") // its history and its colours are nobody's
	return command, nil
}

// awaitAnswer returns when both ports answer, or says why they never will.
func (s *Server) awaitAnswer(ctx context.Context) error {
	ticker := time.NewTicker(pollPeriod)
	defer ticker.Stop()
	for {
		if s.answers(ctx) {
			return nil
		}
		// An engine at its terminal survives its own failure to listen, and waits.
		if strings.Contains(tail(s.layout.output()), "DB::Exception") {
			return fmt.Errorf("local ClickHouse cannot serve: %w", s.failure())
		}
		select {
		case <-s.done:
			return fmt.Errorf("local ClickHouse ended while starting (%v): %w", s.child.State(), s.failure())
		case <-ctx.Done():
			return fmt.Errorf("local ClickHouse does not answer (%w): %w", context.Cause(ctx), s.failure())
		case <-ticker.C:
		}
	}
}

func (s *Server) answers(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, pingLimit)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.HTTPURL()+"/ping", nil)
	if err != nil {
		return false
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Do(request)
	if err != nil {
		return false
	}
	response.Body.Close()
	connection, err := new(net.Dialer).DialContext(ctx, "tcp", s.Address())
	if err != nil {
		return false
	}
	connection.Close()
	return response.StatusCode == http.StatusOK
}

// failure quotes the end of what the engine wrote.
func (s *Server) failure() error {
	text := tail(s.layout.output()) + tail(s.layout.errorLog())
	if strings.Contains(text, "Address already in use") {
		return fmt.Errorf("%w; its log ends with:\n%s", errPortTaken, text)
	}
	if text == "" {
		return errors.New("it wrote no log")
	}
	return fmt.Errorf("its log ends with:\n%s", text)
}
