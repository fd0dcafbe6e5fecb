package partstore

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
)

// goProgram is a program that a module of this repository pins: its go.mod and go.sum
// say what it is built from.
type goProgram struct {
	name, path string // of the program, of its package
	ldflags    string
}

// build builds the program of the module in dir into content's bin, and calls tell every
// few seconds.
func (p goProgram) build(ctx context.Context, dir, content string, tell func()) error {
	arguments := []string{"build", "-o", filepath.Join(content, "bin", p.name)}
	if p.ldflags != "" {
		arguments = append(arguments, "-ldflags", p.ldflags)
	}
	build := exec.CommandContext(ctx, "go", append(arguments, p.path)...)
	build.Dir, build.Env = dir, append(os.Environ(), "CGO_ENABLED=0")
	if err := run(build, tell); err != nil {
		return fmt.Errorf("build %s: %w", p.name, err)
	}
	return nil
}

// moduleDir returns where a module of this repository is.
func moduleDir(ctx context.Context, module string) (string, error) {
	output, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", "rollcall").Output()
	if err != nil {
		return "", fmt.Errorf("find the repository's root: %w", err)
	}
	return filepath.Join(strings.TrimSpace(string(output)), filepath.FromSlash(module)), nil
}

// fetchGoTools returns what builds programs of a module of this repository into bin. The
// path of each package is the module's own where it begins with a dot.
func fetchGoTools(module string, packages ...string) func(ctx context.Context, j job) error {
	return func(ctx context.Context, j job) error {
		dir, err := moduleDir(ctx, module)
		if err != nil {
			return err
		}
		for _, name := range packages {
			binary := path.Base(name)
			if strings.HasPrefix(name, ".") {
				binary = path.Base(module)
			}
			program := goProgram{name: binary, path: name}
			if err := program.build(ctx, dir, j.content, func() { j.say("still building %s", binary) }); err != nil {
				return err
			}
		}
		return nil
	}
}
