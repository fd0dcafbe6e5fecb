package report

import (
	"encoding/binary"
	"fmt"
	"sync"

	"github.com/twmb/avro"

	schema "rollcall/schemas/avro"
)

// recordName is the name under which reports stand in the schema store.
const recordName = "UsageReport"

// kind is an Avro type, as the walker switches on it.
type kind uint8

const (
	kindNull kind = iota
	kindBoolean
	kindInt
	kindLong
	kindFloat
	kindDouble
	kindBytes
	kindString
	kindFixed
	kindEnum
	kindRecord
	kindMap
	kindArray
	kindUnion
)

// part names what the walker remembers on its way, so that the gateway need not
// decode the whole report.
type part uint8

const (
	partNone part = iota
	partReportID
	partLicenceKey
	partCounters
	partGauges
	partDistincts
)

// node is one type of a schema, laid out for walking.
type node struct {
	kind     kind
	logical  string
	size     int      // fixed: bytes
	symbols  []string // enum
	fields   []field  // record, in schema order
	index    map[string]int
	element  *node   // map: values; array: items
	branches []*node // union
	part     part
}

// field is a field of a record.
type field struct {
	name string
	node *node
	// absent is the Avro encoding of the default, nil where the field has none.
	absent []byte
}

// layout is a released version of the report, laid out for walking.
type layout struct {
	version *schema.Version
	root    *node
}

var layouts = sync.OnceValue(func() map[schema.Fingerprint]*layout {
	byFingerprint := map[schema.Fingerprint]*layout{}
	for _, version := range schema.Released().Versions(recordName) {
		root, err := lay(version.Parsed.Root().ExpandReferences(), "")
		if err != nil {
			// Embedded schemas only; a test of this package lays out every one.
			panic(fmt.Errorf("lay out %s v%d: %w", recordName, version.Number, err))
		}
		byFingerprint[version.Fingerprint] = &layout{version: version, root: root}
	}
	return byFingerprint
})

var newest = sync.OnceValue(func() *layout {
	return layouts()[schema.Released().Newest(recordName).Fingerprint]
})

var primitives = map[string]kind{
	"null": kindNull, "boolean": kindBoolean, "int": kindInt, "long": kindLong, "float": kindFloat, "double": kindDouble,
	"bytes": kindBytes, "string": kindString, "fixed": kindFixed, "enum": kindEnum,
}

// lay lays out one type. path is the schema path of the field that has it.
func lay(source *avro.SchemaNode, path string) (*node, error) {
	n := &node{logical: source.LogicalType, size: source.Size, symbols: source.Symbols}
	var err error
	switch source.Type {
	case "record":
		n.kind = kindRecord
		err = n.layFields(source, path)
	case "map":
		n.kind = kindMap
		n.element, err = lay(source.Values, path+".*")
	case "array":
		n.kind = kindArray
		n.element, err = lay(source.Items, path+".*")
	case "union":
		n.kind = kindUnion
		for i := range source.Branches {
			branch, err := lay(&source.Branches[i], path)
			if err != nil {
				return nil, err
			}
			n.branches = append(n.branches, branch)
		}
	default:
		var known bool
		if n.kind, known = primitives[source.Type]; !known {
			return nil, fmt.Errorf("%s: type %s cannot be laid out", path, source.Type)
		}
	}
	switch {
	case path == "report_id" && n.kind == kindFixed && n.size == 16:
		n.part = partReportID
	case path == "customer.licence_key" && n.kind == kindString:
		n.part = partLicenceKey
	case n.kind == kindMap && err == nil && n.element.kind == kindLong:
		for _, each := range watchedMaps {
			if each.path == path {
				n.part = each.part
			}
		}
	}
	return n, err
}

func (n *node) layFields(source *avro.SchemaNode, path string) error {
	n.index = map[string]int{}
	for i := range source.Fields {
		from := &source.Fields[i]
		at := from.Name
		if path != "" {
			at = path + "." + from.Name
		}
		child, err := lay(&from.Type, at)
		if err != nil {
			return err
		}
		f := field{name: from.Name, node: child}
		if from.HasDefault {
			if f.absent, err = encodeDefault(child, from.Default); err != nil {
				return fmt.Errorf("%s: %w", at, err)
			}
		}
		n.index[from.Name] = len(n.fields)
		n.fields = append(n.fields, f)
	}
	return nil
}

// encodeDefault encodes the defaults that a report's schema may have: empty maps
// and arrays, null, and primitives.
func encodeDefault(n *node, value any) ([]byte, error) {
	switch v := value.(type) {
	case nil:
		if n.kind == kindUnion && n.branches[0].kind == kindNull {
			return []byte{0}, nil
		}
	case map[string]any:
		if n.kind == kindMap && len(v) == 0 {
			return []byte{0}, nil
		}
	case []any:
		if n.kind == kindArray && len(v) == 0 {
			return []byte{0}, nil
		}
	case int32:
		return binary.AppendVarint(nil, int64(v)), nil
	case int64:
		return binary.AppendVarint(nil, v), nil
	case string:
		if n.kind == kindString {
			return append(binary.AppendVarint(nil, int64(len(v))), v...), nil
		}
		for i, symbol := range n.symbols {
			if symbol == v {
				return binary.AppendVarint(nil, int64(i)), nil
			}
		}
	}
	return nil, fmt.Errorf("a default of type %T is not supported here", value)
}
