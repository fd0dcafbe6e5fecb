package report

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/uuid"
)

// JSONRoom is how many bytes AppendAvroFromJSON appends at most, meanwhile, for so many
// bytes of JSON: no value is longer in Avro, and those of an object that are not in the
// schema's order stand there twice until they are.
func JSONRoom(length int) int { return headerBytes + 2*length }

// AppendAvroFromJSON appends to dst the single-object encoding, under the newest
// schema, of a report in the plain JSON form: unions bare, timestamps in RFC 3339,
// the day as 2006-01-02, enums and UUIDs as strings, integers as numbers, bytes in
// base64. It counts the fields that the schema does not have. What it appends stays
// within JSONRoom, so that who bounds memory can reserve it. Errors are *InvalidError.
func AppendAvroFromJSON(dst, data []byte) (out []byte, unknownFields int, err error) {
	l := newest()
	t := transcoder{data: data, tokens: jsontext.NewDecoder(bytes.NewBuffer(data))}
	out, ok := t.value(l.root, append(append(dst, marker...), l.version.Fingerprint[:]...))
	if ok {
		if _, err := t.tokens.ReadToken(); !errors.Is(err, io.EOF) {
			t.path = nil
			ok = t.fail(ReasonTrailingBytes)
		}
	}
	if !ok {
		slices.Reverse(t.path)
		return dst, t.unknown, &InvalidError{Reason: t.reason, FieldPath: strings.Join(t.path, ".")}
	}
	return out, t.unknown, nil
}

// transcoder reads JSON along a schema and writes Avro. Duplicate names and
// invalid UTF-8 are the token decoder's to refuse.
type transcoder struct {
	data    []byte
	tokens  *jsontext.Decoder
	unknown int
	reason  string   // of the failure
	path    []string // of the failure, innermost first
}

func (t *transcoder) fail(reason string) bool {
	t.reason = reason
	return false
}

func (t *transcoder) failAt(name string) bool {
	t.path = append(t.path, name)
	return false
}

// syntax records a failure of the token decoder.
func (t *transcoder) syntax(err error) bool {
	var syntactic *jsontext.SyntacticError
	switch {
	case errors.Is(err, jsontext.ErrDuplicateName):
		if errors.As(err, &syntactic) {
			t.failAt(t.pathName(syntactic.JSONPointer.LastToken()))
		}
		return t.fail(ReasonDuplicateKey)
	case !utf8.Valid(t.data):
		return t.fail(ReasonInvalidUTF8)
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return t.fail(ReasonTruncated)
	}
	return t.fail(ReasonNotJSON)
}

// pathName is how an object's name may stand in a field path.
func (t *transcoder) pathName(name string) string {
	if _, ok := newest().root.index[name]; ok {
		return name
	}
	return pathKey([]byte(name))
}

func (t *transcoder) token(want jsontext.Kind) (jsontext.Token, bool) {
	token, err := t.tokens.ReadToken()
	if err != nil {
		return token, t.syntax(err)
	}
	if token.Kind() != want {
		return token, t.fail(ReasonWrongType)
	}
	return token, true
}

// value appends the Avro encoding of the next JSON value, read as an n.
func (t *transcoder) value(n *node, dst []byte) ([]byte, bool) {
	switch n.kind {
	case kindRecord:
		return t.object(n, dst)
	case kindMap:
		return t.mapping(n, dst)
	case kindUnion:
		return t.union(n, dst)
	case kindInt, kindLong:
		return t.integer(n, dst)
	case kindString, kindBytes, kindFixed, kindEnum:
		token, ok := t.token('"')
		if !ok {
			return dst, false
		}
		return t.text(n, dst, token.String())
	}
	// No released schema has another type; a test lays out every one.
	return dst, t.fail(ReasonWrongType)
}

func (t *transcoder) object(n *node, dst []byte) ([]byte, bool) {
	if _, ok := t.token('{'); !ok {
		return dst, false
	}
	start, spans, ordered := len(dst), make([]extent, len(n.fields)), 0
	for {
		name, err := t.tokens.ReadToken()
		if err != nil {
			return dst, t.syntax(err)
		}
		if name.Kind() == '}' {
			break
		}
		i, known := n.index[name.String()]
		if !known {
			t.unknown++
			if err := t.tokens.SkipValue(); err != nil {
				t.syntax(err)
				t.path = nil // what lies within an unknown field has no schema path
				return dst, t.failAt("*")
			}
			continue
		}
		if i == ordered {
			ordered++
		}
		from, ok := len(dst), false
		if dst, ok = t.value(n.fields[i].node, dst); !ok {
			return dst, t.failAt(n.fields[i].name)
		}
		spans[i] = extent{from, len(dst)}
	}
	if ordered == len(n.fields) {
		return dst, true
	}
	return t.order(n, dst, start, spans)
}

