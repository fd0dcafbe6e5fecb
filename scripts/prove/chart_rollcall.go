package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/goccy/go-yaml"
)

// rendered is what rollcall itself can judge of a Kubernetes object.
type renderedObject struct {
	Kind string            `yaml:"kind"`
	Data map[string]string `yaml:"data"`
	Spec struct {
		Template    podTemplate                     `yaml:"template"`
		JobTemplate struct{ Spec renderedTemplate } `yaml:"jobTemplate"`
	} `yaml:"spec"`
}

type renderedTemplate struct {
	Template podTemplate `yaml:"template"`
}

type podTemplate struct {
	Spec struct {
		InitContainers []container `yaml:"initContainers"`
		Containers     []container `yaml:"containers"`
	} `yaml:"spec"`
}

type container struct {
	Name string   `yaml:"name"`
	Args []string `yaml:"args"`
	Env  []struct {
		Name  string `yaml:"name"`
		Value string `yaml:"value"`
	} `yaml:"env"`
}

// askRollcall gives the binary every configuration file and every environment of the
// renderings, and every command line up to the point where it would begin to work.
func (c *chart) askRollcall(ctx context.Context, paths []string) (string, error) {
	binary, err := c.env.Binary(ctx)
	if err != nil {
		return "", err
	}
	asked := &judgement{binary: binary, file: c.env.Path("rollcall.yaml"), seen: map[string]bool{}}
	for _, path := range paths {
		content, err := os.Open(path)
		if err != nil {
			return "", fmt.Errorf("read a rendering: %w", err)
		}
		err = asked.manifests(ctx, content)
		if err := errors.Join(err, content.Close()); err != nil {
			return "", fmt.Errorf("%s: %w", filepath.Base(path), err)
		}
	}
	if asked.files == 0 || asked.lines == 0 {
		return "", errors.New("no rendering has a configuration and a command line")
	}
	return fmt.Sprintf("%d configuration files, %d environments and %d command lines taken by rollcall", asked.files, asked.environments, asked.lines), nil
}

// misleadRollcall makes mistakes in a rendering that only rollcall can find.
func (c *chart) misleadRollcall(ctx context.Context, rendered string) (string, error) {
	whole, err := os.ReadFile(rendered)
	if err != nil {
		return "", fmt.Errorf("read a rendering: %w", err)
	}
	mistakes := [][2]string{
		{"log_format:", "log_from:"},
		{"ROLLCALL_KAFKA_BROKERS", "ROLLCALL_KAFKA_BROKER"},
		{"--keystore.dir=", "--keystore.directory="},
		{`"migrate","up"`, `"migrate","down"`},
	}
	binary, err := c.env.Binary(ctx)
	if err != nil {
		return "", err
	}
	for _, m := range mistakes {
		broken := strings.Replace(string(whole), m[0], m[1], 1)
		if broken == string(whole) {
			return "", fmt.Errorf("no rendering has %q", m[0])
		}
		j := &judgement{binary: binary, file: c.env.Path("rollcall.yaml"), seen: map[string]bool{}}
		if err := j.manifests(ctx, strings.NewReader(broken)); err == nil {
			return "", fmt.Errorf("rollcall took %q", m[1])
		}
	}
	return fmt.Sprintf("%d of %d by rollcall", len(mistakes), len(mistakes)), nil
}

// judgement counts what was asked; what was asked before is not asked again.
type judgement struct {
	binary, file               string
	seen                       map[string]bool
	files, environments, lines int
}

func (j *judgement) manifests(ctx context.Context, from io.Reader) error {
	decoder := yaml.NewDecoder(from)
	for {
		var object renderedObject
		err := decoder.Decode(&object)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read manifests: %w", err)
		}
		if config, ok := object.Data["rollcall.yaml"]; ok {
			if err := j.config(ctx, config); err != nil {
				return err
			}
		}
		for _, template := range []podTemplate{object.Spec.Template, object.Spec.JobTemplate.Spec.Template} {
			for _, container := range append(template.Spec.InitContainers, template.Spec.Containers...) {
				if err := j.container(ctx, container); err != nil {
					return fmt.Errorf("container %s: %w", container.Name, err)
				}
			}
		}
	}
}

// once reports whether a question was not asked before.
func (j *judgement) once(question string) bool {
	before := j.seen[question]
	j.seen[question] = true
	return !before
}

// config must be taken by rollcall config, which reads and validates every section.
func (j *judgement) config(ctx context.Context, content string) error {
	if !j.once(content) {
		return nil
	}
	j.files++
	if err := os.WriteFile(j.file, []byte(content), 0o600); err != nil {
		return fmt.Errorf("write a configuration: %w", err)
	}
	return j.ask(ctx, nil, "config", "--config", j.file)
}

func (j *judgement) container(ctx context.Context, c container) error {
	if len(c.Args) == 0 || c.Name == "first" || c.Name == "beside" { // of the file extras: somebody else's
		return nil
	}
	var environment []string
	for _, e := range c.Env {
		environment = append(environment, e.Name+"="+e.Value)
	}
	if joined := strings.Join(environment, "\n"); j.once(joined) {
		j.environments++
		if err := j.ask(ctx, environment, "config"); err != nil {
			return err
		}
	}
	if !j.once(strings.Join(c.Args, "\n")) {
		return nil
	}
	j.lines++
	// A flag that nothing has ends the reading of a command line that is right up to there.
	const never = "--no-such-flag"
	command := exec.CommandContext(ctx, j.binary, append(c.Args[:len(c.Args):len(c.Args)], never)...)
	command.Env = append(os.Environ(), environment...)
	out, err := command.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "unknown flag "+never) {
		return fmt.Errorf("rollcall %s: %s", strings.Join(c.Args, " "), out)
	}
	return nil
}

func (j *judgement) ask(ctx context.Context, environment []string, arguments ...string) error {
	command := exec.CommandContext(ctx, j.binary, arguments...)
	command.Env = append(os.Environ(), environment...)
	if out, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("rollcall %s: %w: %s", strings.Join(arguments, " "), err, out)
	}
	return nil
}
