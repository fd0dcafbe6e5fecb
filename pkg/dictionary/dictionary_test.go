package dictionary

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/klauspost/compress/zstd"
	"pgregory.net/rapid"

	schema "rollcall/schemas/avro"
)

// released returns the dictionary that reports are compressed with.
func released(t testing.TB) []byte {
	t.Helper()
	all := schema.Released().Newest("UsageReport").Dictionaries
	if len(all) == 0 {
		t.Fatal("the newest report schema has no dictionary")
	}
	return all[len(all)-1]
}

// made returns a dictionary of that id with that content.
func made(t testing.TB, id uint32, content []byte) []byte {
	t.Helper()
	built, err := zstd.BuildDict(zstd.BuildDictOptions{
		ID: id, History: content, Contents: [][]byte{bytes.Repeat(content, 2), append([]byte("something else"), content...)},
		Offsets: [3]int{1, 4, 8}, Level: zstd.SpeedFastest,
	})
	if err != nil {
		t.Fatal(err)
	}
	return built
}

// codec is a compressor and the decoder of a library that knows nothing of it.
type codec struct {
	compressor *Compressor
	decoder    *zstd.Decoder
}

func newCodec(t testing.TB, dictionary []byte) codec {
	t.Helper()
	compressor, err := New(dictionary)
	if err != nil {
		t.Fatal(err)
	}
	decoder, err := zstd.NewReader(nil, zstd.WithDecoderDicts(dictionary), zstd.WithDecoderConcurrency(1))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(decoder.Close)
	return codec{compressor, decoder}
}

type failer interface {
	Helper()
	Fatalf(format string, values ...any)
}

// check compresses a message and reads it back, and returns the frame.
func (c codec) check(t failer, message []byte) []byte {
	t.Helper()
	frame, err := c.compressor.Append([]byte("before"), message)
	if err != nil || !bytes.HasPrefix(frame, []byte("before")) {
		t.Fatalf("%d bytes do not compress: %v", len(message), err)
	}
	frame = frame[len("before"):]
	back, err := c.decoder.DecodeAll(frame, nil)
	if err != nil || !bytes.Equal(back, message) {
		t.Fatalf("%d bytes come back as %d, %v\nmessage %x\nframe %x", len(message), len(back), err, message, frame)
	}
	if most := len(message) + 16; len(frame) > most {
		t.Fatalf("%d bytes became %d", len(message), len(frame))
	}
	return frame
}

func TestFramesOfEverySize(t *testing.T) {
	c := newCodec(t, released(t))
	random := rand.New(rand.NewPCG(1, 2))
	words := c.compressor.tables.content
	for _, size := range []int{0, 1, 2, 7, 8, 9, 31, 32, 33, 255, 256, 257, 1000, 4095, 4096, 4097, 20_000, MaxMessageBytes - 1, MaxMessageBytes} {
		noise, mixed := make([]byte, size), make([]byte, 0, size)
		for i := range noise {
			noise[i] = byte(random.Uint32())
		}
		for len(mixed) < size {
			at, n := random.IntN(len(words)), 1+random.IntN(300)
			mixed = append(mixed, words[at:min(len(words), at+n)]...)
			mixed = append(mixed, noise[:min(size, random.IntN(90))]...)
		}
		for _, message := range [][]byte{noise, make([]byte, size), mixed[:size], bytes.Repeat(words, size/len(words)+1)[:size]} {
			c.check(t, message)
		}
	}
	if _, err := c.compressor.Append(nil, make([]byte, MaxMessageBytes+1)); err == nil {
		t.Error("compressed a message that is too large")
	}
}

func TestFramesNameTheDictionary(t *testing.T) {
	for _, id := range []uint32{1, 255, 256, 65_535, 65_536, 1<<32 - 1} {
		c := newCodec(t, made(t, id, []byte("the quick brown fox jumps over the lazy dog, and again it does")))
		var header zstd.Header
		if err := header.Decode(c.check(t, []byte("it jumps over the lazy dog and the quick brown fox"))); err != nil || header.DictionaryID != id || !header.HasFCS {
			t.Errorf("id %d: %+v, %v", id, header, err)
		}
	}
}

