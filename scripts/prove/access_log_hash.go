package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"

	"rollcall/pkg/record"
)

// documentedHash is the hash of an entry as docs/steward.md describes it, written down
// once more: an auditor needs no Rollcall to check a log.
func documentedHash(e *record.AccessEntry) [32]byte {
	var form bytes.Buffer
	text := func(content []byte) {
		var length [8]byte
		binary.BigEndian.PutUint64(length[:], uint64(len(content)))
		form.Write(length[:])
		form.Write(content)
	}
	number := func(n int64) {
		var value [8]byte
		binary.BigEndian.PutUint64(value[:], uint64(n))
		text(value[:])
	}
	text([]byte("rollcall access log"))
	number(int64(e.Version))
	number(e.Sequence)
	text(e.PreviousHash[:])
	number(e.At)
	for _, word := range []string{e.Actor, e.Principal, e.Action} {
		text([]byte(word))
	}
	text(e.LicenceID[:])
	number(int64(len(e.Subjects)))
	for _, subject := range e.Subjects {
		text(subject[:])
	}
	text([]byte(e.Reason))
	return sha256.Sum256(form.Bytes())
}
