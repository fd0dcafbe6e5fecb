package main

import (
	"context"
	"debug/buildinfo"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
)

// settingsOfUsers change what the compiler makes; none may reach it from outside.
var settingsOfUsers = []string{"GOFLAGS", "GOEXPERIMENT", "GOAMD64", "GOARM64", "GOOS", "GOARCH", "GOFIPS140", "GOWORK", "CGO_ENABLED", "GOTOOLCHAIN", "GOROOT"}

// program is the compiled command.
type program struct {
	content []byte
	info    *buildinfo.BuildInfo
}

// compile builds rollcall for servers: static, without the embedded engine, without
// paths, symbols or a build id, by the very Go release that this command was built by.
func compile(ctx context.Context, o options, p platform) (program, error) {
	directory, err := os.MkdirTemp("", "rollcall-image-")
	if err != nil {
		return program{}, fmt.Errorf("make a directory: %w", err)
	}
	defer func() { _ = os.RemoveAll(directory) }() // temporary, whatever happens
	binary := filepath.Join(directory, "rollcall")
	flags := strings.Join([]string{
		"-s", "-w", "-buildid=",
		"-X main.revision=" + o.origin.Revision,
		"-X rollcall/pkg/telemetry.version=" + o.origin.Version,
	}, " ")
	command := goCommand(ctx, o.root, "build", "-trimpath", "-buildvcs=false", "-mod=readonly", "-ldflags", flags, "-o", binary, "./services/rollcall")
	command.Env = append(command.Env, "GOOS="+p.OS, "GOARCH="+p.Architecture)
	if output, err := command.CombinedOutput(); err != nil {
		return program{}, fmt.Errorf("build for %s: %w: %s", p, err, output)
	}
	built := program{}
	if built.content, err = os.ReadFile(binary); err != nil {
		return built, fmt.Errorf("read the binary: %w", err)
	}
	if built.info, err = buildinfo.ReadFile(binary); err != nil {
		return built, fmt.Errorf("read what the binary was built of: %w", err)
	}
	return built, nil
}

// goCommand is a go command in the sources that no user's setting changes.
func goCommand(ctx context.Context, root string, arguments ...string) *exec.Cmd {
	command := exec.CommandContext(ctx, "go", arguments...)
	command.Dir = root
	command.Env = slices.DeleteFunc(os.Environ(), func(pair string) bool {
		name, _, _ := strings.Cut(pair, "=")
		return slices.Contains(settingsOfUsers, name)
	})
	release, _, _ := strings.Cut(runtime.Version(), " ") // of "go1.26.8 X:experiment"
	command.Env = append(command.Env, "CGO_ENABLED=0", "GOAMD64=v1", "GOARM64=v8.0", "GOWORK=off", "GOTOOLCHAIN="+release)
	return command
}
