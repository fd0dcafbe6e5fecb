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

// fetchGoTools returns what builds programs of a module of this repository into bin:
// the module's go.mod and go.sum pin them and all that they need. The path of each
// package is the module's own where it begins with a dot.
func fetchGoTools(module string, packages ...string) func(ctx context.Context, j job) error {
	return func(ctx context.Context, j job) error {
		output, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", "rollcall").Output()
		if err != nil {
			return fmt.Errorf("find the repository's root: %w", err)
		}
		dir := filepath.Join(strings.TrimSpace(string(output)), filepath.FromSlash(module))
		for _, name := range packages {
			binary := path.Base(name)
			if strings.HasPrefix(name, ".") {
				binary = path.Base(module)
			}
			build := exec.CommandContext(ctx, "go", "build", "-o", filepath.Join(j.content, "bin", binary), name)
			build.Dir, build.Env = dir, append(os.Environ(), "CGO_ENABLED=0")
			if err := run(build, func() { j.say("still building %s", binary) }); err != nil {
				return fmt.Errorf("build %s: %w", binary, err)
			}
		}
		return nil
	}
}
