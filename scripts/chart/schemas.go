package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	sigsyaml "sigs.k8s.io/yaml"
)

// source is a module at one version whose zip holds definitions, checked by its sum.
type source struct{ module, sum string }

func kubernetes() source {
	return source{"k8s.io/kubernetes@v1.36.3", "h1:qDQdoMiluAE2Eab6Fa52YV+WjiGz9mZFFoagEA6cI+o="}
}

// definitions are modules with custom resource definitions, and the files in them.
func definitions() map[source][]string {
	return map[source][]string{
		{"github.com/external-secrets/external-secrets@v1.3.2", "h1:u2J8RjlHIeF0oZCqtl92adI/uZWUwOesJIDkfql6LqQ="}: {"config/crds/bases/external-secrets.io_externalsecrets.yaml"},
		{"github.com/kedacore/keda/v2@v2.21.0", "h1:R6z2HZvstK4RLUMxroNACzBj74xGxt3kG59b5Xc+Xps="}:                 {"config/crd/bases/keda.sh_scaledobjects.yaml"},
		{"sigs.k8s.io/gateway-api@v1.5.1", "h1:RqVRIlkhLhUO8wOHKTLnTJA6o/1un4po4/6M1nRzdd0="}: {
			"config/crd/standard/gateway.networking.k8s.io_backendtlspolicies.yaml",
			"config/crd/standard/gateway.networking.k8s.io_httproutes.yaml",
		},
		{"github.com/prometheus-operator/prometheus-operator@v0.93.0", "h1:AohlYJT+En8TmNpAcEUJ3GsaJTAqfEBwHmGTVpRm/Io="}: {
			"example/prometheus-operator-crd/monitoring.coreos.com_podmonitors.yaml",
			"example/prometheus-operator-crd/monitoring.coreos.com_prometheusrules.yaml",
			"example/prometheus-operator-crd/monitoring.coreos.com_servicemonitors.yaml",
		},
	}
}

// dir fetches the module through the go command and returns where it is.
func (s source) dir() (string, error) {
	out, err := exec.Command("go", "mod", "download", "-json", s.module).Output()
	var got struct{ Dir, Sum, Error string }
	if jsonErr := json.Unmarshal(out, &got); jsonErr != nil {
		return "", fmt.Errorf("download %s: %w", s.module, errors.Join(err, jsonErr))
	}
	if got.Error != "" || err != nil {
		return "", fmt.Errorf("download %s: %s", s.module, got.Error)
	}
	if got.Sum != s.sum {
		return "", fmt.Errorf("download %s: its sum is %s, not %s", s.module, got.Sum, s.sum)
	}
	return got.Dir, nil
}

// writeSchemas writes a JSON schema for each kind, as kubeconform looks for them:
// KIND-GROUP-VERSION.json, strict: what a kind does not have is refused.
func writeSchemas(out io.Writer, dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	root, err := kubernetes().dir()
	if err != nil {
		return err
	}
	content, err := os.ReadFile(filepath.Join(root, "api", "openapi-spec", "swagger.json"))
	if err != nil {
		return err
	}
	var api struct{ Definitions map[string]map[string]any }
	if err := json.Unmarshal(content, &api); err != nil {
		return fmt.Errorf("swagger.json: %w", err)
	}
	written, err := writeKinds(dir, api.Definitions)
	if err != nil {
		return err
	}
	files, err := definitionFiles()
	if err != nil {
		return err
	}
	for _, file := range files {
		if err := writeDefinition(dir, file); err != nil {
			return err
		}
		written++
	}
	fmt.Fprintf(out, "wrote %d schemas\n", written)
	return nil
}

// definitionFiles fetches the modules with definitions and returns the files.
func definitionFiles() ([]string, error) {
	var paths []string
	for module, files := range definitions() {
		root, err := module.dir()
		if err != nil {
			return nil, err
		}
		for _, file := range files {
			paths = append(paths, filepath.Join(root, file))
		}
	}
	return paths, nil
}

