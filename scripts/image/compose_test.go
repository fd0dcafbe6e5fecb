package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/types"
)

const composeFile = "../../deploy/compose.yaml"

func workstation(t *testing.T) *types.Project {
	t.Helper()
	project, err := loadCompose(t.Context(), composeFile)
	if err != nil {
		t.Fatal(err)
	}
	return project
}

func TestComposeRunsEveryServiceWithoutRights(t *testing.T) {
	project := workstation(t)
	var ours []string
	for name, service := range project.Services {
		if !strings.HasPrefix(service.Image, "rollcall:") {
			continue
		}
		ours = append(ours, name)
		if service.User != "65532:65532" || !service.ReadOnly || !slices.Contains(service.CapDrop, "ALL") ||
			!slices.Contains(service.SecurityOpt, "no-new-privileges:true") || len(service.Entrypoint) > 0 {
			t.Errorf("%s runs as %q, read-only %v, without %v, %v, as %v", name, service.User, service.ReadOnly, service.CapDrop, service.SecurityOpt, service.Entrypoint)
		}
	}
	for _, name := range []string{"gateway", "anonymizer", "enricher", "sink", "keys", "keys-gateway", "keys-anonymizer", "keys-licences", "topics", "migrate", "licences"} {
		if !slices.Contains(ours, name) {
			t.Errorf("%s is missing", name)
		}
	}
}

// Each holder sees its own keys: the keystore itself only what writes it.
func TestComposeKeepsKeysApart(t *testing.T) {
	want := map[string]string{"gateway": "gateway", "anonymizer": "anonymizer", "licences": "licences", "keys": "", "keys-gateway": "", "keys-anonymizer": "", "keys-licences": ""}
	for name, service := range workstation(t).Services {
		subpath, holds := want[name]
		for _, volume := range service.Volumes {
			if volume.Source != "keys" {
				continue
			}
			got := ""
			if volume.Volume != nil {
				got = volume.Volume.Subpath
			}
			if !holds || got != subpath || volume.ReadOnly != (subpath != "") {
				t.Errorf("%s mounts %q of the keys, read-only %v", name, got, volume.ReadOnly)
			}
			holds = false
		}
		if holds {
			t.Errorf("%s mounts no keys", name)
		}
	}
}

func TestComposePinsImagesAndListensHereAlone(t *testing.T) {
	pinned := regexp.MustCompile(`:[0-9]+\.[0-9]+(\.[0-9]+)*$`)
	for name, service := range workstation(t).Services {
		if !strings.HasPrefix(service.Image, "rollcall:") && !pinned.MatchString(service.Image) {
			t.Errorf("%s is of %s, without a version", name, service.Image)
		}
		for _, port := range service.Ports {
			if port.HostIP != "127.0.0.1" {
				t.Errorf("%s publishes port %s on %q", name, port.Published, port.HostIP)
			}
		}
		for _, volume := range service.Volumes {
			if volume.Type != types.VolumeTypeBind {
				continue
			}
			if _, err := os.Stat(volume.Source); err != nil {
				t.Errorf("%s mounts a file that is not there: %v", name, err)
			}
		}
	}
}

func TestComposeFileWithMistakesIsRefused(t *testing.T) {
	original, err := os.ReadFile(composeFile)
	if err != nil {
		t.Fatal(err)
	}
	for name, edit := range map[string][2]string{
		"unknown key":        {"read_only: true\n", "read_onyl: true\n"},
		"absent dependency":  {"topics: {condition: service_completed_successfully}", "tropics: {condition: service_completed_successfully}"},
		"undeclared volume":  {"\n  keys:\n", "\n"},
		"unknown condition":  {"condition: service_healthy", "condition: service_happy"},
		"port out of bounds": {"127.0.0.1:8080:8080", "127.0.0.1:8080:80800"},
	} {
		changed := string(original)
		at := strings.LastIndex(changed, edit[0])
		if at < 0 {
			t.Fatalf("%s: %q is not in the file", name, edit[0])
		}
		changed = changed[:at] + edit[1] + changed[at+len(edit[0]):]
		path := filepath.Join(t.TempDir(), "compose.yaml")
		if err := os.WriteFile(path, []byte(changed), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := loadCompose(t.Context(), path); err == nil {
			t.Errorf("%s: it passes", name)
		}
	}
}
