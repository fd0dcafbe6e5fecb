package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"rollcall/scripts/parts/partstore"
	"rollcall/scripts/testbed"
)

// chartNamespace is where renderings of the proofs stand.
const chartNamespace = "rollcall"

// chart is helm/rollcall with the programs that judge it.
type chart struct {
	env       *Environment
	root      string // of the repository
	dir       string // of the chart
	helm      string
	judge     string // scripts/chart, built
	renderDir string
}

func openChart(ctx context.Context, env *Environment) (*chart, error) {
	root, err := testbed.Root(ctx)
	if err != nil {
		return nil, err
	}
	c := &chart{env: env, root: root, dir: filepath.Join(root, "helm", "rollcall"), judge: env.Path("chart"), renderDir: env.Path("rendered")}
	if c.helm, err = env.Part(ctx, partstore.Helm); err != nil {
		return nil, err
	}
	env.Say("building scripts/chart")
	build := exec.CommandContext(ctx, "go", "build", "-o", c.judge, ".")
	build.Dir = filepath.Join(root, "scripts", "chart")
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build scripts/chart: %w: %s", err, out)
	}
	if err := os.MkdirAll(c.renderDir, 0o755); err != nil {
		return nil, fmt.Errorf("make a directory for renderings: %w", err)
	}
	return c, nil
}

// values are the files of a directory of the chart, sorted.
func (c *chart) values(pattern string) ([]string, error) {
	files, err := filepath.Glob(filepath.Join(c.dir, "ci", pattern))
	if err != nil || len(files) == 0 {
		return nil, errors.Join(err, fmt.Errorf("no values files are ci/%s", pattern))
	}
	slices.Sort(files)
	return files, nil
}

// valuesFile returns a file of values of the chart's own.
func (c *chart) valuesFile(name string) string {
	return filepath.Join(c.dir, "ci", name+"-values.yaml")
}

// minimal is what every other file of values adds to.
func (c *chart) minimal() string { return c.valuesFile("minimal") }

// command runs a program and returns what it wrote, to both outputs.
func (c *chart) command(ctx context.Context, name string, arguments ...string) (string, error) {
	out, err := exec.CommandContext(ctx, name, arguments...).CombinedOutput()
	if err != nil {
		return string(out), fmt.Errorf("%s %s: %w: %s", filepath.Base(name), strings.Join(arguments, " "), err, out)
	}
	return string(out), nil
}

// render renders one file of values, over the minimal ones, and returns the path of
// what came of it.
func (c *chart) render(ctx context.Context, values string) (string, error) {
	out, err := exec.CommandContext(ctx, c.helm, "template", "rollcall", c.dir, "--namespace", chartNamespace, "-f", c.minimal(), "-f", values).Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			return "", fmt.Errorf("render %s: %s", filepath.Base(values), exit.Stderr)
		}
		return "", fmt.Errorf("render %s: %w", filepath.Base(values), err)
	}
	path := filepath.Join(c.renderDir, strings.TrimSuffix(filepath.Base(values), "-values.yaml")+".yaml")
	if err := os.WriteFile(path, out, 0o644); err != nil {
		return "", fmt.Errorf("keep a rendering: %w", err)
	}
	return path, nil
}

// renderAll renders every file of values.
func (c *chart) renderAll(ctx context.Context) ([]string, error) {
	files, err := c.values("*-values.yaml")
	if err != nil {
		return nil, err
	}
	rendered := make([]string, len(files))
	for i, file := range files {
		if rendered[i], err = c.render(ctx, file); err != nil {
			return nil, err
		}
	}
	return rendered, nil
}
