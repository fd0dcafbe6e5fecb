package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

// summary is what a build prints, as JSON.
type summary struct {
	Digest    string            `json:"digest"` // of the index: the image's name for ever
	Version   string            `json:"version"`
	Revision  string            `json:"revision"`
	Platforms []platformSummary `json:"platforms"`
}

type platformSummary struct {
	Platform        string `json:"platform"`
	Digest          string `json:"digest"`
	CompressedBytes int64  `json:"compressed_bytes"` // of manifest, configuration and layer: what a pull takes
	SBOM            string `json:"sbom"`             // file beside the layout
}

// Names below the directory that a build writes.
const (
	layoutDir   = "oci"
	archiveFile = "rollcall.oci.tar"
)

// build makes the image and writes its layout, its archive and its bills of materials.
func build(ctx context.Context, o options, stdout io.Writer) error {
	made := summary{Version: o.origin.Version, Revision: o.origin.Revision}
	var (
		images []v1.Image
		sboms  [][]byte
	)
	for _, p := range o.platforms {
		image, sbom, err := buildPlatform(ctx, o, p)
		if err != nil {
			return err
		}
		images, sboms = append(images, image), append(sboms, sbom)
	}
	index, err := newIndex(images, o.platforms, o.origin)
	if err != nil {
		return err
	}
	if err := clean(o.to); err != nil {
		return err
	}
	target, digest, err := writeLayout(filepath.Join(o.to, layoutDir), index, images, o.origin)
	if err != nil {
		return err
	}
	if err := check(string(target)); err != nil {
		return err
	}
	// Before anything is attached: an engine that is to load all that there is takes a
	// document for an image, or asks which one is meant.
	if err := archiveLayout(string(target), filepath.Join(o.to, archiveFile), o.origin.Created); err != nil {
		return err
	}
	for i, p := range o.platforms {
		one, err := summarise(images[i], p)
		if err != nil {
			return err
		}
		if err := attach(target, images[i], sboms[i], o.origin); err != nil {
			return fmt.Errorf("attach the bill of materials: %w", err)
		}
		if err := os.WriteFile(filepath.Join(o.to, one.SBOM), sboms[i], 0o644); err != nil {
			return fmt.Errorf("write the bill of materials: %w", err)
		}
		made.Platforms = append(made.Platforms, one)
	}
	made.Digest = digest.String()
	encoder := json.NewEncoder(stdout)
	encoder.SetIndent("", "  ")
	return encoder.Encode(made)
}

func buildPlatform(ctx context.Context, o options, p platform) (v1.Image, []byte, error) {
	built, err := compile(ctx, o, p)
	if err != nil {
		return nil, nil, err
	}
	texts, err := licenceTexts(ctx, o.root, built.info)
	if err != nil {
		return nil, nil, err
	}
	tree, err := assemble(built, texts)
	if err != nil {
		return nil, nil, err
	}
	image, err := newImage(tree, p, o.origin)
	if err != nil {
		return nil, nil, err
	}
	digest, err := image.Digest()
	if err != nil {
		return nil, nil, fmt.Errorf("name the image of %s: %w", p, err)
	}
	sbom, err := billOfMaterials(built, texts, digest, p, o.origin)
	return image, sbom, err
}

// clean removes what an earlier build wrote, and nothing else.
func clean(directory string) error {
	if err := os.MkdirAll(directory, 0o755); err != nil {
		return fmt.Errorf("make the image's directory: %w", err)
	}
	old, err := filepath.Glob(filepath.Join(directory, "*"+sbomSuffix))
	if err != nil {
		return fmt.Errorf("find former files: %w", err)
	}
	for _, path := range append(old, filepath.Join(directory, archiveFile)) {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove a former file: %w", err)
		}
	}
	if err := os.RemoveAll(filepath.Join(directory, layoutDir)); err != nil {
		return fmt.Errorf("remove the former layout: %w", err)
	}
	return nil
}

// check reads the image back from the disk: every digest and size must be true.
func check(directory string) error {
	root, err := layout.ImageIndexFromPath(directory)
	if err != nil {
		return fmt.Errorf("read the layout back: %w", err)
	}
	manifest, err := root.IndexManifest()
	if err != nil {
		return fmt.Errorf("read the layout back: %w", err)
	}
	for _, found := range manifest.Manifests {
		if !found.MediaType.IsIndex() {
			continue // a bill of materials is no image
		}
		index, err := root.ImageIndex(found.Digest)
		if err != nil {
			return fmt.Errorf("read the image back: %w", err)
		}
		if err := validate.Index(index); err != nil {
			return fmt.Errorf("check the image: %w", err)
		}
	}
	return nil
}

func summarise(image v1.Image, p platform) (platformSummary, error) {
	s := platformSummary{Platform: p.String(), SBOM: "rollcall-" + p.file() + sbomSuffix}
	digest, err := image.Digest()
	if err != nil {
		return s, fmt.Errorf("name the image of %s: %w", p, err)
	}
	s.Digest = digest.String()
	manifest, err := image.Manifest()
	if err != nil {
		return s, fmt.Errorf("read the manifest of %s: %w", p, err)
	}
	if s.CompressedBytes, err = image.Size(); err != nil {
		return s, fmt.Errorf("measure the manifest of %s: %w", p, err)
	}
	s.CompressedBytes += manifest.Config.Size
	for _, layer := range manifest.Layers {
		s.CompressedBytes += layer.Size
	}
	return s, nil
}