// extent is where a value stands; from 0 it stands nowhere.
type extent struct{ from, to int }

// order puts the values of an object, which dst holds from start on in the client's
// order, into the schema's: behind them first, and then in their place.
func (t *transcoder) order(n *node, dst []byte, start int, spans []extent) ([]byte, bool) {
	end := len(dst)
	for i := range n.fields {
		switch f := &n.fields[i]; {
		case spans[i].from > 0:
			dst = append(dst, dst[spans[i].from:spans[i].to]...)
		case f.absent != nil:
			dst = append(dst, f.absent...)
		default:
			t.failAt(f.name)
			return dst, t.fail(ReasonMissingField)
		}
	}
	return dst[:start+copy(dst[start:], dst[end:])], true
}

func (t *transcoder) mapping(n *node, dst []byte) ([]byte, bool) {
	if _, ok := t.token('{'); !ok {
		return dst, false
	}
	start, count := len(dst), int64(0)
	for {
		token, err := t.tokens.ReadToken()
		if err != nil {
			return dst, t.syntax(err)
		}
		if token.Kind() == '}' {
			break
		}
		key := token.String() // the token is gone with the next one
		count++
		dst = appendText(dst, key)
		var ok bool
		if dst, ok = t.value(n.element, dst); !ok {
			return dst, t.failAt(pathKey([]byte(key)))
		}
	}
	if count > 0 {
		var number [binary.MaxVarintLen64]byte
		dst = slices.Insert(dst, start, number[:binary.PutVarint(number[:], count)]...)
	}
	return append(dst, 0), true
}

// union takes null for the null branch and anything else for the other one.
func (t *transcoder) union(n *node, dst []byte) ([]byte, bool) {
	null := t.tokens.PeekKind() == 'n'
	for i, branch := range n.branches {
		if (branch.kind == kindNull) != null {
			continue
		}
		dst = binary.AppendVarint(dst, int64(i))
		if null {
			_, ok := t.token('n')
			return dst, ok
		}
		return t.value(branch, dst)
	}
	return dst, t.fail(ReasonWrongType)
}

func (t *transcoder) integer(n *node, dst []byte) ([]byte, bool) {
	want := jsontext.Kind('0')
	if n.logical != "" {
		want = '"'
	}
	token, ok := t.token(want)
	if !ok {
		return dst, false
	}
	text := token.String()
	var (
		v   int64
		err error
	)
	switch n.logical {
	case "timestamp-millis":
		if v, ok = parseTimestamp(text); !ok {
			return dst, t.fail(ReasonInvalidTime)
		}
	case "date":
		day, err := time.Parse(time.DateOnly, text)
		if err != nil {
			return dst, t.fail(ReasonInvalidDate)
		}
		v = day.Unix() / secondsPerDay
	default:
		bits := 64
		if n.kind == kindInt {
			bits = 32
		}
		if v, err = strconv.ParseInt(text, 10, bits); err != nil {
			return dst, t.fail(ReasonInvalidNumber)
		}
	}
	return binary.AppendVarint(dst, v), true
}

// parseTimestamp reads RFC 3339 as Unix milliseconds, without what the standard
// library lets pass: a comma before the fraction, an hour of one digit.
func parseTimestamp(text string) (ms int64, ok bool) {
	if len(text) < len("2006-01-02T15:04:05Z") || text[13] != ':' || strings.Contains(text, ",") {
		return 0, false
	}
	at, err := time.Parse(time.RFC3339, text)
	return at.UnixMilli(), err == nil
}

func (t *transcoder) text(n *node, dst []byte, text string) ([]byte, bool) {
	switch n.kind {
	case kindString:
		return appendText(dst, text), true
	case kindEnum:
		i := slices.Index(n.symbols, text)
		if i < 0 {
			return dst, t.fail(ReasonInvalidEnum)
		}
		return binary.AppendVarint(dst, int64(i)), true
	case kindFixed:
		id, err := uuid.Parse(text)
		if err != nil || len(text) != len(id.String()) || n.size != len(id) {
			return dst, t.fail(ReasonInvalidUUID)
		}
		return append(dst, id[:]...), true
	}
	raw, err := base64.StdEncoding.Strict().DecodeString(text)
	if err != nil {
		return dst, t.fail(ReasonInvalidBytes)
	}
	return append(binary.AppendVarint(dst, int64(len(raw))), raw...), true
}

func appendText(dst []byte, text string) []byte {
	return append(binary.AppendVarint(dst, int64(len(text))), text...)
}
