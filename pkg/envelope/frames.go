package envelope

import (
	"errors"
	"fmt"

	"github.com/klauspost/compress/zstd"

	"rollcall/pkg/dictionary"
	"rollcall/pkg/fault"
	schema "rollcall/schemas/avro"
)

// frames compresses bodies into zstd frames and back, with the public dictionary of
// the report's schema where there is one. It is safe for concurrent use. A frame holds one
// client's report and nothing else, so its length tells nobody of another's.
type frames struct {
	dictionaries map[schema.Fingerprint]*dictionary.Compressor
	encoder      *zstd.Encoder // for what has no dictionary, or is large
	decoder      *zstd.Decoder
}

func newFrames() (*frames, error) {
	var versions []*schema.Version
	for _, name := range schema.Released().Names() {
		versions = append(versions, schema.Released().Versions(name)...)
	}
	return framesOf(versions)
}

func framesOf(versions []*schema.Version) (*frames, error) {
	f := &frames{dictionaries: map[schema.Fingerprint]*dictionary.Compressor{}}
	var all [][]byte
	for _, version := range versions {
		for _, content := range version.Dictionaries {
			compressor, err := dictionary.New(content)
			if err != nil {
				return nil, fmt.Errorf("%s v%d: %w", version.Name, version.Number, err)
			}
			f.dictionaries[version.Fingerprint] = compressor // the last one stays
			all = append(all, content)
		}
	}
	var err error
	f.encoder, err = zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderCRC(false),
		zstd.WithWindowSize(128<<10), zstd.WithLowerEncoderMem(true))
	if err != nil {
		return nil, fmt.Errorf("zstd encoder: %w", err)
	}
	f.decoder, err = zstd.NewReader(nil, zstd.WithDecoderDicts(all...), zstd.WithDecoderConcurrency(0),
		zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxMemory(MaxBodyBytes))
	if err != nil {
		return nil, fmt.Errorf("zstd decoder: %w", err)
	}
	return f, nil
}

// compress appends a frame with the body to dst.
func (f *frames) compress(dst []byte, fingerprint schema.Fingerprint, body []byte) []byte {
	if with, ok := f.dictionaries[fingerprint]; ok && len(body) <= dictionary.MaxMessageBytes {
		if dst, err := with.Append(dst, body); err == nil {
			return dst
		}
	}
	return f.encoder.EncodeAll(body, dst)
}

var errFrame = errors.New("its body is no zstd frame")

// decompress returns the body of a frame. A frame whose dictionary this build does not
// have is of a newer release, and held.
func (f *frames) decompress(frame []byte) ([]byte, error) {
	if len(frame) == 0 {
		return nil, nil // an empty body
	}
	var header zstd.Header
	if err := header.Decode(frame); err != nil || header.Skippable {
		return nil, unopenable(errFrame)
	}
	room := min(8*len(frame), MaxBodyBytes)
	if header.HasFCS {
		room = int(min(header.FrameContentSize, MaxBodyBytes))
	}
	// With some bytes to spare the decoder may copy without looking where the end is.
	body, err := f.decoder.DecodeAll(frame, make([]byte, 0, room+64))
	if errors.Is(err, zstd.ErrUnknownDictionary) {
		return nil, fault.Hold(fmt.Errorf("dictionary %d is unknown to this build", header.DictionaryID))
	}
	if err != nil || len(body) > MaxBodyBytes {
		return nil, unopenable(errFrame)
	}
	return body, nil
}
