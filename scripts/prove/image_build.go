package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"rollcall/scripts/testbed"
)

// madeImage is what scripts/image says of a build, and where that lies.
type madeImage struct {
	Digest    string
	Platforms []struct {
		Platform, Digest string
		CompressedBytes  int64 `json:"compressed_bytes"`
		SBOM             string
	}

	directory string
	archive   [sha256.Size]byte // of the image as one file
}

// twice is two builds of the same sources, and one that must differ.
type twice struct {
	first, second, control madeImage
	same, controlDiffers   bool
	emptyCache             bool          // of the second build
	took                   time.Duration // the second build
}

func (t twice) String() string {
	if !t.same {
		return fmt.Sprintf("two builds differ: %s, %s", t.first.Digest, t.second.Digest)
	}
	cache := "with one build cache"
	if t.emptyCache {
		cache = fmt.Sprintf("the second with an empty build cache (%v)", t.took.Round(time.Second))
	}
	text := fmt.Sprintf("two builds, in two directories and environments, %s, give one digest (%.19s…) and one file", cache, t.first.Digest)
	if !t.controlDiffers {
		text += ", but so does a build with another time"
	}
	return text
}

// buildTwice builds the image from two copies of the sources. The second has a path of
// another length, another time zone and language and a user's own settings for Go; at full
// size an empty build cache, too.
func buildTwice(ctx context.Context, env *Environment) (twice, error) {
	var t twice
	own, err := ownSources(ctx)
	if err != nil {
		return t, err
	}
	first, err := newImageTool(ctx, env, own, env.Path("image-a"))
	if err != nil {
		return t, err
	}
	// A copy of the copy: somebody may be editing the checkout meanwhile.
	second, err := newImageTool(ctx, env, sources{first.sources, own.files}, env.Path("another", "place", "for", "image-b"))
	if err != nil {
		return t, err
	}
	second.environment = []string{"TZ=Pacific/Chatham", "LANG=tr_TR.UTF-8", "USER=p0001", "GOFLAGS=-tags=embedded", "GOAMD64=v3"}
	if t.emptyCache = env.Size == Full; t.emptyCache {
		second.environment = append(second.environment, "GOCACHE="+env.Path("empty-cache"))
	}
	o, err := originOfSources(ctx)
	if err != nil {
		return t, err
	}
	if t.first, err = first.build(ctx, env, "first", o); err != nil {
		return t, err
	}
	started := time.Now()
	if t.second, err = second.build(ctx, env, "second", o); err != nil {
		return t, err
	}
	t.took = time.Since(started)
	later := o
	later.seconds++
	if t.control, err = first.build(ctx, env, "control", later); err != nil {
		return t, err
	}
	t.same = t.first.Digest == t.second.Digest && t.first.archive == t.second.archive && t.first.Digest != ""
	t.controlDiffers = t.first.Digest != t.control.Digest && t.first.archive != t.control.archive
	return t, nil
}

// imageVersion is what the proof calls its images.
const imageVersion = "0.0.0-proof"

// sourcesOrigin is what a build is told of its sources.
type sourcesOrigin struct {
	revision string
	seconds  int64
}

// originOfSources asks git, for copies have none to ask.
func originOfSources(ctx context.Context) (sourcesOrigin, error) {
	var o sourcesOrigin
	root, err := testbed.Root(ctx)
	if err != nil {
		return o, err
	}
	said, err := output(ctx, nil, "git", "-C", root, "log", "-1", "--format=%H %ct")
	if err != nil {
		return o, err
	}
	if _, err := fmt.Sscan(string(said), &o.revision, &o.seconds); err != nil {
		return o, fmt.Errorf("read the commit: %w", err)
	}
	return o, nil
}

// build makes an image; small, of this machine's platform only.
func (t imageTool) build(ctx context.Context, env *Environment, name string, o sourcesOrigin) (madeImage, error) {
	made := madeImage{directory: env.Path("image-" + name)}
	platforms := Choose(env, runtime.GOOS+"/"+runtime.GOARCH, "linux/amd64,linux/arm64")
	env.Say("building the %s image for %s", name, platforms)
	said, err := output(ctx, t.environment, t.binary, "build", "-root", t.sources, "-to", made.directory, "-platform", platforms,
		"-revision", o.revision, "-version", imageVersion, "-epoch", fmt.Sprint(o.seconds))
	if err != nil {
		return made, err
	}
	if err := json.Unmarshal(said, &made); err != nil {
		return made, fmt.Errorf("read what was built: %w", err)
	}
	file, err := os.Open(filepath.Join(made.directory, "rollcall.oci.tar"))
	if err != nil {
		return made, fmt.Errorf("read the image: %w", err)
	}
	defer file.Close()
	hash := sha256.New()
	if _, err := io.Copy(hash, file); err != nil {
		return made, fmt.Errorf("read the image: %w", err)
	}
	hash.Sum(made.archive[:0])
	return made, nil
}

// copy writes the sources to another directory, without git.
func (s sources) copy(directory string) error {
	for _, name := range s.files {
		content, err := os.ReadFile(filepath.Join(s.directory, name))
		if errors.Is(err, fs.ErrNotExist) {
			continue // removed and not yet committed
		}
		if err != nil {
			return fmt.Errorf("copy the sources: %w", err)
		}
		target := filepath.Join(directory, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(target), 0o755), os.WriteFile(target, content, 0o644)); err != nil {
			return fmt.Errorf("copy the sources: %w", err)
		}
	}
	return nil
}

// quietGo is a go command without the flags of whoever runs the proof.
func quietGo(ctx context.Context, directory string, arguments ...string) *exec.Cmd {
	command := exec.CommandContext(ctx, "go", arguments...)
	command.Dir = directory
	command.Env = append(slices.DeleteFunc(os.Environ(), func(pair string) bool { return strings.HasPrefix(pair, "GOFLAGS=") }), "GOFLAGS=-mod=readonly")
	return command
}

// output runs a program with variables beside ours and returns what it says; the error
// quotes its complaints.
func output(ctx context.Context, environment []string, name string, arguments ...string) ([]byte, error) {
	var problems bytes.Buffer
	command := exec.CommandContext(ctx, name, arguments...)
	command.Env, command.Stderr = append(os.Environ(), environment...), &problems
	said, err := command.Output()
	if err != nil {
		return said, fmt.Errorf("%s %s: %w: %s", filepath.Base(name), arguments[0], err, problems.String())
	}
	return said, nil
}
