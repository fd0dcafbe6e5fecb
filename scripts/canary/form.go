package canary

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"html"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"
)

// textForms are what may have been written of a text.
func textForms(text string) []Form {
	plain := []byte(text)
	forms := []Form{{Name: "plain", Bytes: plain}}
	forms = append(forms, encodedForms(plain)...)
	add := func(name, form string) { forms = append(forms, Form{Name: name, Bytes: []byte(form)}) }
	for name, escaped := range map[string]string{
		"percent-encoded": url.PathEscape(text), "percent-encoded for a query": url.QueryEscape(text),
		"percent-encoded as a path": (&url.URL{Path: text}).EscapedPath(), "percent-encoded throughout": everyByte(plain, "%%%02X"),
	} {
		add(name, escaped)
		add(name+", lower case digits", lowerEscapes(escaped, '%', 2))
	}
	add("HTML-escaped", html.EscapeString(text))
	add("Go-quoted", inside(strconv.Quote(text)))
	add("Go-quoted, ASCII", inside(strconv.QuoteToASCII(text)))
	add("hexadecimal escapes", everyByte(plain, `\x%02x`))
	for name, escaped := range jsonForms(text) {
		add(name, escaped)
		add(name+", capital digits", upperEscapes(escaped))
	}
	units := utf16.Encode([]rune(text))
	little, big := make([]byte, 0, 2*len(units)), make([]byte, 0, 2*len(units))
	for _, unit := range units {
		little = binary.LittleEndian.AppendUint16(little, unit)
		big = binary.BigEndian.AppendUint16(big, unit)
	}
	return append(forms, Form{Name: "UTF-16LE", Bytes: little}, Form{Name: "UTF-16BE", Bytes: big})
}

// jsonForms are the ways of JSON encoders, by name.
func jsonForms(text string) map[string]string {
	// Marshalling a text cannot fail.
	escaped, _ := json.Marshal(text)
	var plain bytes.Buffer
	encoder := json.NewEncoder(&plain)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(text) // into memory
	ascii, throughout := strings.Builder{}, strings.Builder{}
	for _, r := range inside(strings.TrimSuffix(plain.String(), "\n")) {
		if r < 0x80 {
			ascii.WriteRune(r)
			continue
		}
		for _, unit := range utf16.Encode([]rune{r}) {
			fmt.Fprintf(&ascii, `\u%04x`, unit)
		}
	}
	for _, unit := range utf16.Encode([]rune(text)) {
		fmt.Fprintf(&throughout, `\u%04x`, unit)
	}
	return map[string]string{
		"JSON-escaped":                inside(strings.TrimSuffix(plain.String(), "\n")),
		"JSON-escaped for HTML":       inside(string(escaped)),
		"JSON-escaped, ASCII":         ascii.String(),
		"JSON-escaped, slashes too":   strings.ReplaceAll(inside(strings.TrimSuffix(plain.String(), "\n")), "/", `\/`),
		"JSON-escaped throughout":     throughout.String(),
		"JSON-escaped ASCII, slashes": strings.ReplaceAll(ascii.String(), "/", `\/`),
	}
}

// inside drops the quotes around a quoted text.
func inside(quoted string) string { return quoted[1 : len(quoted)-1] }

func everyByte(text []byte, format string) string {
	var b strings.Builder
	for _, c := range text {
		fmt.Fprintf(&b, format, c)
	}
	return b.String()
}

// lowerEscapes returns the text with the digits behind each mark in lower case.
func lowerEscapes(text string, mark byte, count int) string {
	out := []byte(text)
	for i := 0; i < len(out); i++ {
		if out[i] == mark && i+count < len(out) {
			copy(out[i+1:], bytes.ToLower(out[i+1:i+1+count]))
			i += count
		}
	}
	return string(out)
}

// upperEscapes returns the text with the digits of its \u escapes in upper case.
func upperEscapes(text string) string {
	out := []byte(text)
	for i := 0; i+5 < len(out); i++ {
		if out[i] == '\\' && out[i+1] == 'u' {
			copy(out[i+2:], bytes.ToUpper(out[i+2:i+6]))
			i += 5
		}
	}
	return string(out)
}

// binaryForms are what may have been written of bytes.
func binaryForms(value []byte) []Form {
	reversed := slices.Clone(value)
	slices.Reverse(reversed)
	forms := []Form{{Name: "bytes", Bytes: value}, {Name: "bytes reversed", Bytes: reversed}}
	for _, form := range encodedForms(reversed) {
		forms = append(forms, Form{Name: form.Name + " of the bytes reversed", Bytes: form.Bytes})
	}
	return append(forms, encodedForms(value)...)
}

// encodedForms are bytes in hexadecimal and in base64 at its three alignments.
func encodedForms(value []byte) []Form {
	forms := []Form{
		{Name: "hexadecimal", Bytes: []byte(hex.EncodeToString(value))},
		{Name: "hexadecimal in upper case", Bytes: []byte(strings.ToUpper(hex.EncodeToString(value)))},
	}
	for name, encoding := range map[string]*base64.Encoding{"base64": base64.RawStdEncoding, "base64url": base64.RawURLEncoding} {
		for alignment := range 3 {
			// Of the characters at both ends some bits belong to what stands beside the value.
			encoded := encoding.EncodeToString(append(make([]byte, alignment), value...))
			first := (alignment*8 + 5) / 6
			last := (alignment + len(value)) * 8 / 6
			forms = append(forms, Form{Name: fmt.Sprintf("%s, alignment %d", name, alignment), Bytes: []byte(encoded[first:last])})
		}
	}
	return forms
}

// halvesReversed returns sixteen bytes as ClickHouse keeps a UUID: two numbers of 64
// bits, each little-endian.
func halvesReversed(value []byte) []byte {
	out := slices.Clone(value[:16])
	slices.Reverse(out[:8])
	slices.Reverse(out[8:])
	return out
}
