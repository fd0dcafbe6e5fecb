package main

import (
	"bytes"
	"context"
	"debug/buildinfo"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/google/licensecheck"
)

// stdlib names the Go standard library beside the modules.
const stdlib = "stdlib"

// licenceText is one file that a module's licence asks to be passed on.
type licenceText struct {
	module  string // path@version; stdlib@version for the standard library
	name    string
	content []byte
}

// licenceTexts finds the licences of all that the binary was made of, and of the
// authorities, in Go's module cache. A module without one is an error: nobody may pass
// it on.
func licenceTexts(ctx context.Context, root string, info *buildinfo.BuildInfo) ([]licenceText, error) {
	directories, err := moduleDirectories(ctx, root, info)
	if err != nil {
		return nil, err
	}
	var all []licenceText
	for _, module := range slices.Sorted(maps.Keys(directories)) {
		texts, err := licencesIn(module, directories[module])
		if err != nil {
			return nil, err
		}
		all = append(all, texts...)
	}
	return all, nil
}

func licencesIn(module, directory string) ([]licenceText, error) {
	files, err := os.ReadDir(directory)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", module, err)
	}
	var texts []licenceText
	for _, file := range files {
		if file.IsDir() || !licenceName(file.Name()) {
			continue
		}
		content, err := os.ReadFile(filepath.Join(directory, file.Name()))
		if err != nil {
			return nil, fmt.Errorf("read a licence of %s: %w", module, err)
		}
		texts = append(texts, licenceText{module, file.Name(), content})
	}
	if len(texts) == 0 {
		return nil, fmt.Errorf("%s has no licence: it cannot be part of an image", module)
	}
	return texts, nil
}

// moduleDirectories returns where each part's sources are, by path@version.
func moduleDirectories(ctx context.Context, root string, info *buildinfo.BuildInfo) (map[string]string, error) {
	goroot, err := goCommand(ctx, root, "env", "GOROOT").Output()
	if err != nil {
		return nil, fmt.Errorf("find the standard library: %w", err)
	}
	directories := map[string]string{stdlib + "@" + goVersion(info): strings.TrimSpace(string(goroot))}
	var paths []string
	for _, module := range info.Deps {
		paths = append(paths, module.Path)
	}
	found, err := listModules(ctx, root, paths)
	if err != nil {
		return nil, err
	}
	authorities, err := listModules(ctx, filepath.Join(root, "scripts", "image"), []string{authoritiesModule})
	if err != nil {
		return nil, err
	}
	for _, module := range append(found, authorities...) {
		if module.Dir == "" {
			return nil, fmt.Errorf("%s is not in the module cache: run go mod download", module.Path)
		}
		directories[module.Path+"@"+module.Version] = module.Dir
	}
	return directories, nil
}

// goVersion is the standard library's version, without "go" before it.
func goVersion(info *buildinfo.BuildInfo) string {
	release, _, _ := strings.Cut(info.GoVersion, " ")
	return strings.TrimPrefix(release, "go")
}

// module is what go list knows of one.
type module struct{ Path, Version, Dir string }

func listModules(ctx context.Context, directory string, paths []string) ([]module, error) {
	var problems bytes.Buffer
	command := goCommand(ctx, directory, append([]string{"list", "-m", "-mod=readonly", "-json"}, paths...)...)
	command.Stderr = &problems
	output, err := command.Output()
	if err != nil {
		return nil, fmt.Errorf("list modules: %w: %s", err, problems.String())
	}
	var modules []module
	for decoder := json.NewDecoder(bytes.NewReader(output)); ; {
		var m module
		if err := decoder.Decode(&m); errors.Is(err, io.EOF) {
			return modules, nil
		} else if err != nil {
			return nil, fmt.Errorf("read the list of modules: %w", err)
		}
		modules = append(modules, m)
	}
}

// wellCovered is the share of a licence file that must be known text, in percent: the
// rest is copyright lines.
const wellCovered = 75

// licenceExpression returns the SPDX expression of a part's licence files, and
// NOASSERTION where a file is not the text of known licences: nothing is guessed.
func licenceExpression(texts []licenceText, part string) string {
	var names []string
	for _, text := range texts {
		if text.module != part || !strings.HasPrefix(strings.ToUpper(text.name), "LICEN") && !strings.HasPrefix(strings.ToUpper(text.name), "COPYING") {
			continue // notices and patent grants stand beside a licence
		}
		found := licensecheck.Scan(text.content)
		if found.Percent < wellCovered {
			return noAssertion
		}
		for _, match := range found.Match {
			if !slices.Contains(names, match.ID) {
				names = append(names, match.ID)
			}
		}
	}
	if len(names) == 0 {
		return noAssertion
	}
	slices.Sort(names)
	return strings.Join(names, " AND ")
}
