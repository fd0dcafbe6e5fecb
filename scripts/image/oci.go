package main

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

const (
	title       = "rollcall"
	description = "Receives the usage reports of product installations and turns them into exact counts per licence and day."
	createdBy   = "scripts/image"
)

// annotations say of an image what it is and of which sources; its configuration has
// the same as labels, for tools that read only those.
func annotations(o origin) map[string]string {
	return map[string]string{
		ocispec.AnnotationTitle:       title,
		ocispec.AnnotationDescription: description,
		ocispec.AnnotationVersion:     o.Version,
		ocispec.AnnotationRevision:    o.Revision,
		ocispec.AnnotationCreated:     o.Created.Format(time.RFC3339),
	}
}

// newImage makes one platform's image of a file system: one layer upon nothing.
func newImage(tree rootfs, p platform, o origin) (v1.Image, error) {
	content, err := tree.archive(o.Created)
	if err != nil {
		return nil, err
	}
	layer, err := tarball.LayerFromOpener(
		func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(content)), nil },
		tarball.WithMediaType(types.OCILayer), tarball.WithCompressionLevel(gzip.BestCompression), tarball.WithCompressedCaching)
	if err != nil {
		return nil, fmt.Errorf("make the layer: %w", err)
	}
	created := v1.Time{Time: o.Created}
	// Neither listening addresses nor limits stand here: a variable of the image would
	// win over the configuration file that an operator mounts.
	config := &v1.ConfigFile{
		OS: p.OS, Architecture: p.Architecture, Created: created,
		Config: v1.Config{
			User: fmt.Sprintf("%d:%d", userID, userID), Entrypoint: []string{"/" + binaryPath}, WorkingDir: "/",
			Labels: annotations(o),
		},
		RootFS: v1.RootFS{Type: "layers"},
	}
	base := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	image, err := mutate.ConfigFile(base, config)
	if err != nil {
		return nil, fmt.Errorf("make the image: %w", err)
	}
	image, err = mutate.Append(image, mutate.Addendum{
		Layer: layer, MediaType: types.OCILayer, History: v1.History{Created: created, CreatedBy: createdBy},
	})
	if err != nil {
		return nil, fmt.Errorf("add the layer: %w", err)
	}
	annotated, ok := mutate.Annotations(image, annotations(o)).(v1.Image)
	if !ok {
		return nil, fmt.Errorf("annotate the image: %T is no image", image)
	}
	return annotated, nil
}

// newIndex joins the platforms' images under one digest. It is written as the
// specification's own types have it: some tools write an index again, and keep its digest
// only where that is how it was written before.
func newIndex(images []v1.Image, platforms []platform, o origin) ([]byte, error) {
	index := ocispec.Index{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex, Annotations: annotations(o),
	}
	for i, image := range images {
		described, err := descriptorOf(image)
		if err != nil {
			return nil, fmt.Errorf("make the index: %w", err)
		}
		index.Manifests = append(index.Manifests, ocispec.Descriptor{
			MediaType: string(described.MediaType), Digest: digest.Digest(described.Digest.String()), Size: described.Size,
			Platform: &ocispec.Platform{OS: platforms[i].OS, Architecture: platforms[i].Architecture},
		})
	}
	content, err := json.Marshal(index)
	if err != nil {
		return nil, fmt.Errorf("make the index: %w", err)
	}
	return content, nil
}
