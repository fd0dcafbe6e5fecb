// Command rollcall receives the usage reports of product installations and turns
// them into exact counts per licence and day. Each service of the pipeline is a
// subcommand; `rollcall standalone` runs all of them on one machine.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"sync"
	"syscall"

	"github.com/alecthomas/kong"
	kongcompletion "github.com/jotaen/kong-completion"

	"rollcall/pkg/harden"
	"rollcall/pkg/localclickhouse"
)

// revision is set by the linker: -X main.revision=$(git describe).
var revision string

// Exit codes, as every command's help lists them.
const (
	exitDone      = 0
	exitFailed    = 1
	exitUsage     = 2
	exitDiffers   = 3
	exitImmediate = 130 // a second signal: 128 + SIGINT
)

// errDiffers says that a comparison was carried out and found something; what it
// found has been printed already.
var errDiffers = errors.New("differences found")

// usageError is a mistake in flags, environment or configuration file.
type usageError struct{ err error }

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

func usage(err error) error {
	if err == nil {
		return nil
	}
	return &usageError{err}
}

// app is the process around a command.
type app struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	environ        []string
	settings       *settings
	model          *kong.Application
	protection     harden.Protection // of this process; zero in tests, which share theirs
}

func main() {
	if localclickhouse.Main() {
		return // this process was the embedded ClickHouse
	}
	os.Exit(process())
}

// process is the command line in a process of its own, protected before it reads
// anything. A panic that nothing else has caught ends it without quoting.
func process() (code int) {
	protection, err := harden.Process()
	if err != nil {
		_, _ = fmt.Fprintln(os.Stderr, "rollcall:", err)
		return exitFailed
	}
	defer func() {
		if p := recover(); p != nil {
			_, _ = fmt.Fprintln(os.Stderr, "rollcall:", harden.Panicked(p))
			code = exitFailed
		}
	}()
	defer harden.OnQuit(os.Stderr)()
	ctx, stop := untilSignal()
	defer stop()
	a := &app{stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, environ: os.Environ(), protection: protection}
	return run(ctx, a, os.Args[1:])
}

// untilSignal returns a context that ends at the first SIGINT or SIGTERM; a second
// one ends the process at once.
func untilSignal() (context.Context, func()) {
	ctx, cancel := context.WithCancel(context.Background())
	signals := make(chan os.Signal, 2) // room for both, so that neither is dropped
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	var waiting sync.WaitGroup
	waiting.Go(func() {
		if _, open := <-signals; !open {
			return
		}
		cancel()
		if _, open := <-signals; open {
			os.Exit(exitImmediate)
		}
	})
	return ctx, func() {
		signal.Stop(signals)
		close(signals)
		waiting.Wait()
		cancel()
	}
}

// run carries out one command line and returns the process's exit code.
func run(ctx context.Context, a *app, args []string) int {
	code := -1
	parser, err := newParser(ctx, a, func(c int) { code = c })
	if err != nil {
		_, _ = fmt.Fprintln(a.stderr, "rollcall:", err)
		return exitFailed
	}
	if slices.ContainsFunc(a.environ, func(pair string) bool { return strings.HasPrefix(pair, "COMP_LINE=") }) {
		kongcompletion.Register(parser) // the shell asks, and gets its answer
		return max(code, exitDone)
	}
	if len(args) == 0 {
		args = []string{"--help"}
	}
	if err := inSight(args, a.environ); err != nil {
		_, _ = fmt.Fprintf(a.stderr, "rollcall: %v\n", err)
		return exitUsage
	}
	parsed, err := parser.Parse(args)
	if code >= 0 { // --help has been printed
		return code
	}
	if err != nil {
		_, _ = fmt.Fprintf(a.stderr, "rollcall: %v\n", a.settings.explain(err))
		return exitUsage
	}
	err = parsed.Run()
	var mistaken *usageError
	switch {
	case err == nil:
		return exitDone
	case errors.Is(err, errDiffers):
		return exitDiffers
	case ctx.Err() != nil && errors.Is(err, context.Canceled):
		_, _ = fmt.Fprintln(a.stderr, "rollcall: interrupted")
		return exitFailed
	case errors.As(err, &mistaken):
		_, _ = fmt.Fprintf(a.stderr, "rollcall: %v\n", err)
		return exitUsage
	}
	_, _ = fmt.Fprintf(a.stderr, "rollcall: %v\n", err)
	return exitFailed
}

func newParser(ctx context.Context, a *app, exit func(int)) (*kong.Kong, error) {
	a.settings = &settings{environ: a.environ}
	var grammar cli
	parser, err := kong.New(&grammar,
		kong.Name("rollcall"),
		kong.Description(description),
		kong.Writers(a.stdout, a.stderr),
		kong.Exit(exit),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, NoExpandSubcommands: true}),
		kong.BindTo(ctx, (*context.Context)(nil)),
		kong.Bind(a),
	)
	if err != nil {
		return nil, fmt.Errorf("read command line grammar: %w", err)
	}
	a.model = parser.Model
	return parser, nil
}
