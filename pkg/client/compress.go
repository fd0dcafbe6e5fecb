package client

import (
	"bytes"
	"fmt"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// Content encodings of a report's body.
const (
	Identity = "identity"
	Gzip     = "gzip"
	Zstd     = "zstd"
)

// zstdEncoder is stateless in EncodeAll, and costly to make.
var zstdEncoder = sync.OnceValues(func() (*zstd.Encoder, error) {
	return zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithWindowSize(maxWindowBytes))
})

// maxWindowBytes bounds an encoder's memory; a report is far smaller.
const maxWindowBytes = 64 << 10

// gzipWriters are large (hundreds of KiB) and reusable.
var gzipWriters = sync.Pool{New: func() any { return gzip.NewWriter(nil) }}

// Compress returns body under that content encoding; Identity and "" return it as it is.
func Compress(encoding string, body []byte) ([]byte, error) {
	switch encoding {
	case Identity, "":
		return body, nil
	case Gzip:
		var out bytes.Buffer
		w, _ := gzipWriters.Get().(*gzip.Writer)
		defer gzipWriters.Put(w)
		w.Reset(&out)
		if _, err := w.Write(body); err != nil {
			return nil, fmt.Errorf("compress with gzip: %w", err)
		}
		if err := w.Close(); err != nil {
			return nil, fmt.Errorf("compress with gzip: %w", err)
		}
		return out.Bytes(), nil
	case Zstd:
		encoder, err := zstdEncoder()
		if err != nil {
			return nil, fmt.Errorf("compress with zstd: %w", err)
		}
		return encoder.EncodeAll(body, nil), nil
	}
	return nil, fmt.Errorf("content encoding %q is none that a gateway takes", encoding)
}

// Encode returns the report's body in that media type, under that content encoding.
func Encode(r *Report, mediaType, encoding string) ([]byte, error) {
	var body []byte
	var err error
	switch mediaType {
	case Avro:
		body, err = r.AppendAvro(nil)
	case JSON:
		body, err = r.MarshalJSON()
	default:
		err = fmt.Errorf("media type %q is none that a gateway takes", mediaType)
	}
	if err != nil {
		return nil, err
	}
	return Compress(encoding, body)
}