// TestDictionaryMatchesAreFound: what the dictionary holds takes a few bytes.
func TestDictionaryMatchesAreFound(t *testing.T) {
	content := make([]byte, 3000)
	random := rand.New(rand.NewPCG(3, 4))
	for i := range content {
		content[i] = byte(random.Uint32())
	}
	c := newCodec(t, made(t, 7, content))
	if frame := c.check(t, content[100:2900]); len(frame) > 40 {
		t.Errorf("2,800 bytes of the dictionary took %d", len(frame))
	}
	pieces := slices.Concat(content[2000:2020], content[17:60], []byte("zz"), content[1000:1009])
	if frame := c.check(t, pieces); len(frame) > 40 {
		t.Errorf("three pieces of the dictionary, %d bytes, took %d", len(pieces), len(frame))
	}
}

// TestFramesProperty puts arbitrary messages together from the dictionary's words,
// changed ones and noise.
func TestFramesProperty(t *testing.T) {
	c := newCodec(t, released(t))
	words := c.compressor.tables.content
	rapid.Check(t, func(t *rapid.T) {
		var message []byte
		for range rapid.IntRange(0, 200).Draw(t, "pieces") {
			if rapid.Bool().Draw(t, "of the dictionary") {
				at := rapid.IntRange(0, len(words)-1).Draw(t, "at")
				piece := slices.Clone(words[at:min(len(words), at+rapid.IntRange(1, 70_000).Draw(t, "length"))])
				if rapid.Bool().Draw(t, "changed") {
					piece[rapid.IntRange(0, len(piece)-1).Draw(t, "where")]++
				}
				message = append(message, piece...)
			} else {
				message = append(message, rapid.SliceOfN(rapid.Byte(), 0, 400).Draw(t, "noise")...)
			}
		}
		c.check(t, message[:min(len(message), MaxMessageBytes)])
	})
}

func TestNewRefuses(t *testing.T) {
	for name, dictionary := range map[string][]byte{
		"nothing": nil, "no dictionary": []byte("this is no dictionary in zstd's format"),
		"too large": made(t, 1, bytes.Repeat([]byte("0123456789abcdef"), 2049)),
	} {
		if _, err := New(dictionary); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
}

// TestIDsAreUnique: a frame names its dictionary by id alone.
func TestIDsAreUnique(t *testing.T) {
	seen := map[uint32]string{}
	for _, name := range schema.Released().Names() {
		for _, version := range schema.Released().Versions(name) {
			for _, dictionary := range version.Dictionaries {
				c, err := New(dictionary)
				if err != nil {
					t.Fatal(err)
				}
				if other, ok := seen[c.ID()]; ok || c.ID() == 0 {
					t.Errorf("%s v%d has the id %d, as %q", name, version.Number, c.ID(), other)
				}
				seen[c.ID()] = name
			}
		}
	}
}

func FuzzAppend(f *testing.F) {
	c := newCodec(f, released(f))
	f.Add(c.compressor.tables.content)
	f.Add([]byte{})
	f.Add(binary.AppendVarint([]byte("\x12schedules"), 1<<40))
	f.Fuzz(func(t *testing.T, message []byte) {
		c.check(t, message[:min(len(message), MaxMessageBytes)])
	})
}

// FuzzNew: whatever is taken for a dictionary makes frames that can be read with it.
func FuzzNew(f *testing.F) {
	f.Add(released(f))
	f.Add(made(f, 1, []byte("the quick brown fox jumps over the lazy dog, and again it does")))
	f.Fuzz(func(t *testing.T, dictionary []byte) {
		c, err := New(dictionary)
		if err != nil {
			return
		}
		decoder, err := zstd.NewReader(nil, zstd.WithDecoderDicts(dictionary), zstd.WithDecoderConcurrency(1))
		if err != nil {
			return
		}
		defer decoder.Close()
		content := c.tables.content
		codec{c, decoder}.check(t, append(slices.Clone(content[:min(len(content), MaxMessageBytes/2)]), "something else"...))
	})
}
