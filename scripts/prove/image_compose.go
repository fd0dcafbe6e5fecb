package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// composition is deploy/compose.yaml, as scripts/image resolves it.
type composition struct {
	Services map[string]composedContainer
}

// composedContainer is what compose says of one of ours.
type composedContainer struct {
	Image       string
	Command     []string
	User        string
	ReadOnly    bool     `json:"read_only"`
	CapDrop     []string `json:"cap_drop"`
	SecurityOpt []string `json:"security_opt"`
	Environment map[string]*string
	Volumes     []struct {
		Type, Source, Target string
		ReadOnly             bool `json:"read_only"`
		Volume               *struct{ Subpath string }
	}
	DependsOn map[string]struct{ Condition string } `json:"depends_on"`
	Profiles  []string                              // where not empty, it runs on demand
}

const completed = "service_completed_successfully"

// readComposition keeps the containers of our image, without what the proof provides
// in their place.
func readComposition(content []byte) (map[string]composedContainer, error) {
	var all composition
	if err := json.Unmarshal(content, &all); err != nil {
		return nil, fmt.Errorf("read the composition: %w", err)
	}
	ours := map[string]composedContainer{}
	for name, c := range all.Services {
		if !strings.HasPrefix(c.Image, "rollcall:") {
			continue
		}
		// What the jail enforces must be what the file asks for.
		if c.User != "65532:65532" || !c.ReadOnly || !slices.Equal(c.CapDrop, []string{"ALL"}) || !slices.Equal(c.SecurityOpt, []string{"no-new-privileges:true"}) {
			return nil, fmt.Errorf("%s asks for more rights than the proof gives", name)
		}
		ours[name] = c
	}
	if len(ours) == 0 {
		return nil, errors.New("the composition has no container of ours")
	}
	return ours, nil
}

// startOrder returns the names of what runs unasked, each behind what it depends on, and
// which are jobs: those whose end somebody awaits.
func startOrder(ours map[string]composedContainer) (order []string, jobs map[string]bool, err error) {
	jobs = map[string]bool{}
	unasked := 0
	for _, c := range ours {
		if len(c.Profiles) == 0 {
			unasked++
		}
		for name, dependency := range c.DependsOn {
			if dependency.Condition == completed {
				jobs[name] = true
			}
		}
	}
	for len(order) < unasked {
		before := len(order)
		for _, name := range slices.Sorted(maps.Keys(ours)) {
			ready := !slices.Contains(order, name) && len(ours[name].Profiles) == 0
			for dependency := range ours[name].DependsOn {
				_, ourOwn := ours[dependency]
				ready = ready && (!ourOwn || slices.Contains(order, dependency))
			}
			if ready {
				order = append(order, name)
			}
		}
		if len(order) == before {
			return nil, nil, errors.New("the composition's dependencies go in a circle")
		}
	}
	return order, jobs, nil
}

// volumes are the named volumes of a composition as directories.
type volumes struct {
	directory string
	files     unpacked // the image's file system, which gives a new volume its owner
}

// mount returns what the jail is told of a container's volumes, and makes what is
// missing: mount points in the file system, as an engine does, and new volumes with
// owner and mode of the directory that they cover.
func (v volumes) mount(c composedContainer) ([]string, error) {
	var arguments []string
	for _, volume := range c.Volumes {
		if volume.Type != "volume" {
			return nil, fmt.Errorf("%s is a %s, not a volume", volume.Target, volume.Type)
		}
		source := filepath.Join(v.directory, volume.Source)
		if err := v.create(source, volume.Target); err != nil {
			return nil, err
		}
		if volume.Volume != nil {
			source = filepath.Join(source, filepath.FromSlash(path.Clean("/"+volume.Volume.Subpath)))
			if _, err := os.Stat(source); err != nil {
				return nil, fmt.Errorf("no such part of the volume: %w", err)
			}
		}
		mode := ":rw"
		if volume.ReadOnly {
			mode = ""
		}
		if err := v.point(volume.Target); err != nil {
			return nil, err
		}
		arguments = append(arguments, "-bind", source+":"+volume.Target+mode)
	}
	return arguments, nil
}

// point makes a mount point.
func (v volumes) point(target string) error {
	if err := os.MkdirAll(filepath.Join(v.files.directory, target), 0o755); err != nil {
		return fmt.Errorf("make a mount point: %w", err)
	}
	return nil
}

func (v volumes) create(source, target string) error {
	err := os.Mkdir(source, 0o755)
	if errors.Is(err, os.ErrExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("make a volume: %w", err)
	}
	header, ok := v.files.headers[strings.Trim(target, "/")]
	if !ok {
		return nil // root's, as with an engine: its containers cannot write there
	}
	if os.Geteuid() == 0 {
		err = os.Chown(source, header.Uid, header.Gid)
	}
	if err = errors.Join(err, os.Chmod(source, header.FileInfo().Mode().Perm())); err != nil {
		return fmt.Errorf("make a volume: %w", err)
	}
	return nil
}
