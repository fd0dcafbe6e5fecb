package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"rollcall/scripts/testbed"
)

// operationsPage is the page of procedures, from the root of the repository.
const operationsPage = "docs/operations.md"

// step is a block of commands of the page; its first line names it.
type step struct {
	name, language string // sh or sql
	commands       string
}

var (
	stepBlock = regexp.MustCompile("(?ms)^```(sh|sql)\n(.*?)^```$")
	stepName  = regexp.MustCompile(`^(?:#|--) ([a-z][a-z-]*)\n`)
)

// parseSteps reads the blocks of shell and SQL. Each must have a name of its own.
func parseSteps(page string) (map[string]step, error) {
	steps := map[string]step{}
	for _, block := range stepBlock.FindAllStringSubmatch(page, -1) {
		head := stepName.FindStringSubmatch(block[2])
		if head == nil {
			first, _, _ := strings.Cut(block[2], "\n")
			return nil, fmt.Errorf("a block that begins with %q has no name", first)
		}
		s := step{name: head[1], language: block[1], commands: strings.TrimSpace(block[2][len(head[0]):])}
		if _, twice := steps[s.name]; twice || s.commands == "" {
			return nil, fmt.Errorf("the step %s stands there twice, or is empty", s.name)
		}
		steps[s.name] = s
	}
	return steps, nil
}

// readSteps reads the page.
func readSteps(root string) (map[string]step, error) {
	content, err := os.ReadFile(filepath.Join(root, operationsPage))
	if err != nil {
		return nil, fmt.Errorf("read the procedures: %w", err)
	}
	steps, err := parseSteps(string(content))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", operationsPage, err)
	}
	return steps, nil
}

// stepsOfChartLive are the steps that the proof chart-live takes from the page and runs as
// they stand there, on a real API server; all others are this proof's.
func stepsOfChartLive() []string { return []string{"install", "upgrade", "roll-back", "drain-node"} }

// runner carries out steps of the page as they stand there. Shell is run by sh, with a
// rollcall of the proof on its path; SQL by an administrator's connection; and kubectl,
// of which scale and waiting for pods alone are known, starts and stops the proof's
// processes.
type runner struct {
	pipeline  *pipeline
	store     driver.Conn // to no database of Rollcall: there may be none
	binaries  string      // directory with rollcall
	steps     map[string]step
	ran       map[string]bool
	variables map[string]string
}

// newRunner reads the page. binary is the rollcall that its commands run.
func newRunner(p *pipeline, root, binary string) (*runner, error) {
	steps, err := readSteps(root)
	if err != nil {
		return nil, err
	}
	r := &runner{
		pipeline: p, binaries: filepath.Dir(binary), steps: steps, ran: map[string]bool{},
		variables: map[string]string{
			"ROLLCALL_CONFIG": p.cluster.ConfigPath(),
			"GATEWAY_KEYS":    p.cluster.KeysDir(testbed.Gateway), "ANONYMIZER_KEYS": p.cluster.KeysDir(testbed.Anonymizer),
		},
	}
	return r, nil
}

// left returns the steps of the page that no proof runs.
func (r *runner) left() (names []string) {
	for _, name := range slices.Sorted(maps.Keys(r.steps)) {
		if !slices.Contains(stepsOfChartLive(), name) && !r.ran[name] {
			names = append(names, name)
		}
	}
	return names
}

// do runs a step and returns what its commands print.
func (r *runner) do(ctx context.Context, name string) (string, error) {
	s, ok := r.steps[name]
	if !ok {
		return "", fmt.Errorf("%s has no step %s", operationsPage, name)
	}
	r.ran[name] = true
	var (
		printed strings.Builder
		script  []string
	)
	flush := func() error {
		if len(script) == 0 {
			return nil
		}
		output, err := r.shell(ctx, strings.Join(script, "\n"))
		printed.WriteString(output)
		script = nil
		return err
	}
	err := func() error {
		if s.language == "sql" {
			return r.store.Exec(ctx, strings.TrimSuffix(s.commands, ";"))
		}
		for line := range strings.Lines(s.commands) {
			if !strings.HasPrefix(line, "kubectl ") {
				script = append(script, line)
				continue
			}
			if err := errors.Join(flush(), r.kubectl(ctx, strings.Fields(line))); err != nil {
				return err
			}
		}
		return flush()
	}()
	if err != nil {
		return printed.String(), fmt.Errorf("step %s of %s: %w", name, operationsPage, err)
	}
	return printed.String(), nil
}

// shell runs commands until one fails.
func (r *runner) shell(ctx context.Context, script string) (string, error) {
	command := exec.CommandContext(ctx, "sh", "-euc", script)
	command.Env = append(os.Environ(), "PATH="+r.binaries+":"+os.Getenv("PATH"))
	for name, value := range r.variables {
		command.Env = append(command.Env, name+"="+value)
	}
	var problems strings.Builder
	command.Stderr = &problems
	output, err := command.Output()
	if err != nil {
		return string(output), fmt.Errorf("%w: %s%s", err, output, problems.String())
	}
	return string(output), nil
}

// gonePods matches the command that waits until no pod of some services is left.
var gonePods = regexp.MustCompile(`^kubectl -n rollcall wait --for=delete pod -l 'app\.kubernetes\.io/component in \(([a-z, ]+)\)' --timeout \d+m$`)

// kubectl stands in for kubectl -n rollcall scale deployment rollcall-SERVICE … --replicas N,
// which returns only once processes have ended; that none is left is what waiting for pods
// then finds out.
func (r *runner) kubectl(ctx context.Context, words []string) error {
	if gone := gonePods.FindStringSubmatch(strings.Join(words, " ")); gone != nil {
		return r.noneRuns(strings.Split(gone[1], ", "))
	}
	rest, ok := strings.CutPrefix(strings.Join(words, " "), "kubectl -n rollcall scale deployment ")
	names, count, found := strings.Cut(rest, " --replicas ")
	replicas, err := strconv.Atoi(count)
	if !ok || !found || err != nil {
		return fmt.Errorf("the proof has nothing that stands in for %q", strings.Join(words, " "))
	}
	var errs []error
	for _, name := range strings.Fields(names) {
		service := strings.TrimPrefix(name, "rollcall-")
		processes := r.pipeline.cluster.Service(service)
		if len(processes) == 0 || replicas > len(processes) {
			return fmt.Errorf("there are %d processes of %s, not %d", len(processes), service, replicas)
		}
		for i, process := range processes {
			switch {
			case i >= replicas:
				// A sink whose store is away says that it leaves rows to its successor.
				if err := process.Stop(ctx); err != nil && service != testbed.Sink {
					errs = append(errs, err)
				}
			case !process.Running():
				errs = append(errs, process.Start(ctx))
			}
		}
	}
	return errors.Join(errs...)
}

func (r *runner) noneRuns(services []string) error {
	var errs []error
	for _, service := range services {
		processes := r.pipeline.cluster.Service(service)
		if len(processes) == 0 {
			errs = append(errs, fmt.Errorf("there is no process of %s to wait for", service))
		}
		for _, process := range processes {
			if process.Running() {
				errs = append(errs, fmt.Errorf("%s still runs", process.Name()))
			}
		}
	}
	return errors.Join(errs...)
}
