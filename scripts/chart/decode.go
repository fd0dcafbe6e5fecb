package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"

	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/kubernetes/scheme"
	gateway "sigs.k8s.io/gateway-api/apis/v1"
	sigsyaml "sigs.k8s.io/yaml"
)

// byDefinition are kinds whose Go types would bring a controller with them: their
// custom resource definitions say what kubeconform checks.
func byDefinition(kind string) bool { return kind == "ScaledObject" || kind == "ExternalSecret" }

// decoder returns a decoder that refuses unknown fields and fields that stand twice.
func decoder() (runtime.Decoder, error) {
	types := runtime.NewScheme()
	if err := errors.Join(scheme.AddToScheme(types), gateway.Install(types), monitoring.AddToScheme(types)); err != nil {
		return nil, fmt.Errorf("register types: %w", err)
	}
	return serializer.NewCodecFactory(types, serializer.EnableStrict).UniversalDeserializer(), nil
}

// decodeFiles decodes every object of the files and says how many there were; the
// error names each that does not fit its type.
func decodeFiles(out io.Writer, paths []string) error {
	decode, err := decoder()
	if err != nil {
		return err
	}
	var errs []error
	count := map[string]int{}
	total := 0
	for _, path := range paths {
		documents, err := readDocuments(path)
		if err != nil {
			return err
		}
		for _, document := range documents {
			kind, err := decodeOne(decode, document)
			if err != nil {
				errs = append(errs, fmt.Errorf("%s: %w", path, err))
				continue
			}
			count[kind]++
			total++
		}
	}
	fmt.Fprintf(out, "decoded %d objects of %d kinds in %d files\n", total, len(count), len(paths))
	return errors.Join(errs...)
}

func decodeOne(decode runtime.Decoder, document []byte) (kind string, err error) {
	var named struct {
		Kind     string `json:"kind"`
		Metadata struct {
			Name string `json:"name"`
		} `json:"metadata"`
	}
	if err := sigsyaml.Unmarshal(document, &named); err != nil {
		return "", err
	}
	if byDefinition(named.Kind) {
		return named.Kind, nil
	}
	if _, _, err := decode.Decode(document, nil, nil); err != nil {
		return "", fmt.Errorf("%s %s: %w", named.Kind, named.Metadata.Name, err)
	}
	return named.Kind, nil
}

// readDocuments splits a file of YAML into its documents, without empty ones.
func readDocuments(path string) ([][]byte, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	reader := yaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(content)))
	var documents [][]byte
	for {
		document, err := reader.Read()
		if errors.Is(err, io.EOF) {
			return documents, nil
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		var content map[string]any
		if err := sigsyaml.Unmarshal(document, &content); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		if len(content) > 0 {
			documents = append(documents, bytes.Clone(document))
		}
	}
}
