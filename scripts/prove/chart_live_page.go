package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// pageLimit bounds each step of the page, whose own waits are those of a real cluster.
const pageLimit = 2 * liveLimit

// livePage carries out steps of docs/operations.md as they stand there, as the operator:
// in a directory that has helm/rollcall and values.yaml, by the proof's helm and kubectl.
type livePage struct {
	env         *Environment
	dir         string
	environment []string
	steps       map[string]step
	ran         []string
}

// openPage reads the page, which must have every step that is this proof's.
func (l *liveChart) openPage() (*livePage, error) {
	steps, err := readSteps(l.root)
	if err != nil {
		return nil, err
	}
	p := &livePage{env: l.env, dir: l.env.Path("page"), steps: steps}
	if left := p.left(); len(left) != len(stepsOfChartLive()) {
		return nil, fmt.Errorf("of the steps %v %s has %v", stepsOfChartLive(), operationsPage, left)
	}
	if err := os.Mkdir(p.dir, 0o755); err != nil {
		return nil, fmt.Errorf("make the directory of the page's commands: %w", err)
	}
	if err := os.Symlink(filepath.Dir(l.dir), filepath.Join(p.dir, "helm")); err != nil {
		return nil, fmt.Errorf("lay out the chart: %w", err)
	}
	p.environment = append(l.ownHelm(),
		"PATH="+strings.Join([]string{filepath.Dir(l.helm), l.cluster.Programs(), os.Getenv("PATH")}, ":"),
		"KUBECONFIG="+l.cluster.OperatorConfig(), "KUBECACHEDIR="+l.env.Path("kubectl"),
		"NODE="+firstNode)
	return p, nil
}

// left returns those steps of this proof that the page has and nobody has run.
func (p *livePage) left() []string {
	return slices.DeleteFunc(stepsOfChartLive(), func(name string) bool {
		return p.steps[name].language != "sh" || slices.Contains(p.ran, name)
	})
}

// do runs a step until one of its commands fails.
func (p *livePage) do(ctx context.Context, name string) error {
	p.env.Say("step %s of %s", name, operationsPage)
	ctx, cancel := context.WithTimeout(ctx, pageLimit)
	defer cancel()
	command := exec.CommandContext(ctx, "sh", "-euc", p.steps[name].commands)
	command.Dir, command.Env = p.dir, p.environment
	// Helm and kubectl, too, end with ctx.
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	command.Cancel = func() error { return syscall.Kill(-command.Process.Pid, syscall.SIGTERM) }
	command.WaitDelay = 10 * time.Second
	if out, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("step %s of %s: %w: %s", name, operationsPage, err, out)
	}
	p.ran = append(p.ran, name)
	return nil
}

// writeValues lays out values.yaml: the least values with what an upgrade changes.
func (r *releaseLife) writeValues(changes string) error {
	least, err := os.ReadFile(r.values)
	if err != nil {
		return fmt.Errorf("read the page's values: %w", err)
	}
	if err := os.WriteFile(filepath.Join(r.page.dir, "values.yaml"), append(least, changes...), 0o600); err != nil {
		return fmt.Errorf("lay out the page's values: %w", err)
	}
	return nil
}

// install installs the release and tests it.
func (r *releaseLife) install(ctx context.Context) error {
	if r.page != nil {
		if err := r.writeValues(""); err != nil {
			return err
		}
		return r.page.do(ctx, "install")
	}
	if err := r.release(ctx, "install", r.dir, "-f", r.minimal(), "-f", r.values); err != nil {
		return err
	}
	return r.steer(ctx, "test", liveRelease, "--timeout", liveLimit.String())
}

// upgrade gives the release the changes.
func (r *releaseLife) upgrade(ctx context.Context) error {
	if r.page != nil {
		if err := r.writeValues(r.changes); err != nil {
			return err
		}
		return r.page.do(ctx, "upgrade")
	}
	changes, err := r.write(r.namespace+"-changes.yaml", r.changes)
	if err != nil {
		return err
	}
	return r.release(ctx, "upgrade", r.dir, "-f", r.minimal(), "-f", r.values, "-f", changes)
}

// rollBack takes the changes back.
func (r *releaseLife) rollBack(ctx context.Context) error {
	if r.page != nil {
		return r.page.do(ctx, "roll-back")
	}
	return r.release(ctx, "rollback", "1")
}
