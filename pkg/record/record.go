// Package record holds the records of the internal topics as Go values, and their
// Avro single-object encoding.
package record

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/twmb/avro"

	schema "rollcall/schemas/avro"
)

// Lineage says where in reports.raw a report stands; it travels to the end.
type Lineage struct {
	TopicID   uuid.UUID `avro:"topic_id"`
	Partition int32     `avro:"partition"`
	Offset    int64     `avro:"offset"`
}

// Raw is a record of reports.raw. Field meanings: schemas/avro/raw_report.v1.avsc.
type Raw struct {
	ReceivedAt        int64              `avro:"received_at"` // Unix ms
	EdgeID            string             `avro:"edge_id"`
	EdgeRegion        string             `avro:"edge_region"`
	SchemaFingerprint schema.Fingerprint `avro:"schema_fingerprint"`
	Simulated         bool               `avro:"simulated"`
	Envelope          []byte             `avro:"envelope"`
}

// UnknownMetric is a metric that the catalogue does not have.
type UnknownMetric struct {
	Hash  uuid.UUID `avro:"hash"`
	Kind  string    `avro:"kind"` // COUNTER, GAUGE or DISTINCT
	Value int64     `avro:"value"`
}

// Clean is a record of reports.clean. Field meanings: schemas/avro/clean_report.v1.avsc.
type Clean struct {
	Lineage          Lineage         `avro:"lineage"`
	ReceivedAt       int64           `avro:"received_at"` // Unix ms
	EdgeRegion       string          `avro:"edge_region"`
	Simulated        bool            `avro:"simulated"`
	LicenceID        uuid.UUID       `avro:"licence_id"`
	ReportID         uuid.UUID       `avro:"report_id"`
	InstallationID   uuid.UUID       `avro:"installation_id"`
	HostID           uuid.UUID       `avro:"host_id"`
	SessionID        uuid.UUID       `avro:"session_id"`
	Kind             string          `avro:"kind"`
	SentAt           int64           `avro:"sent_at"` // Unix ms
	Day              int32           `avro:"day"`     // days since 1970-01-01
	SessionStartedAt int64           `avro:"session_started_at"`
	Sequence         int64           `avro:"sequence"`
	Consent          string          `avro:"consent"`
	PolicyVersion    int32           `avro:"policy_version"`
	Application      string          `avro:"application"`
	Version          string          `avro:"version"`
	Edition          string          `avro:"edition"`
	OSName           string          `avro:"os_name"`
	OSVersion        string          `avro:"os_version"`
	Architecture     string          `avro:"architecture"`
	CPUCount         int32           `avro:"cpu_count"`
	Country          string          `avro:"country"`
	ASN              int64           `avro:"asn"`
	AddressPseudonym uuid.UUID       `avro:"address_pseudonym"`
	NetworkPseudonym uuid.UUID       `avro:"network_pseudonym"`
	MetricIDs        []int32         `avro:"metric_ids"`
	MetricValues     []int64         `avro:"metric_values"`
	Unknown          []UnknownMetric `avro:"unknown"`
	UnknownDropped   int32           `avro:"unknown_dropped"`
	OptionalDropped  int32           `avro:"optional_dropped"`
	KindMismatches   int32           `avro:"kind_mismatches"`
	StringsCut       int32           `avro:"strings_cut"`
}

// Usage is a record of usage: a Clean one, judged and normalised. Field meanings:
// schemas/avro/usage.v1.avsc.
type Usage struct {
	Clean
	SuspectIDs    []int32  `avro:"suspect_ids"`
	SuspectValues []int64  `avro:"suspect_values"`
	RefusedIDs    []int32  `avro:"refused_ids"`
	Registered    bool     `avro:"registered"`
	EntitledCPUs  int64    `avro:"entitled_cpus"`
	Flags         []string `avro:"flags"`
}

// Identity is a record of identities. Field meanings: schemas/avro/identity.v1.avsc.
type Identity struct {
	Subject    uuid.UUID `avro:"subject"`
	LicenceID  uuid.UUID `avro:"licence_id"`
	Kind       string    `avro:"kind"` // one of the kinds below
	Epoch      string    `avro:"epoch"`
	ObservedAt int64     `avro:"observed_at"`
	Nonce      []byte    `avro:"nonce"`
	Ciphertext []byte    `avro:"ciphertext"`
}

// Kinds of an Identity.
const (
	IdentityCombined = "COMBINED" // of version 1: person and company in one
	IdentityPerson   = "PERSON"
	IdentityCompany  = "COMPANY"
)

// AccessEntry is a record of access-log. Field meanings: schemas/avro/access_entry.v1.avsc.
type AccessEntry struct {
	Version      int32       `avro:"version"`
	Sequence     int64       `avro:"sequence"`
	PreviousHash [32]byte    `avro:"previous_hash"`
	At           int64       `avro:"at"` // Unix ms
	Actor        string      `avro:"actor"`
	Principal    string      `avro:"principal"`
	Action       string      `avro:"action"`
	LicenceID    uuid.UUID   `avro:"licence_id"`
	Subjects     []uuid.UUID `avro:"subjects"`
	Reason       string      `avro:"reason"`
	Hash         [32]byte    `avro:"hash"`
}

// Licence is a record of licences. Field meanings: schemas/avro/licence.v1.avsc.
type Licence struct {
	LicenceID             uuid.UUID `avro:"licence_id"`
	ValidFrom             int32     `avro:"valid_from"`
	ValidUntil            *int32    `avro:"valid_until"`
	Edition               string    `avro:"edition"`
	Industry              string    `avro:"industry"`
	Region                string    `avro:"region"`
	Partner               string    `avro:"partner"`
	EntitledCPUs          *int64    `avro:"entitled_cpus"`
	EntitledRoboServers   *int64    `avro:"entitled_roboservers"`
	EntitledRobots        *int64    `avro:"entitled_robots"`
	EntitledUsers         *int64    `avro:"entitled_users"`
	EntitledStepsPerMonth *int64    `avro:"entitled_steps_per_month"`
	AppliedAt             int64     `avro:"applied_at"`
}

