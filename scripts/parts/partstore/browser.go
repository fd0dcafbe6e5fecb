package partstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

const playwrightVersion = "1.65.1"

// browserHint says how to get a browser where fetching it is not for us.
const browserHint = "install Chromium or Chrome: your system's package chromium, as in apt-get install chromium"

// fetchPageCheck brings what drives a browser and what judges a page's accessibility.
// Neither has dependencies; the browser itself is a part of its own.
func fetchPageCheck(ctx context.Context, j job) error {
	for _, p := range []npmPackage{
		{name: "playwright-core", version: playwrightVersion, integrity: "sha512-hqPpz7blSMPxWVdoeE1yiBSzXsKiVOd2k+kjCvmUywD2GPO2Dd9HfcWnq9NN0GHbNZDFgZ9JfBFr+X5/BLo0qw=="},
		{name: "axe-core", version: "4.14.1", integrity: "sha512-FHfa+lmNjQZfJz1q8wKqIDwC6DExcHt/pkjNQb09a3NPjCKg2rhu5qb2S4r76ASyFNNtuFooJpZe37OgudVGtQ=="},
	} {
		archive, err := pack(ctx, j, p)
		if err != nil {
			return err
		}
		if err := unpackAll(archive, filepath.Join(j.content, "node_modules", p.name)); err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
	}
	return nil
}

// unpackAll extracts every file of an npm archive; none may leave the directory.
func unpackAll(archive, dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("make the directory: %w", err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return fmt.Errorf("open the directory: %w", err)
	}
	defer root.Close()
	return eachFile(archive, func(name string, _ fs.FileMode, content io.Reader) (bool, error) {
		return true, writeInto(root, name, content)
	})
}

func writeInto(root *os.Root, name string, content io.Reader) error {
	if err := root.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return fmt.Errorf("make a directory of the archive: %w", err)
	}
	file, err := root.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("make %s: %w", name, err)
	}
	_, err = io.Copy(file, content)
	if err := errors.Join(err, file.Close()); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return nil
}

// chromium returns the path of a browser: one that is installed, or else, for root on a
// Debian, the system's package, which it installs. Anybody else is told what to do.
func (s *Store) chromium(ctx context.Context) (string, error) {
	if path, ok := installedBrowser(); ok {
		return path, nil
	}
	if _, err := exec.LookPath("apt-get"); err != nil || os.Geteuid() != 0 {
		return "", errors.New("no browser is on the PATH: " + browserHint)
	}
	unlock, err := s.lock(ctx, part{name: Browser, version: "package"})
	if err != nil {
		return "", err
	}
	defer unlock()
	if path, ok := installedBrowser(); ok { // another run has just installed it
		return path, nil
	}
	s.say(Browser + ": installing the system's package, once")
	if err := installPackage(ctx, Browser); err != nil {
		return "", fmt.Errorf("%w: %s", err, browserHint)
	}
	path, ok := installedBrowser()
	if !ok {
		return "", errors.New("the package is installed and no browser is on the PATH: " + browserHint)
	}
	return path, nil
}

func installedBrowser() (path string, ok bool) {
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path, true
		}
	}
	return "", false
}

// installPackage asks Debian's package manager. A list of packages that is missing or
// old is the usual reason for its refusal, so that is brought up to date then.
func installPackage(ctx context.Context, name string) error {
	install := func() error { return apt(ctx, "install", "-y", "--no-install-recommends", name) }
	first := install()
	if first == nil {
		return nil
	}
	if err := apt(ctx, "update"); err != nil {
		return errors.Join(first, err)
	}
	return install()
}

func apt(ctx context.Context, arguments ...string) error {
	command := exec.CommandContext(ctx, "apt-get", append([]string{"-o", "DPkg::Lock::Timeout=300"}, arguments...)...)
	command.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
	var output bytes.Buffer
	command.Stdout, command.Stderr = &output, &output
	if err := command.Run(); err != nil {
		text := strings.TrimSpace(output.String())
		return fmt.Errorf("apt-get %s: %w: %s", arguments[0], err, text[max(0, len(text)-300):])
	}
	return nil
}
