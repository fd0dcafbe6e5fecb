package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"rollcall/scripts/parts/partstore"
)

const (
	leastValues  = 25
	leastRefused = 15
	// refusedMark begins the line of a wrong file of values that says how it is refused.
	refusedMark = "# refused: "
)

// proveChartMatrix renders every file of values of helm/rollcall/ci and holds what
// comes of it to four judges: helm lint, the API's Go types, the API's own definitions
// (kubeconform), and rollcall itself, which is given every configuration, every
// variable and every command line. Wrong files must be refused as they say.
func proveChartMatrix(ctx context.Context, env *Environment) (string, bool, error) {
	c, err := openChart(ctx, env)
	if err != nil {
		return "", false, err
	}
	files, err := c.values("*-values.yaml")
	if err != nil {
		return "", false, err
	}
	env.Say("linting and rendering %d files of values", len(files))
	for _, file := range files {
		if _, err := c.command(ctx, c.helm, "lint", "--strict", c.dir, "-f", c.minimal(), "-f", file); err != nil {
			return "", false, err
		}
	}
	rendered, err := c.renderAll(ctx)
	if err != nil {
		return "", false, err
	}
	decoded, err := c.command(ctx, c.judge, append([]string{"decode"}, rendered...)...)
	if err != nil {
		return "", false, err
	}
	jobs, err := jobsKeepTheirSpecs(rendered)
	if err != nil {
		return "", false, err
	}
	labels, err := c.labelsWon(ctx)
	if err != nil {
		return "", false, err
	}
	valid, err := c.conform(ctx, rendered)
	if err != nil {
		return "", false, err
	}
	env.Say("giving rollcall every configuration and command line")
	taken, err := c.askRollcall(ctx, rendered)
	if err != nil {
		return "", false, err
	}
	controls, err := c.breakRenderings(ctx, rendered)
	if err != nil {
		return "", false, err
	}
	misled, err := c.misleadRollcall(ctx, rendered[0])
	if err != nil {
		return "", false, err
	}
	refused, err := c.refuse(ctx)
	if err != nil {
		return "", false, err
	}
	warned, err := c.notesWarn(ctx)
	if err != nil {
		return "", false, err
	}
	if err := c.fresh(ctx); err != nil {
		return "", false, err
	}
	figure := fmt.Sprintf("%d files of values: 0 errors of helm lint, %s, %d objects valid by the API's definitions, %d sets of labels as the more specific values have them, %d jobs outside of hooks never of one name and two specs, %s; %s, %s; %d wrong files of values refused, each with the message that stands in it; %d warnings in the notes after an install",
		len(files), strings.TrimSpace(decoded), valid, labels, jobs, taken, controls, misled, refused, warned)
	return figure, len(files) >= leastValues && refused >= leastRefused, nil
}

// conform runs kubeconform with schemas made from the API's definitions, and returns
// how many objects it found valid.
func (c *chart) conform(ctx context.Context, paths []string) (int, error) {
	schemas := c.env.Path("schemas")
	if _, err := os.Stat(schemas); err != nil {
		c.env.Say("making schemas of the API's definitions")
		if _, err := c.command(ctx, c.judge, "schemas", schemas); err != nil {
			return 0, err
		}
	}
	program, err := c.env.Part(ctx, partstore.Kubeconform)
	if err != nil {
		return 0, err
	}
	arguments := append([]string{
		"-strict", "-summary", "-output", "json",
		"-schema-location", schemas + "/{{.ResourceKind}}{{.KindSuffix}}.json",
	}, paths...)
	out, failed := exec.CommandContext(ctx, program, arguments...).Output()
	var report struct {
		Resources []struct{ Filename, Kind, Name, Msg string }
		Summary   struct{ Valid, Invalid, Errors, Skipped int }
	}
	if err := json.Unmarshal(out, &report); err != nil {
		return 0, fmt.Errorf("read kubeconform's report: %w", errors.Join(err, failed))
	}
	var errs []error
	for _, r := range report.Resources {
		errs = append(errs, fmt.Errorf("%s: %s %s: %s", filepath.Base(r.Filename), r.Kind, r.Name, r.Msg))
	}
	if report.Summary.Invalid+report.Summary.Errors > 0 || failed != nil {
		return 0, errors.Join(append(errs, failed)...)
	}
	return report.Summary.Valid, nil
}

