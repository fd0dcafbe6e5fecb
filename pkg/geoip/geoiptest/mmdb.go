// Package geoiptest writes small MaxMind DB files, for tests with networks of their
// own choice.
package geoiptest

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"slices"
)

// File is a MaxMind DB file of format 2.0 with 24-bit records, in the making.
// https://maxmind.github.io/MaxMind-DB/
type File struct {
	databaseType string
	nodes        [][2]int // child: > 0 a node, < 0 the data at -child-1, 0 nothing
	data         bytes.Buffer
}

// New returns an empty file of that type, as Test-Country.
func New(databaseType string) *File {
	return &File{databaseType: databaseType, nodes: make([][2]int, 1)}
}

// Add puts a record under a network; networks must not overlap. Values
// are strings of up to 28 bytes, uint32 and maps. It panics where the prefix does not parse.
func (m *File) Add(network string, record map[string]any) {
	prefix := netip.MustParsePrefix(network)
	address, length := prefix.Addr().As16(), prefix.Bits()
	if prefix.Addr().Is4() { // ::a.b.c.d, where readers look for IPv4
		address[10], address[11] = 0, 0
		length += 96
	}
	offset := m.data.Len()
	encode(&m.data, record)
	node := 0
	for i := range length {
		bit := address[i/8] >> (7 - i%8) & 1
		if i == length-1 {
			m.nodes[node][bit] = -offset - 1
			return
		}
		if m.nodes[node][bit] == 0 {
			m.nodes = append(m.nodes, [2]int{})
			m.nodes[node][bit] = len(m.nodes) - 1
		}
		node = m.nodes[node][bit]
	}
}

// Bytes returns the file.
func (m *File) Bytes() []byte {
	var file bytes.Buffer
	for _, node := range m.nodes {
		for _, child := range node {
			value := len(m.nodes) // nothing
			if child > 0 {
				value = child
			} else if child < 0 {
				value = len(m.nodes) + 16 + (-child - 1)
			}
			file.Write([]byte{byte(value >> 16), byte(value >> 8), byte(value)})
		}
	}
	file.Write(make([]byte, 16))
	file.Write(m.data.Bytes())
	file.WriteString("\xab\xcd\xefMaxMind.com")
	encode(&file, map[string]any{
		"binary_format_major_version": uint32(2), "binary_format_minor_version": uint32(0), "build_epoch": uint32(1),
		"database_type": m.databaseType, "ip_version": uint32(6), "node_count": uint32(len(m.nodes)), "record_size": uint32(24),
		"languages": []string{}, "description": map[string]any{"en": "test"},
	})
	return file.Bytes()
}

func encode(out *bytes.Buffer, value any) {
	control := func(kind byte, size int) {
		if kind > 7 { // an extended type
			out.Write([]byte{byte(size), kind - 7})
			return
		}
		out.WriteByte(kind<<5 | byte(size)) // sizes up to 28 are all that is needed
	}
	switch v := value.(type) {
	case string:
		control(2, len(v))
		out.WriteString(v)
	case uint32:
		control(6, 4)
		out.Write(binary.BigEndian.AppendUint32(nil, v))
	case []string:
		control(11, len(v))
		for _, text := range v {
			encode(out, text)
		}
	case map[string]any:
		control(7, len(v))
		keys := make([]string, 0, len(v))
		for key := range v {
			keys = append(keys, key)
		}
		slices.Sort(keys)
		for _, key := range keys {
			encode(out, key)
			encode(out, v[key])
		}
	}
}
