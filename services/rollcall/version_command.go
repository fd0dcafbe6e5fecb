package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"rollcall/pkg/record"
	"rollcall/pkg/telemetry"
	schema "rollcall/schemas/avro"
)

type versionCommand struct{ output }

func (versionCommand) Help() string {
	return page("Shows the version, the revision it was built from, and the schemas it reads and writes.",
		[]string{"rollcall version", "rollcall version --output json | jq -r .revision"}, "")
}

type schemaVersion struct {
	Record      string `json:"record"`
	Number      int    `json:"number"`
	Fingerprint string `json:"fingerprint"`
}

type versionResult struct {
	Version  string          `json:"version"`
	Revision string          `json:"revision"`
	Go       string          `json:"go"`
	Platform string          `json:"platform"`
	Embedded bool            `json:"embedded_clickhouse"`
	Schemas  []schemaVersion `json:"schemas"`
	// What records.format may be, 1 to Current, and what it is without being set.
	Formats recordFormats `json:"record_formats"`
}

type recordFormats struct {
	Current  int `json:"current"`
	Previous int `json:"previous"`
}

func (c *versionCommand) Run(a *app) error {
	result := versionResult{
		Version: telemetry.Version(), Revision: buildRevision(), Go: runtime.Version(),
		Platform: runtime.GOOS + "/" + runtime.GOARCH, Embedded: embedded,
	}
	store := schema.Released()
	for _, name := range store.Names() {
		for _, v := range store.Versions(name) {
			result.Schemas = append(result.Schemas, schemaVersion{name, v.Number, v.Fingerprint.String()})
		}
	}
	result.Formats = recordFormats{record.Current().Number(), record.Previous().Number()}
	return c.show(a.stdout, result, func(w *columns) {
		w.row("version", result.Version)
		w.row("revision", result.Revision)
		w.row("go", result.Go+" "+result.Platform)
		w.row("embedded ClickHouse", map[bool]string{true: "yes", false: "no: standalone needs clickhouse on the PATH"}[embedded])
		w.row("record formats", fmt.Sprintf("current %d, previous %d", result.Formats.Current, result.Formats.Previous))
		w.row("schemas", "")
		for _, s := range result.Schemas {
			w.row("  "+s.Record, fmt.Sprintf("v%d  %s", s.Number, s.Fingerprint))
		}
	})
}

// buildRevision is what the linker was given, or else what the build recorded.
func buildRevision() string {
	if revision != "" {
		return revision
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	var commit, changed string
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			commit = s.Value
		case "vcs.modified":
			if s.Value == "true" {
				changed = "-dirty"
			}
		}
	}
	if commit == "" {
		return "unknown"
	}
	return commit + changed
}