// refuse holds wrong values to the message that stands in their file.
func (c *chart) refuse(ctx context.Context) (int, error) {
	files, err := c.values("refused/*.yaml")
	if err != nil {
		return 0, err
	}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			return 0, fmt.Errorf("read wrong values: %w", err)
		}
		first, _, _ := strings.Cut(string(content), "\n")
		want, marked := strings.CutPrefix(first, refusedMark)
		if !marked || want == "" {
			return 0, fmt.Errorf("%s does not say in its first line how it is refused", file)
		}
		_, err = c.render(ctx, file)
		if err == nil {
			return 0, fmt.Errorf("%s was not refused", filepath.Base(file))
		}
		if !strings.Contains(err.Error(), want) {
			return 0, fmt.Errorf("%s was refused, but not with %q: %w", filepath.Base(file), want, err)
		}
	}
	return len(files), nil
}

// breakRenderings makes mistakes in a rendering that each judge must find.
func (c *chart) breakRenderings(ctx context.Context, rendered []string) (string, error) {
	whole, err := os.ReadFile(rendered[0])
	if err != nil {
		return "", fmt.Errorf("read a rendering: %w", err)
	}
	mistakes := [][2]string{
		{"readOnlyRootFilesystem:", "readOnlyRootFileSystem:"},
		{"periodSeconds: 2", "periodSeconds: two"},
		{"unhealthyPodEvictionPolicy:", "unhealthyPodEviction:"},
	}
	path := c.env.Path("broken.yaml")
	for _, m := range mistakes {
		broken := strings.Replace(string(whole), m[0], m[1], 1)
		if broken == string(whole) {
			return "", fmt.Errorf("no rendering has %q", m[0])
		}
		if err := os.WriteFile(path, []byte(broken), 0o644); err != nil {
			return "", fmt.Errorf("write a broken rendering: %w", err)
		}
		if _, err := c.command(ctx, c.judge, "decode", path); err == nil {
			return "", fmt.Errorf("the API's types took %q", m[1])
		}
		if _, err := c.conform(ctx, []string{path}); err == nil {
			return "", fmt.Errorf("kubeconform took %q", m[1])
		}
	}
	return fmt.Sprintf("%d of %d mistakes made on purpose found by types and definitions", len(mistakes), len(mistakes)), nil
}

// fresh compares what is made from other files with what is checked in.
func (c *chart) fresh(ctx context.Context) error {
	docs, err := c.env.Part(ctx, partstore.HelmDocs)
	if err != nil {
		return err
	}
	made, err := exec.CommandContext(ctx, docs, "--chart-search-root", c.dir, "--dry-run", "--sort-values-order", "file", "--log-level", "error").Output()
	if err != nil {
		return fmt.Errorf("make the chart's README: %w", err)
	}
	readme, err := os.ReadFile(filepath.Join(c.dir, "README.md"))
	if err != nil {
		return fmt.Errorf("read the chart's README: %w", err)
	}
	if strings.TrimSpace(string(made)) != strings.TrimSpace(string(readme)) {
		return errors.New("helm/rollcall/README.md is stale: make helm-docs")
	}
	return chartFilesFresh(c.root)
}

// chartFilesFresh compares the chart's copies of rules and dashboards with their originals:
// helm takes no file from outside of a chart.
func chartFilesFresh(root string) error {
	originals, copies := filepath.Join(root, "deploy", "telemetry"), filepath.Join(root, "helm", "rollcall", "files", "telemetry")
	var errs []error
	found := map[string]bool{}
	for _, pattern := range []string{"rules.yaml", "dashboards/*.json"} {
		for _, dir := range []string{originals, copies} {
			files, err := filepath.Glob(filepath.Join(dir, pattern))
			if err != nil {
				return fmt.Errorf("look for rules and dashboards: %w", err)
			}
			for _, file := range files {
				name, err := filepath.Rel(dir, file)
				if err != nil {
					return fmt.Errorf("look for rules and dashboards: %w", err)
				}
				found[name] = true
			}
		}
	}
	if !found["rules.yaml"] {
		errs = append(errs, errors.New("deploy/telemetry/rules.yaml is not there"))
	}
	for name := range found {
		original, err1 := os.ReadFile(filepath.Join(originals, name))
		copied, err2 := os.ReadFile(filepath.Join(copies, name))
		if err := errors.Join(err1, err2); err != nil || string(original) != string(copied) {
			errs = append(errs, errors.Join(err, fmt.Errorf("helm/rollcall/files/telemetry/%s is not deploy/telemetry's: make helm-docs", name)))
		}
	}
	return errors.Join(errs...)
}
