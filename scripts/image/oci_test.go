package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

var (
	somePlatform = platform{"linux", "amd64"}
	someOrigin   = origin{Revision: strings.Repeat("ab", 20), Version: "1.2.3", Created: someTime}
)

func someImage(t *testing.T, tree rootfs, p platform, o origin) v1.Image {
	t.Helper()
	image, err := newImage(tree, p, o)
	if err != nil {
		t.Fatal(err)
	}
	return image
}

func digestOf(t *testing.T, image v1.Image) string {
	t.Helper()
	digest, err := image.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return digest.String()
}

func TestDigestFollowsContentAndOriginAlone(t *testing.T) {
	want := digestOf(t, someImage(t, someTree(), somePlatform, someOrigin))
	if got := digestOf(t, someImage(t, someTree(), somePlatform, someOrigin)); got != want {
		t.Errorf("the same image again is %s, not %s", got, want)
	}
	changed := someTree()
	changed["rollcall"] = entry{content: []byte("Program"), mode: 0o555}
	looser := someTree()
	looser["rollcall"] = entry{content: []byte("program"), mode: 0o755}
	later, other := someOrigin, someOrigin
	later.Created = later.Created.Add(time.Second)
	other.Revision = strings.Repeat("cd", 20)
	for name, image := range map[string]v1.Image{
		"another byte":      someImage(t, changed, somePlatform, someOrigin),
		"another mode":      someImage(t, looser, somePlatform, someOrigin),
		"another time":      someImage(t, someTree(), somePlatform, later),
		"another revision":  someImage(t, someTree(), somePlatform, other),
		"another processor": someImage(t, someTree(), platform{"linux", "arm64"}, someOrigin),
	} {
		if digestOf(t, image) == want {
			t.Errorf("%s leaves the digest as it is", name)
		}
	}
}

func TestImageRunsWithoutRights(t *testing.T) {
	image := someImage(t, someTree(), somePlatform, someOrigin)
	config, err := image.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	if config.Config.User != "65532:65532" {
		t.Errorf("runs as %q", config.Config.User)
	}
	if diff := cmp.Diff([]string{"/rollcall"}, config.Config.Entrypoint); diff != "" {
		t.Error(diff)
	}
	// A variable would win over the file that an operator mounts.
	if len(config.Config.Env) > 0 || len(config.Config.Cmd) > 0 {
		t.Errorf("the image sets %v and runs %v", config.Config.Env, config.Config.Cmd)
	}
	manifest, err := image.Manifest()
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{ocispec.AnnotationRevision, ocispec.AnnotationVersion, ocispec.AnnotationCreated} {
		if manifest.Annotations[key] == "" || manifest.Annotations[key] != config.Config.Labels[key] {
			t.Errorf("%s is %q as an annotation and %q as a label", key, manifest.Annotations[key], config.Config.Labels[key])
		}
	}
}

// writeSome writes a layout of one image and returns its directory and the image.
func writeSome(t *testing.T) (string, v1.Image) {
	t.Helper()
	image := someImage(t, someTree(), somePlatform, someOrigin)
	index, err := newIndex([]v1.Image{image}, []platform{somePlatform}, someOrigin)
	if err != nil {
		t.Fatal(err)
	}
	directory := filepath.Join(t.TempDir(), layoutDir)
	target, _, err := writeLayout(directory, index, []v1.Image{image}, someOrigin)
	if err != nil {
		t.Fatal(err)
	}
	if err := attach(target, image, []byte(`{"spdxVersion":"SPDX-2.3"}`), someOrigin); err != nil {
		t.Fatal(err)
	}
	return directory, image
}

func blobPath(directory, digest string) string {
	algorithm, hex, _ := strings.Cut(digest, ":")
	return filepath.Join(directory, "blobs", algorithm, hex)
}

func TestBillOfMaterialsRefersToItsImage(t *testing.T) {
	directory, image := writeSome(t)
	content, err := os.ReadFile(filepath.Join(directory, "index.json"))
	if err != nil {
		t.Fatal(err)
	}
	var index ocispec.Index
	if err := json.Unmarshal(content, &index); err != nil {
		t.Fatal(err)
	}
	if len(index.Manifests) != 2 || index.Manifests[0].Annotations[ocispec.AnnotationRefName] != "1.2.3" || index.Manifests[1].ArtifactType != sbomType {
		t.Fatalf("index.json: %s", content)
	}
	if content, err = os.ReadFile(blobPath(directory, index.Manifests[1].Digest.String())); err != nil {
		t.Fatal(err)
	}
	var manifest ocispec.Manifest
	if err := json.Unmarshal(content, &manifest); err != nil {
		t.Fatal(err)
	}
	if manifest.ArtifactType != sbomType || manifest.Subject == nil || manifest.Subject.Digest.String() != digestOf(t, image) {
		t.Errorf("the bill of materials: %s", content)
	}
	if document, err := os.ReadFile(blobPath(directory, manifest.Layers[0].Digest.String())); err != nil || !strings.Contains(string(document), "SPDX-2.3") {
		t.Errorf("the document: %s, %v", document, err)
	}
}

func TestCheckFindsWhatIsBroken(t *testing.T) {
	directory, image := writeSome(t)
	if err := check(directory); err != nil {
		t.Fatal(err)
	}
	layers, err := image.Layers()
	if err != nil {
		t.Fatal(err)
	}
	digest, err := layers[0].Digest()
	if err != nil {
		t.Fatal(err)
	}
	path := blobPath(directory, digest.String())
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	content[len(content)/2] ^= 1
	if err := os.WriteFile(path, content, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := check(directory); err == nil {
		t.Error("a layer with a flipped bit passes")
	}
}

func TestArchiveOfALayoutIsTheSameAnywhere(t *testing.T) {
	var archives []string
	for range 2 {
		directory, _ := writeSome(t)
		file := filepath.Join(t.TempDir(), archiveFile)
		if err := archiveLayout(directory, file, someTime); err != nil {
			t.Fatal(err)
		}
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		archives = append(archives, string(content))
	}
	if archives[0] != archives[1] || archives[0] == "" {
		t.Error("the same layout makes another archive")
	}
}
