package report

import (
	"encoding/binary"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/google/uuid"

	catalogue "rollcall/schemas/metrics"
)

// walker steps once through an Avro body and checks what the decoder does not:
// UTF-8, duplicate keys, ranges of enums and unions, block counts and sizes,
// integer overflow. It allocates nothing on the way; the path of a failure is
// put together while the failure returns.
type walker struct {
	data   []byte
	at     int
	depth  int // of maps
	keys   []keySet
	reason string   // of the failure
	path   []string // of the failure, innermost first

	watch *Watch
	found []int // places of the metrics watched for

	reportID   uuid.UUID
	licenceKey []byte // aliases data
}

var walkers = sync.Pool{New: func() any { return new(walker) }}

// check walks body, which must be one whole report of that layout.
func (w *walker) check(l *layout, body []byte) error {
	*w = walker{data: body, keys: w.keys[:0], path: w.path[:0], watch: w.watch, found: w.found}
	if !w.walk(l.root) {
		slices.Reverse(w.path)
		return &InvalidError{Reason: w.reason, FieldPath: strings.Join(w.path, ".")}
	}
	if w.at != len(body) {
		return &InvalidError{Reason: ReasonTrailingBytes}
	}
	return nil
}

// release forgets the input and gives w back for another report.
func (w *walker) release() {
	w.data, w.licenceKey, w.watch, w.found = nil, nil, nil, nil
	for i := range w.keys[:cap(w.keys)] {
		w.keys[:cap(w.keys)][i].shrink()
	}
	walkers.Put(w)
}

func (w *walker) fail(reason string) bool {
	w.reason = reason
	return false
}

func (w *walker) failAt(name string) bool {
	w.path = append(w.path, name)
	return false
}

// walk steps over one value of type n.
func (w *walker) walk(n *node) bool {
	switch n.kind {
	case kindNull:
		return true
	case kindInt:
		start := w.at
		v, ok := w.long()
		if ok && (v != int64(int32(v)) || w.at-start > 5) {
			return w.fail(ReasonInvalidNumber)
		}
		return ok
	case kindLong:
		_, ok := w.long()
		return ok
	case kindString:
		text, ok := w.text()
		if ok && n.part == partLicenceKey {
			w.licenceKey = text
		}
		return ok
	case kindBytes:
		_, ok := w.lengthPrefixed()
		return ok
	case kindFixed:
		return w.fixed(n)
	case kindEnum:
		return w.ordinal(len(n.symbols), ReasonInvalidEnum, nil)
	case kindUnion:
		return w.ordinal(len(n.branches), ReasonInvalidUnion, n.branches)
	case kindRecord:
		for i := range n.fields {
			if !w.walk(n.fields[i].node) {
				return w.failAt(n.fields[i].name)
			}
		}
		return true
	case kindMap:
		return w.mapping(n)
	case kindArray:
		return w.blocks(func() bool { return w.walk(n.element) || w.failAt("*") })
	case kindBoolean:
		return w.boolean()
	case kindFloat:
		return w.skip(4)
	case kindDouble:
		return w.skip(8)
	}
	return false
}

// long reads a zigzag varint of at most ten bytes.
func (w *walker) long() (int64, bool) {
	if w.at < len(w.data) && w.data[w.at] < 0x80 { // most are small
		u := uint64(w.data[w.at])
		w.at++
		return int64(u>>1) ^ -int64(u&1), true
	}
	var u uint64
	for shift := 0; ; shift += 7 {
		if w.at >= len(w.data) {
			return 0, w.fail(ReasonTruncated)
		}
		b := w.data[w.at]
		if shift == 63 && b > 1 {
			return 0, w.fail(ReasonInvalidNumber)
		}
		w.at++
		u |= uint64(b&0x7f) << shift
		if b < 0x80 {
			return int64(u>>1) ^ -int64(u&1), true
		}
	}
}

