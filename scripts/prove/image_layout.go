package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// blobReference is how an OCI layout points at content.
type blobReference struct {
	MediaType, Digest string
	ArtifactType      string `json:"artifactType"`
	Size              int64
	Platform          struct{ OS, Architecture string }
}

// ociImage is an image as its layout on disk has it, read without the library that
// wrote it: what it says is compared, not believed.
type ociImage struct {
	directory string
	platforms []ociPlatform
}

type ociPlatform struct {
	name   string // OS/ARCH
	digest string
	size   int64 // compressed: manifest, configuration and layer
	sbom   []byte
	config struct {
		Config struct {
			User       string
			Entrypoint []string
			Env        []string
		}
		RootFS struct {
			DiffIDs []string `json:"diff_ids"`
		}
	}
	layer []byte // uncompressed
}

// manifest is that of an image, or of what refers to one.
type manifest struct {
	Config  blobReference
	Layers  []blobReference
	Subject *blobReference
}

// readImage reads a layout whole, and fails where any content is not what its digest
// and size say.
func readImage(directory string) (*ociImage, error) {
	image := &ociImage{directory: filepath.Join(directory, "oci")}
	var top, index struct{ Manifests []blobReference }
	content, err := os.ReadFile(filepath.Join(image.directory, "index.json"))
	if err != nil {
		return nil, fmt.Errorf("read the layout: %w", err)
	}
	if err := json.Unmarshal(content, &top); err != nil {
		return nil, fmt.Errorf("read the layout: %w", err)
	}
	if len(top.Manifests) == 0 || top.Manifests[0].MediaType != "application/vnd.oci.image.index.v1+json" {
		return nil, errors.New("the layout does not begin with an index of images")
	}
	if err := image.decode(top.Manifests[0], &index); err != nil {
		return nil, err
	}
	for _, reference := range index.Manifests {
		platform, err := image.readPlatform(reference)
		if err != nil {
			return nil, err
		}
		if platform.sbom, err = image.referrer(reference.Digest, top.Manifests[1:]); err != nil {
			return nil, err
		}
		image.platforms = append(image.platforms, platform)
	}
	return image, nil
}

func (i *ociImage) platform(name string) (ociPlatform, error) {
	for _, p := range i.platforms {
		if p.name == name {
			return p, nil
		}
	}
	return ociPlatform{}, fmt.Errorf("the image has no platform %s", name)
}

func (i *ociImage) readPlatform(reference blobReference) (ociPlatform, error) {
	p := ociPlatform{name: reference.Platform.OS + "/" + reference.Platform.Architecture, digest: reference.Digest, size: reference.Size}
	var m manifest
	if err := i.decode(reference, &m); err != nil {
		return p, err
	}
	if err := i.decode(m.Config, &p.config); err != nil {
		return p, err
	}
	if len(m.Layers) != 1 || len(p.config.RootFS.DiffIDs) != 1 {
		return p, fmt.Errorf("%s has %d layers, not 1", p.name, len(m.Layers))
	}
	p.size += m.Config.Size + m.Layers[0].Size
	compressed, err := i.blob(m.Layers[0])
	if err != nil {
		return p, err
	}
	reader, err := gzip.NewReader(bytes.NewReader(compressed))
	if err != nil {
		return p, fmt.Errorf("read the layer: %w", err)
	}
	if p.layer, err = io.ReadAll(reader); err != nil {
		return p, fmt.Errorf("read the layer: %w", err)
	}
	if sum := sha256.Sum256(p.layer); "sha256:"+hex.EncodeToString(sum[:]) != p.config.RootFS.DiffIDs[0] {
		return p, fmt.Errorf("the layer of %s is not the one of its configuration", p.name)
	}
	return p, nil
}

// referrer returns the SPDX document that refers to the digest.
func (i *ociImage) referrer(digest string, candidates []blobReference) ([]byte, error) {
	for _, candidate := range candidates {
		var m manifest
		if err := i.decode(candidate, &m); err != nil {
			return nil, err
		}
		if candidate.ArtifactType == "application/spdx+json" && m.Subject != nil && m.Subject.Digest == digest && len(m.Layers) == 1 {
			return i.blob(m.Layers[0])
		}
	}
	return nil, fmt.Errorf("nothing is attached to %s", digest)
}

func (i *ociImage) decode(reference blobReference, into any) error {
	content, err := i.blob(reference)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(content, into); err != nil {
		return fmt.Errorf("read %s: %w", reference.Digest, err)
	}
	return nil
}

func (i *ociImage) blob(reference blobReference) ([]byte, error) {
	hash, ok := strings.CutPrefix(reference.Digest, "sha256:")
	if !ok || strings.ContainsAny(hash, `/\`) {
		return nil, fmt.Errorf("%q is no digest", reference.Digest)
	}
	content, err := os.ReadFile(filepath.Join(i.directory, "blobs", "sha256", hash))
	if err != nil {
		return nil, fmt.Errorf("read content: %w", err)
	}
	if sum := sha256.Sum256(content); hex.EncodeToString(sum[:]) != hash || int64(len(content)) != reference.Size {
		return nil, fmt.Errorf("what lies under %s is something else", reference.Digest)
	}
	return content, nil
}

// unpacked is a layer's files on disk.
type unpacked struct {
	directory string
	files     int
	headers   map[string]*tar.Header // by path without slashes at its ends
}

// unpack writes the layer as a container engine does, owners included where this
// process may give files away. Names outside the directory and files with more
// rights than an image of ours needs are errors.
func (p ociPlatform) unpack(directory string) (unpacked, error) {
	u := unpacked{directory: directory, headers: map[string]*tar.Header{}}
	if err := os.Mkdir(directory, 0o755); err != nil {
		return u, fmt.Errorf("unpack: %w", err)
	}
	for reader := tar.NewReader(bytes.NewReader(p.layer)); ; {
		header, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return u, nil
		}
		if err != nil {
			return u, fmt.Errorf("unpack: %w", err)
		}
		name := strings.TrimSuffix(header.Name, "/")
		if !filepath.IsLocal(name) || header.Mode&^0o755 != 0 || header.Typeflag != tar.TypeReg && header.Typeflag != tar.TypeDir {
			return u, fmt.Errorf("%q has type %c and mode %o", header.Name, header.Typeflag, header.Mode)
		}
		u.headers[name] = header
		target := filepath.Join(directory, name)
		if header.Typeflag == tar.TypeDir {
			err = os.Mkdir(target, 0o755)
		} else {
			u.files++
			err = writeFrom(reader, target)
		}
		if err == nil && os.Geteuid() == 0 {
			err = os.Chown(target, header.Uid, header.Gid)
		}
		if err == nil {
			err = os.Chmod(target, header.FileInfo().Mode().Perm())
		}
		if err != nil {
			return u, fmt.Errorf("unpack %s: %w", name, err)
		}
	}
}

func writeFrom(reader io.Reader, path string) error {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(file, reader)
	return errors.Join(err, file.Close())
}
