// Package inflatetest compresses bodies as clients do, for the tests of what inflates them.
package inflatetest

import (
	"bytes"
	"compress/gzip"
	"testing"

	"github.com/klauspost/compress/zstd"
)

// Gzip returns the content in gzip.
func Gzip(t testing.TB, content []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	if _, err := w.Write(content); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// Zstd returns the content as one zstd frame that says its size.
func Zstd(t testing.TB, content []byte, opts ...zstd.EOption) []byte {
	t.Helper()
	encoder, err := zstd.NewWriter(nil, append(opts, zstd.WithEncoderConcurrency(1))...)
	if err != nil {
		t.Fatal(err)
	}
	defer encoder.Close()
	return encoder.EncodeAll(content, nil)
}

// ZstdStream returns zstd as a streaming encoder writes it: without the content's size.
func ZstdStream(t testing.TB, content []byte, opts ...zstd.EOption) []byte {
	t.Helper()
	var out bytes.Buffer
	encoder, err := zstd.NewWriter(&out, append(opts, zstd.WithEncoderConcurrency(1))...)
	if err != nil {
		t.Fatal(err)
	}
	// A flush between parts keeps the encoder from knowing the size at the end.
	for _, part := range [][]byte{content[:len(content)/2], content[len(content)/2:]} {
		if _, err := encoder.Write(part); err != nil {
			t.Fatal(err)
		}
		if err := encoder.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	if err := encoder.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}
