package licencefile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// rootField is the one key of a YAML file: a list of entries stands under it.
const rootField = "licences"

// ReadYAML yields the entries of a YAML file of at most 64 MiB: a list of mappings
// under the key "licences", with the names of the CSV columns as keys. name is the
// file's in errors.
func ReadYAML(name string, r io.Reader) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		list, err := parseList(name, r)
		if err != nil {
			yield(Entry{}, err)
			return
		}
		set, seen := setters(), seen{}
		for _, node := range list {
			e, err := readNode(name, node, set)
			if err == nil {
				err = e.complete(name, seen)
			}
			if !yield(e, err) {
				return
			}
		}
	}
}

// parseList returns the nodes of the entries.
func parseList(name string, r io.Reader) ([]ast.Node, error) {
	data, err := readAll(r, maxYAMLBytes)
	if err != nil {
		return nil, &Error{File: name, Err: err}
	}
	data = bytes.TrimPrefix(data, []byte(byteOrderMark))
	data = bytes.ReplaceAll(data, []byte("\r\n"), []byte("\n")) // the parser counts some of these as two lines
	file, err := parser.ParseBytes(data, 0)
	if err != nil {
		return nil, yamlError(name, err)
	}
	if len(file.Docs) != 1 || file.Docs[0].Body == nil {
		return nil, &Error{File: name, Err: fmt.Errorf("want one document with the key %s", rootField)}
	}
	pairs, err := pairsOf(name, file.Docs[0].Body)
	if err != nil {
		return nil, err
	}
	if len(pairs) != 1 || keyOf(pairs[0]) != rootField {
		return nil, &Error{name, lineOf(file.Docs[0].Body), "", fmt.Errorf("want the one key %s", rootField)}
	}
	switch list := pairs[0].Value.(type) {
	case *ast.SequenceNode:
		return list.Values, nil
	case *ast.NullNode:
		return nil, nil
	}
	return nil, &Error{name, lineOf(pairs[0]), rootField, errors.New("is not a list")}
}

func readNode(name string, node ast.Node, set map[string]func(*Entry, string) error) (Entry, error) {
	e := Entry{Line: lineOf(node)}
	pairs, err := pairsOf(name, node)
	if err != nil {
		return e, err
	}
	var given []string
	for _, pair := range pairs {
		field, line := keyOf(pair), lineOf(pair)
		e.Line = min(e.Line, line) // a mapping's own position is that of its first colon
		if set[field] == nil {
			return e, &Error{name, line, "", fmt.Errorf("a key is unknown; known are %s", knownFields())}
		}
		if slices.Contains(given, field) {
			return e, &Error{name, line, field, errors.New("stands twice")}
		}
		given = append(given, field)
		text, err := scalar(pair.Value)
		if err == nil {
			err = set[field](&e, strings.TrimSpace(text))
		}
		if err != nil {
			return e, &Error{name, line, field, err}
		}
	}
	for _, required := range []string{fieldKey, fieldFrom} {
		if !slices.Contains(given, required) {
			return e, &Error{name, e.Line, required, errors.New("is missing")}
		}
	}
	return e, nil
}

// pairsOf returns the keys and values of a mapping.
func pairsOf(name string, node ast.Node) ([]*ast.MappingValueNode, error) {
	switch mapping := node.(type) {
	case *ast.MappingNode:
		return mapping.Values, nil
	case *ast.MappingValueNode: // a mapping of one key
		return []*ast.MappingValueNode{mapping}, nil
	}
	return nil, &Error{name, lineOf(node), "", errors.New("is not a mapping of names to values")}
}

// scalar returns the text of a value as it is written, so that a licence key of
// digits keeps its leading zeros. Anchors, aliases and tags are refused: a registry
// has no use for them.
func scalar(node ast.Node) (string, error) {
	switch value := node.(type) {
	case nil, *ast.NullNode:
		return "", nil
	case *ast.StringNode:
		return value.Value, nil
	case *ast.IntegerNode:
		return value.GetToken().Value, nil
	case *ast.FloatNode:
		return value.GetToken().Value, nil
	case *ast.BoolNode:
		return value.GetToken().Value, nil
	}
	return "", errors.New("is not a plain value")
}

func keyOf(pair *ast.MappingValueNode) string {
	if key, ok := pair.Key.(*ast.StringNode); ok {
		return key.Value
	}
	return ""
}

func lineOf(node ast.Node) int {
	if pair, ok := node.(*ast.MappingValueNode); ok {
		node = pair.Key
	}
	if node == nil {
		return 0
	}
	return lineOfToken(node.GetToken())
}

func lineOfToken(t *token.Token) int {
	if t == nil || t.Position == nil {
		return 0
	}
	return t.Position.Line
}

// yamlError keeps nothing but the position: the parser's own text quotes the file.
func yamlError(name string, err error) error {
	e := &Error{File: name, Err: errors.New("is not valid YAML")}
	var positioned interface{ GetToken() *token.Token }
	if errors.As(err, &positioned) {
		e.Line = lineOfToken(positioned.GetToken())
	}
	return e
}

func knownFields() string {
	return strings.Join(slices.Sorted(maps.Keys(setters())), ", ")
}
