package report

import (
	"errors"
	"fmt"

	schema "rollcall/schemas/avro"
)

// Reasons why bytes are no report. They are part of the HTTP contract
// (docs/http.md): a reason is never renamed.
const (
	ReasonTruncated       = "truncated"         // the input ends inside a value
	ReasonTrailingBytes   = "trailing_bytes"    // there is input after the report
	ReasonInvalidUTF8     = "invalid_utf8"      // a string or key is not UTF-8
	ReasonDuplicateKey    = "duplicate_key"     // a map or object has a key twice
	ReasonInvalidEnum     = "invalid_enum"      // no such symbol
	ReasonInvalidUnion    = "invalid_union"     // no such branch
	ReasonInvalidCount    = "invalid_count"     // a block's count or byte size cannot be
	ReasonInvalidLength   = "invalid_length"    // a string's or byte array's length is negative
	ReasonInvalidNumber   = "invalid_number"    // not an integer of the field's range
	ReasonInvalidBoolean  = "invalid_boolean"   // a byte that is neither 0 nor 1
	ReasonNotSingleObject = "not_single_object" // no Avro single-object header
	ReasonWrongRecord     = "wrong_record"      // the header names a schema that is no report
	ReasonNotJSON         = "not_json"          // a JSON syntax error
	ReasonMissingField    = "missing_field"     // JSON: a field without a default is absent
	ReasonWrongType       = "wrong_type"        // JSON: another type than the field's
	ReasonInvalidUUID     = "invalid_uuid"      // JSON: not 8-4-4-4-12 hexadecimal digits
	ReasonInvalidTime     = "invalid_timestamp" // JSON: not RFC 3339
	ReasonInvalidDate     = "invalid_date"      // JSON: not 2006-01-02
	ReasonInvalidBytes    = "invalid_bytes"     // JSON: not base64
)

// Reasons returns every reason an InvalidError may have, for bounded metrics and
// for the tests that hold the documentation to them.
func Reasons() []string {
	return []string{
		ReasonTruncated, ReasonTrailingBytes, ReasonInvalidUTF8, ReasonDuplicateKey, ReasonInvalidEnum, ReasonInvalidUnion,
		ReasonInvalidCount, ReasonInvalidLength, ReasonInvalidNumber, ReasonInvalidBoolean, ReasonNotSingleObject, ReasonWrongRecord,
		ReasonNotJSON, ReasonMissingField, ReasonWrongType, ReasonInvalidUUID, ReasonInvalidTime, ReasonInvalidDate, ReasonInvalidBytes,
	}
}

// InvalidError says that bytes are not a whole report, why, and where. It never
// holds a value, nor a map key that the catalogue does not have.
type InvalidError struct {
	// Reason is one of the Reason constants.
	Reason string
	// FieldPath is the schema path of the offending field, as customer.email or
	// counters.steps_executed; a key that is not catalogued is *. It is empty
	// where no single field is at fault.
	FieldPath string
}

func (e *InvalidError) Error() string {
	if e.FieldPath == "" {
		return "not a report: " + e.Reason
	}
	return fmt.Sprintf("not a report: %s at %s", e.Reason, e.FieldPath)
}

// ErrUnknownSchema says that a report names a schema which this build does not
// have: most likely a newer client's. Test for it with errors.Is.
var ErrUnknownSchema = errors.New("report of a schema unknown to this build")

// UnknownSchemaError is ErrUnknownSchema with the fingerprint that was named.
type UnknownSchemaError struct{ Fingerprint schema.Fingerprint }

func (e *UnknownSchemaError) Error() string {
	return ErrUnknownSchema.Error() + ": fingerprint " + e.Fingerprint.String()
}

// Is reports whether target is ErrUnknownSchema.
func (e *UnknownSchemaError) Is(target error) bool { return target == ErrUnknownSchema }
