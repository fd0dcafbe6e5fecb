package main

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
)

// stages reads the Dockerfile as BuildKit does.
func stages(t *testing.T) []instructions.Stage {
	t.Helper()
	file, err := os.Open("../../deploy/Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	parsed, err := parser.Parse(file)
	if err != nil {
		t.Fatal(err)
	}
	if len(parsed.Warnings) > 0 {
		t.Errorf("warnings: %v", parsed.Warnings)
	}
	all, _, err := instructions.Parse(parsed.AST, nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(all) != 2 {
		t.Fatalf("%d stages, want 2", len(all))
	}
	return all
}

func only[T any](t *testing.T, stage instructions.Stage) T {
	t.Helper()
	var found []T
	for _, command := range stage.Commands {
		if c, ok := command.(T); ok {
			found = append(found, c)
		}
	}
	if len(found) != 1 {
		t.Fatalf("%d of %T in stage %s, want 1", len(found), *new(T), stage.Name)
	}
	return found[0]
}

func TestDockerfileMakesTheSameImage(t *testing.T) {
	image, err := newImage(someTree(), somePlatform, someOrigin)
	if err != nil {
		t.Fatal(err)
	}
	config, err := image.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	last := stages(t)[1]
	if last.BaseName != "scratch" {
		t.Errorf("it stands upon %s", last.BaseName)
	}
	if user := only[*instructions.UserCommand](t, last).User; user != config.Config.User {
		t.Errorf("user %s, want %s", user, config.Config.User)
	}
	if entrypoint := only[*instructions.EntrypointCommand](t, last); entrypoint.PrependShell || !slices.Equal(entrypoint.CmdLine, config.Config.Entrypoint) {
		t.Errorf("entrypoint %v, want %v", entrypoint.CmdLine, config.Config.Entrypoint)
	}
	owned := false
	for _, command := range last.Commands {
		c, ok := command.(*instructions.CopyCommand)
		if !ok {
			continue
		}
		if c.From != "build" {
			t.Errorf("it copies from %q", c.From)
		}
		owned = owned || c.Chown == fmt.Sprintf("%d:%d", userID, userID) && strings.HasPrefix("/"+stateDir, c.DestPath)
	}
	if !owned {
		t.Errorf("nobody owns /%s", stateDir)
	}
}

var goStatement = regexp.MustCompile(`(?m)^go (\S+)$`)

// The first stage runs this command with flags that it has, by the release that
// go.mod asks for.
func TestDockerfileRunsThisCommand(t *testing.T) {
	first := stages(t)[0]
	module, err := os.ReadFile("go.mod")
	if err != nil {
		t.Fatal(err)
	}
	release := goStatement.FindSubmatch(module)
	if release == nil || first.BaseName != "golang:"+string(release[1]) {
		t.Errorf("built in %s, with go.mod's %s", first.BaseName, release)
	}
	script := strings.Join(only[*instructions.RunCommand](t, first).CmdLine, " ")
	_, command, found := strings.Cut(script, "go run -C scripts/image . ")
	if !found {
		t.Fatalf("it runs %s", script)
	}
	for name, value := range map[string]string{"TARGETOS": "linux", "TARGETARCH": "arm64", "REVISION": "unknown", "VERSION": "0.0.0-dev", "SOURCE_DATE_EPOCH": "7"} {
		if !strings.Contains(command, "$"+name) {
			t.Errorf("$%s is not used", name)
		}
		command = strings.ReplaceAll(command, "$"+name, value)
	}
	arguments := strings.Fields(strings.NewReplacer(`"`, "", "\\\n", " ").Replace(command))
	o, err := parseOptions(t.Context(), arguments[0], arguments[1:], os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	if arguments[0] != "rootfs" || !slices.Equal(o.platforms, []platform{{"linux", "arm64"}}) || o.to != "/rootfs" || o.origin.Created.Unix() != 7 {
		t.Errorf("it asks for %+v", o)
	}
}
