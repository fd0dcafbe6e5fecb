package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	schema "rollcall/schemas/avro"
	"rollcall/scripts/testbed"
)

// A release and the one before it, made of this tree. The newer one is the tree as it
// is, but that its newest record format has a predecessor in which two internal records
// have one field less; the older one knows that predecessor only. They differ in the
// files of schemas/avro alone, as two releases do of which one adds a field.

// newField is the field that the older release does not have, in each of these records.
const newField = "optional_dropped"

func grownRecords() []string { return []string{"CleanReport", "Usage"} }

// releases are the two builds, and what tells their records apart.
type releases struct {
	older, newer string // binaries
	raised       int    // number of the format that only the newer one knows
	// olderPrint and newerPrint are the records' fingerprints, by record.
	olderPrint, newerPrint map[string]schema.Fingerprint
}

func buildReleases(ctx context.Context, env *Environment) (*releases, error) {
	root, err := testbed.Root(ctx)
	if err != nil {
		return nil, err
	}
	formats := schema.Released().Formats()
	r := &releases{raised: len(formats) + 1, olderPrint: map[string]schema.Fingerprint{}, newerPrint: map[string]schema.Fingerprint{}}
	older, newer := &history{dir: env.Path("older"), files: map[string]string{}}, &history{dir: env.Path("newer"), files: map[string]string{}}
	line := fmt.Sprint(r.raised)
	for _, name := range schema.Released().Names() {
		if formats[len(formats)-1].Version(name) == nil {
			continue // no internal record
		}
		newest := schema.Released().Newest(name)
		number := newest.Number
		for _, grown := range grownRecords() {
			if grown != name {
				continue
			}
			if err := r.grow(newest, older, newer); err != nil {
				return nil, err
			}
			number++
		}
		line += fmt.Sprintf(" %s=%d", name, number)
	}
	list, err := os.ReadFile(filepath.Join(root, "schemas/avro/formats.txt"))
	if err != nil {
		return nil, fmt.Errorf("read the record formats: %w", err)
	}
	newer.files["formats.txt"] = string(list) + line + "\n"
	if r.older, err = older.build(ctx, env, "the older release"); err != nil {
		return nil, err
	}
	r.newer, err = newer.build(ctx, env, "the newer release")
	return r, err
}

// grow gives a record's newest version a predecessor without the field.
func (r *releases) grow(newest *schema.Version, older, newer *history) error {
	var lines, without []string
	found := 0
	for line := range strings.Lines(newest.Source) {
		if strings.Contains(line, `{"name": "`+newField+`", "type": "int",`) {
			found++
			lines = append(lines, strings.Replace(line, `"type": "int",`, `"type": "int", "default": 0,`, 1))
			continue
		}
		lines, without = append(lines, line), append(without, line)
	}
	if found != 1 {
		return fmt.Errorf("%s has the field %s %d times, not once", newest.Name, newField, found)
	}
	base := map[string]string{"CleanReport": "clean_report", "Usage": "usage"}[newest.Name]
	this, next := fmt.Sprintf("%s.v%d.avsc", base, newest.Number), fmt.Sprintf("%s.v%d.avsc", base, newest.Number+1)
	older.files[this], newer.files[this] = strings.Join(without, ""), strings.Join(without, "")
	newer.files[next] = strings.Join(lines, "")
	var err error
	if r.olderPrint[newest.Name], err = schema.FingerprintOf(older.files[this]); err == nil {
		r.newerPrint[newest.Name], err = schema.FingerprintOf(newer.files[next])
	}
	return err
}

// history is schemas/avro as another release has it: files that replace or join the
// tree's, by name.
type history struct {
	dir   string
	files map[string]string
}

func (h *history) build(ctx context.Context, env *Environment, name string) (string, error) {
	if err := os.MkdirAll(h.dir, 0o755); err != nil {
		return "", fmt.Errorf("make the build's directory: %w", err)
	}
	overlay := map[string]string{}
	for file, content := range h.files {
		path := filepath.Join(h.dir, file)
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			return "", fmt.Errorf("write %s: %w", file, err)
		}
		overlay["schemas/avro/"+file] = path
	}
	env.Say("building %s", name)
	return testbed.Build(ctx, testbed.BuildOptions{Dir: h.dir, Tags: []string{"embedded"}, Overlay: overlay})
}