func (w *walker) skip(size int) bool {
	if len(w.data)-w.at < size {
		return w.fail(ReasonTruncated)
	}
	w.at += size
	return true
}

func (w *walker) boolean() bool {
	if !w.skip(1) {
		return false
	}
	if w.data[w.at-1] > 1 {
		return w.fail(ReasonInvalidBoolean)
	}
	return true
}

func (w *walker) fixed(n *node) bool {
	if !w.skip(n.size) {
		return false
	}
	if n.part == partReportID {
		copy(w.reportID[:], w.data[w.at-n.size:w.at])
	}
	return true
}

// ordinal reads the number of a symbol or, where there are branches, of a branch
// and then its value.
func (w *walker) ordinal(count int, reason string, branches []*node) bool {
	start := w.at
	i, ok := w.long()
	if !ok {
		return false
	}
	if i < 0 || i >= int64(count) || w.at-start > 5 {
		return w.fail(reason)
	}
	return branches == nil || w.walk(branches[i])
}

func (w *walker) lengthPrefixed() ([]byte, bool) {
	size, ok := w.long()
	switch {
	case !ok:
		return nil, false
	case size < 0:
		return nil, w.fail(ReasonInvalidLength)
	case size > int64(len(w.data)-w.at):
		return nil, w.fail(ReasonTruncated)
	}
	start := w.at
	w.at += int(size)
	return w.data[start:w.at], true
}

func (w *walker) text() ([]byte, bool) {
	text, ok := w.lengthPrefixed()
	if ok && !utf8.Valid(text) {
		return nil, w.fail(ReasonInvalidUTF8)
	}
	return text, ok
}

// blocks reads the blocks of a map or an array and calls item for each item.
func (w *walker) blocks(item func() bool) bool {
	for {
		count, ok := w.long()
		if !ok {
			return false
		}
		if count == 0 {
			return true
		}
		end := -1
		if count < 0 {
			size, ok := w.long()
			if !ok {
				return false
			}
			if size < 0 || size > MaxBytes {
				return w.fail(ReasonInvalidCount)
			}
			count, end = -count, w.at+int(size)
		}
		// An item takes a byte at least in every schema of ours, so no whole report
		// has more items than bytes. Negating the smallest integer leaves it negative.
		if count < 0 || count > MaxBytes {
			return w.fail(ReasonInvalidCount)
		}
		for range count {
			if !item() {
				return false
			}
		}
		if end >= 0 && w.at != end {
			return w.fail(ReasonInvalidCount)
		}
	}
}

func (w *walker) mapping(n *node) bool {
	values, watched := n.element, w.watch.of(n.part)
	if w.depth == len(w.keys) {
		w.keys = slices.Grow(w.keys, 1)[:w.depth+1]
	}
	depth := w.depth
	w.keys[depth].reset()
	w.depth++
	ok := w.blocks(func() bool {
		key, ok := w.text()
		if !ok {
			return w.failAt("*")
		}
		if !w.keys[depth].add(w.data, w.at-len(key), len(key)) {
			return w.fail(ReasonDuplicateKey) || w.failAt(pathKey(key))
		}
		start := w.at
		if !w.walk(values) {
			return w.failAt(pathKey(key))
		}
		if watched != nil && w.watch.has(key) {
			w.notice(watched, key, start)
		}
		return true
	})
	w.depth = depth
	return ok
}

// notice notes down a metric that is watched for. at is where its value stands, which
// was walked over already.
func (w *walker) notice(watched map[string]int, key []byte, at int) {
	if place, ok := watched[string(key)]; ok {
		if value, _ := binary.Varint(w.data[at:]); value > 0 {
			w.found = append(w.found, place)
		}
	}
}

// pathKey is how a map key may stand in a field path: by name where the catalogue
// has it, else as *, for it may be anything that a client chose.
func pathKey(key []byte) string {
	if metric, ok := catalogue.Embedded().Metric(string(key)); ok {
		return metric.Name
	}
	return "*"
}
