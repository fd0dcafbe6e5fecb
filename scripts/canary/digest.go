package canary

import (
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha3"
	"crypto/sha512"
	"encoding/binary"
	"encoding/hex"
	"hash"
	"hash/crc64"
	"hash/fnv"
	"slices"
	"strconv"
	"strings"

	"github.com/cespare/xxhash/v2"
	"github.com/go-faster/city"
	"github.com/twmb/avro"
)

// digests are the unkeyed hashes of 128 bits and more that are looked for. (Hashes of
// 32 bits say too little to be found.)
func digests() map[string]func([]byte) []byte {
	of := func(make func() hash.Hash) func([]byte) []byte {
		return func(value []byte) []byte {
			h := make()
			h.Write(value) // never fails
			return h.Sum(nil)
		}
	}
	return map[string]func([]byte) []byte{
		"MD5": of(md5.New), "SHA-1": of(sha1.New), "SHA-224": of(sha256.New224), "SHA-256": of(sha256.New), "SHA-384": of(sha512.New384),
		"SHA-512": of(sha512.New), "SHA-512/256": of(sha512.New512_256), "SHA3-256": of(func() hash.Hash { return sha3.New256() }),
		"FNV-128": of(fnv.New128), "FNV-128a": of(fnv.New128a),
	}
}

// checksums are the unkeyed hashes of 64 bits that are looked for.
func checksums() map[string]func([]byte) uint64 {
	iso, ecma := crc64.MakeTable(crc64.ISO), crc64.MakeTable(crc64.ECMA)
	of := func(make func() hash.Hash64) func([]byte) uint64 {
		return func(value []byte) uint64 {
			h := make()
			h.Write(value) // never fails
			return h.Sum64()
		}
	}
	return map[string]func([]byte) uint64{
		"CRC-64 ISO":   func(v []byte) uint64 { return crc64.Checksum(v, iso) },
		"CRC-64 ECMA":  func(v []byte) uint64 { return crc64.Checksum(v, ecma) },
		"CRC-64-AVRO":  of(avro.NewRabin),
		"FNV-64":       of(fnv.New64),
		"FNV-64a":      of(fnv.New64a),
		"xxHash64":     xxhash.Sum64,
		"CityHash64":   city.CH64, // of the release that ClickHouse has
		"CityHash64-1": city.Hash64,
	}
}

// digestBytes of a digest are looked for: it may have been cut, as a pseudonym is.
const digestBytes = 12

// digestForms are the unkeyed hashes of bytes, as bytes and as text.
func digestForms(value []byte) []Form {
	var forms []Form
	for name, digest := range digests() {
		sum := digest(value)
		text := hex.EncodeToString(sum)
		uuid := text[:8] + "-" + text[8:12] + "-" + text[12:16] + "-"
		reversed := slices.Clone(sum)
		slices.Reverse(reversed)
		forms = append(forms,
			Form{Name: name, Bytes: sum[:digestBytes]},
			Form{Name: name + " reversed", Bytes: reversed[:digestBytes]},
			Form{Name: name + " as two numbers", Bytes: halvesReversed(sum)},
			Form{Name: name + " in hexadecimal", Bytes: []byte(text[:2*digestBytes])},
			Form{Name: name + " in hexadecimal, upper case", Bytes: []byte(strings.ToUpper(text[:2*digestBytes]))},
			Form{Name: name + " as a UUID", Bytes: []byte(uuid)},
			Form{Name: name + " as a UUID, upper case", Bytes: []byte(strings.ToUpper(uuid))},
		)
		for _, form := range encodedForms(sum[:digestBytes]) {
			if strings.HasSuffix(form.Name, "alignment 0") {
				forms = append(forms, Form{Name: name + " in " + form.Name, Bytes: form.Bytes})
			}
		}
	}
	for name, checksum := range checksums() {
		sum := checksum(value)
		text := hex.EncodeToString(binary.BigEndian.AppendUint64(nil, sum))
		forms = append(forms,
			Form{Name: name, Bytes: binary.BigEndian.AppendUint64(nil, sum)},
			Form{Name: name + " reversed", Bytes: binary.LittleEndian.AppendUint64(nil, sum)},
			Form{Name: name + " in hexadecimal", Bytes: []byte(text)},
			Form{Name: name + " in hexadecimal, upper case", Bytes: []byte(strings.ToUpper(text))},
		)
		// Shorter numbers than these are one in ten thousand, and occur by chance.
		const shortest = 15
		if number := strconv.FormatUint(sum, 10); len(number) >= shortest {
			forms = append(forms, Form{Name: name + " as a number", Bytes: []byte(number), Number: true})
		}
		if number := strconv.FormatInt(int64(sum), 10); len(number) > shortest && number[0] == '-' {
			forms = append(forms, Form{Name: name + " as a signed number", Bytes: []byte(number), Number: true})
		}
	}
	return forms
}
