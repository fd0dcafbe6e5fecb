package main

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// sbomType is the media type of an SPDX document as JSON.
const sbomType = "application/spdx+json"

// containerdName is how containerd, and docker load with it, names what it imports.
const containerdName = "io.containerd.image.name"

// writeLayout writes the index and its images, and returns the index's digest.
func writeLayout(directory string, index []byte, images []v1.Image, o origin) (layout.Path, v1.Hash, error) {
	fail := func(err error) (layout.Path, v1.Hash, error) {
		return "", v1.Hash{}, fmt.Errorf("write the layout: %w", err)
	}
	target, err := layout.Write(directory, empty.Index)
	if err != nil {
		return fail(err)
	}
	for _, image := range images {
		if err := target.WriteImage(image); err != nil {
			return fail(err)
		}
	}
	described, err := blob(target, index, ocispec.MediaTypeImageIndex)
	if err != nil {
		return fail(err)
	}
	described.Annotations = map[string]string{
		ocispec.AnnotationRefName: o.Version,
		containerdName:            "docker.io/library/" + title + ":" + o.Version,
	}
	if err := target.AppendDescriptor(described); err != nil {
		return fail(err)
	}
	return target, described.Digest, nil
}

// attach adds a bill of materials, which refers to the image that it is of (OCI 1.1
// referrers).
func attach(target layout.Path, image v1.Image, document []byte, o origin) error {
	subject, err := descriptorOf(image)
	if err != nil {
		return err
	}
	layer, err := blob(target, document, sbomType)
	if err != nil {
		return err
	}
	config, err := blob(target, ocispec.DescriptorEmptyJSON.Data, ocispec.MediaTypeEmptyJSON)
	if err != nil {
		return err
	}
	created := map[string]string{ocispec.AnnotationCreated: o.Created.Format(time.RFC3339)}
	content, err := json.Marshal(struct {
		specs.Versioned
		MediaType    string            `json:"mediaType"`
		ArtifactType string            `json:"artifactType"`
		Config       v1.Descriptor     `json:"config"`
		Layers       []v1.Descriptor   `json:"layers"`
		Subject      v1.Descriptor     `json:"subject"`
		Annotations  map[string]string `json:"annotations"`
	}{specs.Versioned{SchemaVersion: 2}, ocispec.MediaTypeImageManifest, sbomType, config, []v1.Descriptor{layer}, subject, created})
	if err != nil {
		return err
	}
	manifest, err := blob(target, content, ocispec.MediaTypeImageManifest)
	if err != nil {
		return err
	}
	manifest.ArtifactType = sbomType
	return target.AppendDescriptor(manifest)
}

func descriptorOf(image v1.Image) (v1.Descriptor, error) {
	digest, err := image.Digest()
	if err != nil {
		return v1.Descriptor{}, err
	}
	size, err := image.Size()
	if err != nil {
		return v1.Descriptor{}, err
	}
	return v1.Descriptor{MediaType: types.OCIManifestSchema1, Digest: digest, Size: size}, nil
}

// blob writes content under its hash and returns what refers to it.
func blob(target layout.Path, content []byte, mediaType string) (v1.Descriptor, error) {
	digest, size, err := v1.SHA256(bytes.NewReader(content))
	if err != nil {
		return v1.Descriptor{}, err
	}
	if err := target.WriteBlob(digest, io.NopCloser(bytes.NewReader(content))); err != nil {
		return v1.Descriptor{}, err
	}
	return v1.Descriptor{MediaType: types.MediaType(mediaType), Digest: digest, Size: size}, nil
}

// archiveLayout writes the layout as one file, the form in which engines load images.
func archiveLayout(directory, file string, created time.Time) (err error) {
	out, err := os.Create(file)
	if err != nil {
		return fmt.Errorf("archive the layout: %w", err)
	}
	defer func() {
		if failed := out.Close(); err == nil && failed != nil {
			err = fmt.Errorf("archive the layout: %w", failed)
		}
	}()
	writer := tar.NewWriter(out)
	// WalkDir goes in the order of names, wherever the file system keeps them.
	err = filepath.WalkDir(directory, func(path string, found fs.DirEntry, err error) error {
		if err != nil || path == directory {
			return err
		}
		name, err := filepath.Rel(directory, path)
		if err != nil {
			return err
		}
		header := &tar.Header{Typeflag: tar.TypeDir, Name: filepath.ToSlash(name) + "/", Mode: 0o755, ModTime: created}
		if found.IsDir() {
			return writer.WriteHeader(header)
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		header.Typeflag, header.Name, header.Mode, header.Size = tar.TypeReg, filepath.ToSlash(name), 0o644, int64(len(content))
		if err := writer.WriteHeader(header); err != nil {
			return err
		}
		_, err = writer.Write(content)
		return err
	})
	if err != nil {
		return fmt.Errorf("archive the layout: %w", err)
	}
	if err := writer.Close(); err != nil {
		return fmt.Errorf("archive the layout: %w", err)
	}
	return nil
}