// Stages of the pipeline, as a DeadLetter names them.
const (
	StageAnonymizer = "ANONYMIZER"
	StageEnricher   = "ENRICHER"
	StageSink       = "SINK"
)

// DeadLetter is a record of dead-letters. Field meanings: schemas/avro/dead_letter.v1.avsc.
type DeadLetter struct {
	Stage             string              `avro:"stage"`
	Reason            string              `avro:"reason"`
	FieldPath         string              `avro:"field_path"`
	Lineage           *Lineage            `avro:"lineage"`
	SourceTopic       string              `avro:"source_topic"`
	SourcePartition   int32               `avro:"source_partition"`
	SourceOffset      int64               `avro:"source_offset"`
	LicenceID         *uuid.UUID          `avro:"licence_id"`
	ReportID          *uuid.UUID          `avro:"report_id"`
	SchemaFingerprint *schema.Fingerprint `avro:"schema_fingerprint"`
	ReceivedAt        *int64              `avro:"received_at"`
	At                int64               `avro:"at"`
}

// Kind is a record that Append and Decode handle.
type Kind interface {
	Raw | Clean | Usage | Identity | Licence | DeadLetter | AccessEntry
}

var names = map[string]string{
	"Raw": "RawReport", "Clean": "CleanReport", "Usage": "Usage",
	"Identity": "Identity", "Licence": "Licence", "DeadLetter": "DeadLetter",
	"AccessEntry": "AccessEntry",
}

// ErrUnknownSchema says that a record was written with a schema that this build
// does not have: by a newer release, so it must be held and never dropped.
var ErrUnknownSchema = errors.New("record of a schema unknown to this build")

// ErrMalformed says that bytes are not a whole record of their schema.
var ErrMalformed = errors.New("malformed record")

func nameOf[K Kind]() string {
	var zero K
	switch any(zero).(type) {
	case Raw:
		return names["Raw"]
	case Clean:
		return names["Clean"]
	case Usage:
		return names["Usage"]
	case Identity:
		return names["Identity"]
	case Licence:
		return names["Licence"]
	case AccessEntry:
		return names["AccessEntry"]
	}
	return names["DeadLetter"]
}

// Append appends the single-object encoding of r, under the newest schema, to dst.
// Services write with AppendAs: others that run beside them may not know the newest.
func Append[K Kind](dst []byte, r *K) ([]byte, error) { return AppendAs(Current(), dst, r) }

// Decode decodes a single-object encoding of any released version into r, which
// is reset first; its strings and byte slices alias data. It returns an error
// that wraps ErrUnknownSchema or ErrMalformed.
func Decode[K Kind](data []byte, r *K) error {
	fingerprint, body, err := avro.SingleObjectFingerprint(data)
	if err != nil {
		return fmt.Errorf("%w: no single-object header", ErrMalformed)
	}
	version, ok := schema.Released().ByFingerprint(fingerprint)
	if !ok {
		return fmt.Errorf("%w: fingerprint %s", ErrUnknownSchema, schema.Fingerprint(fingerprint))
	}
	if want := nameOf[K](); version.Name != want {
		return fmt.Errorf("%w: a %s where a %s belongs", ErrMalformed, version.Name, want)
	}
	var zero K
	*r = zero
	rest, err := version.Reader.Decode(body, r, avro.AliasInput())
	if err != nil {
		return fmt.Errorf("%w: %s: %w", ErrMalformed, version.Name, err)
	}
	if len(rest) > 0 {
		return fmt.Errorf("%w: %d bytes after the %s", ErrMalformed, len(rest), version.Name)
	}
	return nil
}

// Canonical reports whether data, from which Decode made r, is what an encoder
// writes for r and not other bytes that mean the same, as Avro has them for booleans and
// lengths. It works in scratch, which it returns, grown where it was too small.
func Canonical[K Kind](data []byte, r *K, scratch []byte) (bool, []byte) {
	fingerprint, _, err := avro.SingleObjectFingerprint(data)
	if err != nil {
		return false, scratch
	}
	version, ok := schema.Released().ByFingerprint(fingerprint)
	if !ok {
		return false, scratch
	}
	if raw, isRaw := any(r).(*Raw); isRaw && version.Number == 1 {
		again := raw.appendV1(append(scratch[:0], data[:singleObjectBytes]...))
		return bytes.Equal(again, data), again
	}
	again, err := version.Parsed.AppendSingleObject(scratch[:0], r)
	if err != nil {
		return false, scratch
	}
	return bytes.Equal(again, data), again
}

// singleObjectBytes is the header of the single-object encoding.
const singleObjectBytes = 10

// appendV1 appends what the encoder of RawReport v1 does, at a tenth of its cost: every
// record of reports.raw passes here. A test holds the two together.
func (r *Raw) appendV1(dst []byte) []byte {
	dst = binary.AppendVarint(dst, r.ReceivedAt)
	for _, text := range []string{r.EdgeID, r.EdgeRegion} {
		dst = binary.AppendVarint(dst, int64(len(text)))
		dst = append(dst, text...)
	}
	dst = append(dst, r.SchemaFingerprint[:]...)
	simulated := byte(0)
	if r.Simulated {
		simulated = 1
	}
	dst = binary.AppendVarint(append(dst, simulated), int64(len(r.Envelope)))
	return append(dst, r.Envelope...)
}
