package main

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Who runs in the image, and what. A number, for Kubernetes cannot tell of a name
// whether it is root.
const (
	userID     = 65532
	binaryPath = "rollcall"
	// stateDir is where keys and whatever else a volume holds is mounted: a new volume
	// takes its owner from here.
	stateDir = "var/lib/rollcall"
)

// rootfs is the image's file system: paths without a leading slash, directories only
// where they are not made by what is in them.
type rootfs map[string]entry

type entry struct {
	content   []byte
	mode      fs.FileMode // permissions
	directory bool
	owner     int // user and group
}

// assemble puts together what the image holds: the binary, authorities for TLS, and
// the licence of everything that is passed on.
func assemble(built program, texts []licenceText) (rootfs, error) {
	authorities, err := certificates()
	if err != nil {
		return nil, err
	}
	tree := rootfs{
		binaryPath:                          {content: built.content, mode: 0o555},
		"etc/ssl/certs/ca-certificates.crt": {content: authorities, mode: 0o444},
		stateDir:                            {mode: 0o700, directory: true, owner: userID},
	}
	for _, text := range texts {
		tree[path.Join("licences", text.module, text.name)] = entry{content: text.content, mode: 0o444}
	}
	return tree, nil
}

// complete returns the tree's paths in order, each directory before what is in it.
func (tree rootfs) complete() (rootfs, []string) {
	whole := maps.Clone(tree)
	for name := range tree {
		for parent := path.Dir(name); parent != "."; parent = path.Dir(parent) {
			if _, ok := whole[parent]; !ok {
				whole[parent] = entry{mode: 0o755, directory: true}
			}
		}
	}
	return whole, slices.Sorted(maps.Keys(whole))
}

// archive writes the tree as a layer: every header field comes from the tree or is the
// same for all.
func (tree rootfs) archive(created time.Time) ([]byte, error) {
	whole, names := tree.complete()
	var out bytes.Buffer
	writer := tar.NewWriter(&out)
	for _, name := range names {
		e := whole[name]
		header := &tar.Header{
			Typeflag: tar.TypeReg, Name: name, Size: int64(len(e.content)), Mode: int64(e.mode),
			Uid: e.owner, Gid: e.owner, ModTime: created,
		}
		if e.directory {
			header.Typeflag, header.Name = tar.TypeDir, name+"/"
		}
		if err := writer.WriteHeader(header); err != nil {
			return nil, fmt.Errorf("archive %s: %w", name, err)
		}
		if _, err := writer.Write(e.content); err != nil {
			return nil, fmt.Errorf("archive %s: %w", name, err)
		}
	}
	if err := writer.Close(); err != nil {
		return nil, fmt.Errorf("archive: %w", err)
	}
	return out.Bytes(), nil
}

// unpack writes the tree below a directory. Owners are left to whoever makes an image
// of it: giving files away takes root.
func (tree rootfs) unpack(directory string, created time.Time) error {
	whole, names := tree.complete()
	for _, name := range names {
		e, target := whole[name], filepath.Join(directory, filepath.FromSlash(name))
		var err error
		if e.directory {
			err = os.MkdirAll(target, 0o755)
		} else {
			err = os.WriteFile(target, e.content, 0o600)
		}
		if err != nil {
			return fmt.Errorf("unpack: %w", err)
		}
	}
	// From the deepest up: writing into a directory moves its time.
	for _, name := range slices.Backward(names) {
		target := filepath.Join(directory, filepath.FromSlash(name))
		if err := errors.Join(os.Chmod(target, whole[name].mode), os.Chtimes(target, created, created)); err != nil {
			return fmt.Errorf("unpack: %w", err)
		}
	}
	return nil
}

// writeRootfs writes one platform's file system as files, for a Dockerfile.
func writeRootfs(ctx context.Context, o options) error {
	built, err := compile(ctx, o, o.platforms[0])
	if err != nil {
		return err
	}
	texts, err := licenceTexts(ctx, o.root, built.info)
	if err != nil {
		return err
	}
	tree, err := assemble(built, texts)
	if err != nil {
		return err
	}
	if found, err := os.ReadDir(o.to); err == nil && len(found) > 0 {
		return fmt.Errorf("%s is not empty", o.to)
	}
	if err := os.MkdirAll(o.to, 0o755); err != nil {
		return fmt.Errorf("make the file system's directory: %w", err)
	}
	return tree.unpack(o.to, o.origin.Created)
}

// licenceName says whether a file at the root of a module tells its licence.
func licenceName(name string) bool {
	name = strings.ToUpper(name)
	for _, prefix := range []string{"LICENSE", "LICENCE", "COPYING", "COPYRIGHT", "NOTICE", "PATENTS"} {
		rest, ok := strings.CutPrefix(name, prefix)
		if ok && (rest == "" || strings.ContainsAny(rest[:1], ".-_")) {
			return true
		}
	}
	return false
}
