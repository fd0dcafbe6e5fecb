// Command prove runs the proofs behind Rollcall's claims: each starts the real parts,
// measures, and says whether the claim holds.
//
//	go run -tags embedded ./scripts/prove -list
//	go run -tags embedded ./scripts/prove -name kafka-exact -size small
//
// The last line is "NAME: holds: figure", with exit status 0, or "NAME: falls short:
// figure", with 1.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"rollcall/pkg/localclickhouse"
)

func main() {
	if localclickhouse.Main() {
		return // this process was the ClickHouse of a proof
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	holds, err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "prove:", err)
		os.Exit(2)
	}
	if !holds {
		os.Exit(1)
	}
}

// run carries out the command line; an error is one of usage, not of a proof.
func run(ctx context.Context, arguments []string, stdout, stderr io.Writer) (holds bool, err error) {
	flags := flag.NewFlagSet("prove", flag.ContinueOnError)
	flags.SetOutput(stderr)
	name := flags.String("name", "", "proof to run")
	size := flags.String("size", string(Full), "small: minutes less, for tests; full: what docs/proofs.md lists")
	list := flags.Bool("list", false, "list the proofs")
	keep := flags.Bool("keep", false, "keep the directory with logs and data, even where the claim holds")
	if err := flags.Parse(arguments); err != nil {
		return false, err
	}
	if *size != string(Small) && *size != string(Full) {
		return false, fmt.Errorf("-size is small or full, not %q", *size)
	}
	if *list || *name == "" {
		for _, p := range proofs() {
			fmt.Fprintf(stdout, "%-14s %s\n", p.Name, p.Claim)
		}
		return *list, nil
	}
	proof, err := find(*name)
	if err != nil {
		return false, err
	}
	fmt.Fprintln(stdout, machine())
	env, err := newEnvironment(Size(*size), stderr)
	if err != nil {
		return false, err
	}
	started := time.Now()
	verdict := proof.carryOut(ctx, env)
	if err := env.close(*keep || !verdict.Holds); err != nil {
		fmt.Fprintln(stderr, "prove: tidy up:", err)
	}
	fmt.Fprintf(stdout, "took %v\n", time.Since(started).Round(time.Second))
	if !verdict.Holds {
		fmt.Fprintf(stdout, "logs and data: %s\n", env.Dir)
	}
	fmt.Fprintln(stdout, verdict.line(proof.Name))
	return verdict.Holds, nil
}

// Proof shows one claim.
type Proof struct {
	Name string
	// Claim is what is shown, in a line.
	Claim string
	// Tested proofs run, small, in make test too: those of correctness that take about a
	// minute.
	Tested bool
	// Run returns the figure seen and whether the claim holds. An error says that
	// it could not be shown: then it does not hold.
	Run func(ctx context.Context, env *Environment) (figure string, holds bool, err error)
}

// verdict is what came of a proof.
type verdict struct {
	Figure string
	Holds  bool
}

func (p Proof) carryOut(ctx context.Context, env *Environment) verdict {
	figure, holds, err := p.Run(ctx, env)
	if err != nil {
		return verdict{Figure: strings.TrimSpace(figure + " (" + err.Error() + ")")}
	}
	return verdict{Figure: figure, Holds: holds}
}

// line is the verdict's last line; a figure of several lines is folded into one.
func (v verdict) line(name string) string {
	outcome := "falls short"
	if v.Holds {
		outcome = "holds"
	}
	return fmt.Sprintf("%s: %s: %s", name, outcome, strings.Join(strings.Fields(v.Figure), " "))
}

func find(name string) (Proof, error) {
	all := proofs()
	index := slices.IndexFunc(all, func(p Proof) bool { return p.Name == name })
	if index < 0 {
		return Proof{}, errors.New("no proof is named " + name + "; -list lists them")
	}
	return all[index], nil
}
