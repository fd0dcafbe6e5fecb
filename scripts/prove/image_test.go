package main

import (
	"archive/tar"
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const someComposition = `{"services": {
  "kafka": {"image": "apache/kafka:4.3.0"},
  "keys": {"image": "rollcall:dev", "user": "65532:65532", "read_only": true, "cap_drop": ["ALL"], "security_opt": ["no-new-privileges:true"]},
  "gateway": {"image": "rollcall:dev", "user": "65532:65532", "read_only": true, "cap_drop": ["ALL"], "security_opt": ["no-new-privileges:true"],
    "depends_on": {"kafka": {"condition": "service_healthy"}, "keys": {"condition": "service_completed_successfully"}}},
  "tool": {"image": "rollcall:dev", "user": "65532:65532", "read_only": true, "cap_drop": ["ALL"], "security_opt": ["no-new-privileges:true"],
    "profiles": ["tools"]}
}}`

func TestCompositionIsRunInOrder(t *testing.T) {
	ours, err := readComposition([]byte(someComposition))
	if err != nil {
		t.Fatal(err)
	}
	order, jobs, err := startOrder(ours)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"keys", "gateway"}, order); diff != "" || !jobs["keys"] || jobs["gateway"] || len(ours) != 3 {
		t.Errorf("%s; jobs %v; %d containers", diff, jobs, len(ours))
	}
	keys := ours["keys"]
	keys.DependsOn = map[string]struct{ Condition string }{"gateway": {"service_started"}}
	ours["keys"] = keys
	if order, _, err := startOrder(ours); err == nil {
		t.Errorf("a circle starts in the order %v", order)
	}
}

func TestCompositionWithMoreRightsIsRefused(t *testing.T) {
	for _, edit := range [][2]string{
		{`"65532:65532"`, `"0:0"`},
		{`"read_only": true`, `"read_only": false`},
		{`["ALL"]`, `["NET_RAW"]`},
		{`"security_opt": ["no-new-privileges:true"]`, `"security_opt": []`},
		{`rollcall:dev`, `other:dev`},
	} {
		if _, err := readComposition([]byte(strings.ReplaceAll(someComposition, edit[0], edit[1]))); err == nil {
			t.Errorf("%s is taken", edit[1])
		}
	}
}

func TestLayerWithMoreThanFilesIsRefused(t *testing.T) {
	for name, header := range map[string]tar.Header{
		"outside":     {Name: "../escape", Typeflag: tar.TypeReg, Mode: 0o444},
		"absolute":    {Name: "/escape", Typeflag: tar.TypeReg, Mode: 0o444},
		"set user id": {Name: "program", Typeflag: tar.TypeReg, Mode: 0o4755},
		"for all":     {Name: "directory/", Typeflag: tar.TypeDir, Mode: 0o777},
		"link":        {Name: "link", Typeflag: tar.TypeSymlink, Linkname: "/etc", Mode: 0o755},
	} {
		var layer bytes.Buffer
		writer := tar.NewWriter(&layer)
		if err := writer.WriteHeader(&header); err != nil {
			t.Fatal(err)
		}
		if err := writer.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := (ociPlatform{layer: layer.Bytes()}).unpack(filepath.Join(t.TempDir(), "files")); err == nil {
			t.Errorf("%s: unpacked", name)
		}
	}
}

func TestContentThatIsNotItsDigestIsRefused(t *testing.T) {
	image := ociImage{directory: t.TempDir()}
	const content, digest = "hello\n", "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03"
	blobs := filepath.Join(image.directory, "blobs", "sha256")
	if err := os.MkdirAll(blobs, 0o755); err != nil {
		t.Fatal(err)
	}
	write := func(text string) {
		if err := os.WriteFile(filepath.Join(blobs, digest), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	reference := blobReference{Digest: "sha256:" + digest, Size: int64(len(content))}
	write(content)
	if got, err := image.blob(reference); err != nil || string(got) != content {
		t.Errorf("%q, %v", got, err)
	}
	write("Hello\n")
	if _, err := image.blob(reference); err == nil {
		t.Error("another content is taken")
	}
	write(content)
	for name, spoiled := range map[string]blobReference{
		"size": {Digest: reference.Digest, Size: 7}, "algorithm": {Digest: "md5:" + digest, Size: 6}, "path": {Digest: "sha256:../" + digest, Size: 6},
	} {
		if _, err := image.blob(spoiled); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}
