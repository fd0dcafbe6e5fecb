// Package report decodes, checks and encodes the report that a product
// installation sends: the one record of Rollcall that strangers write. Nothing in
// it judges values; it says only whether bytes are a whole report.
package report

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"

	schema "rollcall/schemas/avro"
)

// MaxBytes bounds an encoded report after decompression (design: 1 MiB inflated).
const MaxBytes = 1 << 20

// Kinds of report.
const (
	Startup  = "STARTUP"
	Daily    = "DAILY"
	Shutdown = "SHUTDOWN"
)

// Consents of the administrator.
const (
	ConsentRequired = "REQUIRED"
	ConsentFull     = "FULL"
)

// Report is the newest UsageReport. Field meanings: schemas/avro/usage_report.v1.avsc.
type Report struct {
	ReportID         uuid.UUID        `avro:"report_id" json:"report_id"`
	Kind             string           `avro:"kind" json:"kind"`       // Startup, Daily or Shutdown
	SentAt           int64            `avro:"sent_at" json:"sent_at"` // Unix ms
	Day              int32            `avro:"day" json:"day"`         // days since 1970-01-01
	InstallationID   uuid.UUID        `avro:"installation_id" json:"installation_id"`
	HostID           uuid.UUID        `avro:"host_id" json:"host_id"`
	SessionID        uuid.UUID        `avro:"session_id" json:"session_id"`
	SessionStartedAt int64            `avro:"session_started_at" json:"session_started_at"` // Unix ms
	Sequence         int64            `avro:"sequence" json:"sequence"`                     // from 1
	Consent          string           `avro:"consent" json:"consent"`                       // ConsentRequired or ConsentFull
	PolicyVersion    int32            `avro:"policy_version" json:"policy_version"`
	Customer         Customer         `avro:"customer" json:"customer"`
	Application      Application      `avro:"application" json:"application"`
	Host             Host             `avro:"host" json:"host"`
	Counters         map[string]int64 `avro:"counters" json:"counters"`
	Gauges           map[string]int64 `avro:"gauges" json:"gauges"`
	Distincts        map[string]int64 `avro:"distincts" json:"distincts"`
	InstallationKey  *[]byte          `avro:"installation_key" json:"installation_key"` // nil: null
	Signature        *[]byte          `avro:"signature" json:"signature"`               // nil: null
}

// Customer is who runs the product.
type Customer struct {
	CompanyName string `avro:"company_name" json:"company_name"`
	Email       string `avro:"email" json:"email"`
	LicenceKey  string `avro:"licence_key" json:"licence_key"`
}

// Application is the reporting product.
type Application struct {
	Name    string `avro:"name" json:"name"`
	Version string `avro:"version" json:"version"`
	Edition string `avro:"edition" json:"edition"`
}

// Host is the machine that the product runs on.
type Host struct {
	OSName       string `avro:"os_name" json:"os_name"`
	OSVersion    string `avro:"os_version" json:"os_version"`
	Architecture string `avro:"architecture" json:"architecture"`
	CPUCount     int32  `avro:"cpu_count" json:"cpu_count"`
}

// AppendAvro appends the single-object encoding of r, under the newest schema, to
// dst. It fails where Kind or Consent is not one of their words.
func (r *Report) AppendAvro(dst []byte) ([]byte, error) {
	out, err := newest().version.Parsed.AppendSingleObject(dst, r)
	if err != nil {
		return dst, fmt.Errorf("encode report: %w", err)
	}
	return out, nil
}

// MarshalJSON renders r as the plain JSON that the gateway takes: timestamps in
// RFC 3339, the day as 2006-01-02, bytes in base64, absent maps as empty ones.
func (r Report) MarshalJSON() ([]byte, error) {
	type plain Report
	return json.Marshal(struct {
		plain
		SentAt           string           `json:"sent_at"`
		Day              string           `json:"day"`
		SessionStartedAt string           `json:"session_started_at"`
		Counters         map[string]int64 `json:"counters"`
		Gauges           map[string]int64 `json:"gauges"`
		Distincts        map[string]int64 `json:"distincts"`
		InstallationKey  *string          `json:"installation_key"`
		Signature        *string          `json:"signature"`
	}{
		plain:            plain(r),
		SentAt:           time.UnixMilli(r.SentAt).UTC().Format(time.RFC3339Nano),
		Day:              time.Unix(int64(r.Day)*secondsPerDay, 0).UTC().Format(time.DateOnly),
		SessionStartedAt: time.UnixMilli(r.SessionStartedAt).UTC().Format(time.RFC3339Nano),
		Counters:         orEmpty(r.Counters),
		Gauges:           orEmpty(r.Gauges),
		Distincts:        orEmpty(r.Distincts),
		InstallationKey:  base64OrNull(r.InstallationKey),
		Signature:        base64OrNull(r.Signature),
	})
}

const secondsPerDay = 24 * 60 * 60

func orEmpty(m map[string]int64) map[string]int64 {
	if m == nil {
		return map[string]int64{}
	}
	return m
}

func base64OrNull(b *[]byte) *string {
	if b == nil {
		return nil
	}
	s := base64.StdEncoding.EncodeToString(*b)
	return &s
}

// Reset empties r for another decode and keeps the room of its maps.
func (r *Report) Reset() {
	counters, gauges, distincts := r.Counters, r.Gauges, r.Distincts
	clear(counters)
	clear(gauges)
	clear(distincts)
	*r = Report{Counters: counters, Gauges: gauges, Distincts: distincts}
}

// Newest returns the fingerprint under which AppendAvro writes.
func Newest() schema.Fingerprint { return newest().version.Fingerprint }
