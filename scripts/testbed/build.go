package testbed

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// BuildOptions say what is compiled and how.
type BuildOptions struct {
	// Dir gets the binary and what building needs; it exists.
	Dir string
	// Package to build; empty: the rollcall command.
	Package string
	Tags    []string
	Race    bool
	// Overlay replaces source files, relative to the repository's root, by others.
	Overlay map[string]string
	// Static builds without C.
	Static bool
}

// Root returns the repository's root directory.
func Root(ctx context.Context) (string, error) {
	output, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", "rollcall").Output()
	if err != nil {
		return "", fmt.Errorf("find the repository's root: %w", err)
	}
	return strings.TrimSpace(string(output)), nil
}

// Build compiles the command and returns the binary's path. Go's own cache makes a
// second build cheap.
func Build(ctx context.Context, o BuildOptions) (string, error) {
	if o.Package == "" {
		o.Package = "./services/rollcall"
	}
	root, err := Root(ctx)
	if err != nil {
		return "", err
	}
	binary, err := filepath.Abs(filepath.Join(o.Dir, filepath.Base(o.Package)))
	if err != nil {
		return "", fmt.Errorf("name the binary: %w", err)
	}
	arguments := []string{"build", "-o", binary}
	if len(o.Tags) > 0 {
		arguments = append(arguments, "-tags", strings.Join(o.Tags, ","))
	}
	if o.Race {
		arguments = append(arguments, "-race")
	}
	if len(o.Overlay) > 0 {
		overlay, err := writeOverlay(o, root)
		if err != nil {
			return "", err
		}
		arguments = append(arguments, "-overlay", overlay)
	}
	command := exec.CommandContext(ctx, "go", append(arguments, o.Package)...)
	command.Dir = root
	command.Env = os.Environ()
	if o.Static {
		command.Env = append(command.Env, "CGO_ENABLED=0")
	}
	if output, err := command.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build %s: %w: %s", o.Package, err, output)
	}
	return binary, nil
}

func writeOverlay(o BuildOptions, root string) (string, error) {
	replace := map[string]string{}
	for file, replacement := range o.Overlay {
		absolute, err := filepath.Abs(replacement)
		if err != nil {
			return "", fmt.Errorf("find the replacement: %w", err)
		}
		replace[filepath.Join(root, file)] = absolute
	}
	content, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", fmt.Errorf("write the overlay: %w", err)
	}
	path, err := filepath.Abs(filepath.Join(o.Dir, "overlay.json"))
	if err != nil {
		return "", fmt.Errorf("name the overlay: %w", err)
	}
	if err := os.WriteFile(path, content, 0o644); err != nil {
		return "", fmt.Errorf("write the overlay: %w", err)
	}
	return path, nil
}

// Edit replaces a piece of a source file, named relative to the repository's root.
type Edit struct{ File, Old, New string }

// Mutant is the program with a defect on purpose: whatever claims to notice such
// defects must notice this one.
type Mutant struct {
	Name  string
	Edits []Edit
}

// BuildMutant compiles the program with the mutant's edits; the sources stay as they
// are. Each edit's old text must occur in its file exactly once: a mutant that no
// longer fits the code is an error, not a program without its defect.
func BuildMutant(ctx context.Context, o BuildOptions, m Mutant) (string, error) {
	root, err := Root(ctx)
	if err != nil {
		return "", err
	}
	mutated := map[string]string{} // file → its content so far
	for _, edit := range m.Edits {
		content, ok := mutated[edit.File]
		if !ok {
			original, err := os.ReadFile(filepath.Join(root, edit.File))
			if err != nil {
				return "", fmt.Errorf("mutant %s: %w", m.Name, err)
			}
			content = string(original)
		}
		if n := strings.Count(content, edit.Old); n != 1 {
			return "", fmt.Errorf("mutant %s: the text to replace occurs %d times in %s, not once:\n%s", m.Name, n, edit.File, edit.Old)
		}
		mutated[edit.File] = strings.Replace(content, edit.Old, edit.New, 1)
	}
	if len(mutated) == 0 {
		return "", fmt.Errorf("mutant %s edits nothing", m.Name)
	}
	o.Overlay = maps.Clone(o.Overlay)
	if o.Overlay == nil {
		o.Overlay = map[string]string{}
	}
	for i, file := range slices.Sorted(maps.Keys(mutated)) {
		path := filepath.Join(o.Dir, fmt.Sprintf("mutated-%d.go", i))
		if err := os.WriteFile(path, []byte(mutated[file]), 0o644); err != nil {
			return "", fmt.Errorf("mutant %s: %w", m.Name, err)
		}
		o.Overlay[file] = path
	}
	binary, err := Build(ctx, o)
	if err != nil {
		return "", fmt.Errorf("mutant %s: %w", m.Name, err)
	}
	return binary, nil
}
