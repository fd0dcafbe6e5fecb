package report

import (
	"bytes"
	"fmt"

	"github.com/google/uuid"
	"github.com/twmb/avro"

	schema "rollcall/schemas/avro"
)

// headerBytes is the length of the single-object header: two marker bytes and the
// fingerprint.
const headerBytes = 2 + len(schema.Fingerprint{})

var marker = []byte{0xc3, 0x01}

// Head is what can be said of a report without decoding it whole.
type Head struct {
	Fingerprint schema.Fingerprint
	ReportID    uuid.UUID
	LicenceKey  []byte // as the client wrote it; aliases the input
	Body        []byte // what follows the single-object header; aliases the input
}

// Inspect checks that data is one whole report in Avro's single-object encoding,
// with the strictness of DecodeBody, and returns its head. It allocates nothing
// for a good one. For an UnknownSchemaError the head has fingerprint and body.
func Inspect(data []byte) (Head, error) {
	head, _, err := inspect(data, nil, nil)
	return head, err
}

func inspect(data []byte, watch *Watch, found []int) (Head, []int, error) {
	head, err := split(data)
	if err != nil {
		return Head{}, found, err
	}
	l, err := layoutOf(head.Fingerprint)
	if err != nil {
		return head, found, err
	}
	w, _ := walkers.Get().(*walker)
	defer w.release()
	w.watch, w.found = watch, found
	if err := w.check(l, head.Body); err != nil {
		return head, found, err
	}
	head.ReportID, head.LicenceKey = w.reportID, w.licenceKey
	return head, w.found, nil
}

// DecodeBody decodes what follows the single-object header of a report written
// with that fingerprint. into is reset first and keeps its maps' room; its
// strings and bytes alias body. Errors are *InvalidError or *UnknownSchemaError.
func DecodeBody(fingerprint schema.Fingerprint, body []byte, into *Report) error {
	into.Reset()
	l, err := layoutOf(fingerprint)
	if err != nil {
		return err
	}
	w, _ := walkers.Get().(*walker)
	defer w.release()
	if err := w.check(l, body); err != nil {
		return err
	}
	if _, err := l.version.Reader.Decode(body, into, avro.AliasInput()); err != nil {
		// The walker lets nothing pass that the decoder refuses (fuzzed); should it
		// happen all the same, the report is the one to be refused. The decoder's
		// own error is not passed on: it may quote a value.
		return &InvalidError{Reason: ReasonWrongType}
	}
	return nil
}

func split(data []byte) (Head, error) {
	if len(data) < headerBytes {
		if bytes.HasPrefix(data, marker) || bytes.HasPrefix(marker, data) {
			return Head{}, &InvalidError{Reason: ReasonTruncated}
		}
		return Head{}, &InvalidError{Reason: ReasonNotSingleObject}
	}
	if !bytes.HasPrefix(data, marker) {
		return Head{}, &InvalidError{Reason: ReasonNotSingleObject}
	}
	head := Head{Body: data[headerBytes:]}
	copy(head.Fingerprint[:], data[len(marker):])
	return head, nil
}

func layoutOf(fingerprint schema.Fingerprint) (*layout, error) {
	if l, ok := layouts()[fingerprint]; ok {
		return l, nil
	}
	if other, ok := schema.Released().ByFingerprint(fingerprint); ok {
		return nil, fmt.Errorf("a %s: %w", other.Name, &InvalidError{Reason: ReasonWrongRecord})
	}
	return nil, &UnknownSchemaError{Fingerprint: fingerprint}
}
