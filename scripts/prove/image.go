package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"rollcall/scripts/testbed"
)

// imageLimit is the largest a platform's image may be, compressed, in bytes.
const imageLimit = 40_000_000

// proveImage builds the image twice, from two directories and with two caches, looks
// into it with readers of its own, and runs every container of deploy/compose.yaml that
// is ours out of its layer: as another user, on a read-only file system, over real Kafka
// and ClickHouse, until a report has landed.
func proveImage(ctx context.Context, env *Environment) (string, bool, error) {
	// The containers' user must get as far as the image, and can open no more.
	if err := os.Chmod(env.Dir, 0o711); err != nil {
		return "", false, fmt.Errorf("open the proof's directory: %w", err)
	}
	built, err := buildTwice(ctx, env)
	if err != nil {
		return "", false, err
	}
	figures := []string{built.String()}
	holds := built.same && built.controlDiffers
	image, err := readImage(built.first.directory)
	if err != nil {
		return strings.Join(figures, "; "), false, err
	}
	for _, platform := range image.platforms {
		found, err := inspectPlatform(ctx, env, image, platform)
		if err != nil {
			return strings.Join(figures, "; "), false, fmt.Errorf("%s: %w", platform.name, err)
		}
		figures = append(figures, found.String())
		holds = holds && found.good()
	}
	native, err := image.platform(runtime.GOOS + "/" + runtime.GOARCH)
	if err != nil {
		return strings.Join(figures, "; "), false, err
	}
	ran, err := runComposed(ctx, env, native)
	if err != nil {
		return strings.Join(figures, "; "), false, err
	}
	figures = append(figures, ran.String())
	return strings.Join(figures, "; "), holds && ran.good(), nil
}

// imageTool is scripts/image, built from one copy of the sources.
type imageTool struct {
	binary, sources string
	environment     []string // beside ours
}

// newImageTool copies the sources to a directory and builds the tool there.
func newImageTool(ctx context.Context, env *Environment, from sources, directory string) (imageTool, error) {
	tool := imageTool{sources: directory, binary: filepath.Join(directory, "bin", "image-tool")}
	if err := from.copy(directory); err != nil {
		return tool, err
	}
	env.Say("building scripts/image in %s", filepath.Base(directory))
	command := quietGo(ctx, filepath.Join(directory, "scripts", "image"), "build", "-o", tool.binary, ".")
	if output, err := command.CombinedOutput(); err != nil {
		return tool, fmt.Errorf("build scripts/image: %w: %s", err, output)
	}
	return tool, nil
}

// composed returns what the tool makes of the compose file, as JSON.
func (t imageTool) composed(ctx context.Context) ([]byte, error) {
	return output(ctx, t.environment, t.binary, "compose", filepath.Join(t.sources, "deploy", "compose.yaml"))
}

// sources are a directory and the files in it that belong to the project.
type sources struct {
	directory string
	files     []string
}

// ownSources are those of this checkout, changes and new files included: neither what
// is ignored nor what git keeps.
func ownSources(ctx context.Context) (sources, error) {
	root, err := testbed.Root(ctx)
	if err != nil {
		return sources{}, err
	}
	listed, err := output(ctx, nil, "git", "-C", root, "ls-files", "--cached", "--others", "--exclude-standard", "-z")
	if err != nil {
		return sources{}, err
	}
	return sources{root, strings.Split(strings.TrimRight(string(listed), "\x00"), "\x00")}, nil
}
