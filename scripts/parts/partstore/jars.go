package partstore

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// jar is one file of a Maven repository.
type jar struct{ group, name, version string }

// dependencyPlugin is pinned, so that Maven's own age does not choose it.
const dependencyPlugin = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"

// fetchJars brings the jars and everything they need at run time into libs.
// Maven checks each file against the repository's checksum.
func fetchJars(ctx context.Context, j job, jars ...jar) error {
	var dependencies strings.Builder
	for _, a := range jars {
		fmt.Fprintf(&dependencies, "<dependency><groupId>%s</groupId><artifactId>%s</artifactId><version>%s</version></dependency>\n",
			a.group, a.name, a.version)
	}
	pom := `<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
<groupId>rollcall</groupId><artifactId>parts</artifactId><version>1</version>
<dependencies>
` + dependencies.String() + "</dependencies></project>\n"
	if err := os.WriteFile(filepath.Join(j.work, "pom.xml"), []byte(pom), 0o644); err != nil {
		return fmt.Errorf("write the pom: %w", err)
	}
	libs := filepath.Join(j.content, "libs")
	command := exec.CommandContext(ctx, "mvn", "-q", "-B", "--strict-checksums", dependencyPlugin,
		"-DoutputDirectory="+libs, "-DincludeScope=runtime")
	command.Dir = j.work
	if err := run(command, func() { j.say("%d MB so far", treeBytes(libs)>>20) }); err != nil {
		return fmt.Errorf("mvn: %w", err)
	}
	if _, err := os.Stat(libs); err != nil {
		return fmt.Errorf("mvn brought no jars: %w", err)
	}
	return nil
}

// fetchPython returns what makes a virtual environment with the package, so that
// nothing is installed for the user.
func fetchPython(requirement string) func(ctx context.Context, j job) error {
	return func(ctx context.Context, j job) error {
		environment := filepath.Join(j.content, "venv")
		still := func() { j.say("still at it") }
		if err := run(exec.CommandContext(ctx, "python3", "-m", "venv", environment), still); err != nil {
			return fmt.Errorf("make a virtual environment: %w", err)
		}
		interpreter := filepath.Join(environment, "bin", "python")
		install := exec.CommandContext(ctx, interpreter, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", requirement)
		if err := run(install, still); err != nil {
			return fmt.Errorf("pip install %s: %w", requirement, err)
		}
		return nil
	}
}

// run runs the command, calls tick every few seconds, and puts the end of what it
// wrote into the error.
func run(command *exec.Cmd, tick func()) error {
	var output bytes.Buffer
	command.Stdout, command.Stderr = &output, &output
	command.Cancel = func() error { return command.Process.Signal(os.Interrupt) } // so that npm and mvn clean up
	command.WaitDelay = 5 * time.Second
	if err := command.Start(); err != nil {
		return fmt.Errorf("start: %w", err)
	}
	ended := make(chan error, 1) // room for the only result: the goroutine always ends
	go func() { ended <- command.Wait() }()
	ticker := time.NewTicker(progressPeriod)
	defer ticker.Stop()
	for {
		select {
		case err := <-ended:
			if err != nil {
				return fmt.Errorf("%w: %s", err, lastLines(output.String()))
			}
			return nil
		case <-ticker.C:
			tick()
		}
	}
}

// lastLines returns the end of a command's output, enough to see what went wrong.
func lastLines(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(lines[max(0, len(lines)-12):], "\n")
}