// copyDefinitions lays the definitions into a directory, for a cluster that is to know
// other projects' kinds.
func copyDefinitions(out io.Writer, dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	files, err := definitionFiles()
	if err != nil {
		return err
	}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, filepath.Base(file)), content, 0o644); err != nil {
			return err
		}
	}
	fmt.Fprintf(out, "copied %d definitions\n", len(files))
	return nil
}

// writeKinds writes each definition that is a kind, with those that it refers to.
func writeKinds(dir string, all map[string]map[string]any) (int, error) {
	for name, definition := range all {
		strict(definition)
		if strings.HasSuffix(name, "api.resource.Quantity") {
			// The API takes cpu: 1 as well as cpu: "1".
			delete(definition, "type")
			definition["type"] = []string{"string", "number"}
		}
	}
	written := 0
	for name, definition := range all {
		kinds, ok := definition["x-kubernetes-group-version-kind"].([]any)
		if !ok || len(kinds) != 1 { // options and the like have many
			continue
		}
		needed := map[string]any{}
		closure(all, name, needed)
		schema := map[string]any{"$schema": "http://json-schema.org/draft-07/schema#", "$ref": "#/definitions/" + name, "definitions": needed}
		kind := kinds[0].(map[string]any)
		if err := writeSchema(dir, kind["kind"].(string), kind["group"].(string), kind["version"].(string), schema); err != nil {
			return 0, err
		}
		written++
	}
	return written, nil
}

func writeSchema(dir, kind, group, version string, schema map[string]any) error {
	name := kind
	if group != "" {
		name += "-" + strings.Split(group, ".")[0]
	}
	content, err := json.Marshal(schema)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, strings.ToLower(name+"-"+version)+".json"), content, 0o644)
}

// closure collects what a definition refers to, itself included.
func closure(all map[string]map[string]any, name string, into map[string]any) {
	if _, done := into[name]; done {
		return
	}
	into[name] = all[name]
	visit(all[name], func(schema map[string]any) {
		if reference, ok := schema["$ref"].(string); ok {
			closure(all, strings.TrimPrefix(reference, "#/definitions/"), into)
		}
	})
}

// strict refuses fields that a schema does not name, and lets what may be a number
// or a text be either.
func strict(schema map[string]any) {
	visit(schema, func(s map[string]any) {
		_, named := s["properties"].(map[string]any)
		_, open := s["additionalProperties"]
		if preserve, _ := s["x-kubernetes-preserve-unknown-fields"].(bool); named && !open && !preserve {
			s["additionalProperties"] = false
		}
		whole, _ := s["x-kubernetes-int-or-string"].(bool)
		if s["format"] == "int-or-string" || whole {
			delete(s, "format")
			s["type"] = []string{"string", "integer"}
		}
	})
}

// visit calls do for every schema within: values of properties and the like.
func visit(value any, do func(map[string]any)) {
	switch v := value.(type) {
	case map[string]any:
		do(v)
		for _, inner := range v {
			visit(inner, do)
		}
	case []any:
		for _, inner := range v {
			visit(inner, do)
		}
	}
}

// writeDefinition writes the schemas of a custom resource definition.
func writeDefinition(dir, path string) error {
	content, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var crd struct {
		Spec struct {
			Group string
			Names struct{ Kind string }
			// Versions hold a schema each.
			Versions []struct {
				Name   string
				Schema struct {
					OpenAPIV3Schema map[string]any `json:"openAPIV3Schema"`
				}
			}
		}
	}
	if err := sigsyaml.Unmarshal(content, &crd); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	for _, version := range crd.Spec.Versions {
		schema := version.Schema.OpenAPIV3Schema
		strict(schema)
		if err := writeSchema(dir, crd.Spec.Names.Kind, crd.Spec.Group, version.Name, schema); err != nil {
			return err
		}
	}
	return nil
}
