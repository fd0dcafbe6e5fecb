// Package client is how a product reports its usage: it encodes a report, posts it,
// reads what the answer asks for, and keeps what is not yet acknowledged.
//
// It knows the wire contract (schemas/avro, docs/openapi.yaml) and nothing of the
// services behind it.
package client

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"

	schema "rollcall/schemas/avro"
)

// Kinds of report: why it was sent.
const (
	Startup  = "STARTUP"
	Daily    = "DAILY"
	Shutdown = "SHUTDOWN"
)

// Consents a session runs under.
const (
	ConsentRequired = "REQUIRED"
	ConsentFull     = "FULL"
)

// Report is one usage report. Field meanings, ranges and privacy classes:
// schemas/avro/usage_report.v1.avsc.
type Report struct {
	ReportID         uuid.UUID        `avro:"report_id"`
	Kind             string           `avro:"kind"`
	SentAt           int64            `avro:"sent_at"` // Unix ms, client clock
	Day              int32            `avro:"day"`     // days since 1970-01-01, client clock
	InstallationID   uuid.UUID        `avro:"installation_id"`
	HostID           uuid.UUID        `avro:"host_id"`
	SessionID        uuid.UUID        `avro:"session_id"`
	SessionStartedAt int64            `avro:"session_started_at"` // Unix ms, client clock
	Sequence         int64            `avro:"sequence"`           // from 1
	Consent          string           `avro:"consent"`
	PolicyVersion    int32            `avro:"policy_version"`
	Customer         Customer         `avro:"customer"`
	Application      Application      `avro:"application"`
	Host             Host             `avro:"host"`
	Counters         map[string]int64 `avro:"counters"`
	Gauges           map[string]int64 `avro:"gauges"`
	Distincts        map[string]int64 `avro:"distincts"`
	InstallationKey  *[]byte          `avro:"installation_key"` // null for now
	Signature        *[]byte          `avro:"signature"`        // null for now
}

// Customer says who runs the product.
type Customer struct {
	CompanyName string `avro:"company_name" json:"company_name"`
	Email       string `avro:"email" json:"email"`
	LicenceKey  string `avro:"licence_key" json:"licence_key"`
}

// Application is the reporting product.
type Application struct {
	Name    string `avro:"name" json:"name"` // roboserver or management_console
	Version string `avro:"version" json:"version"`
	Edition string `avro:"edition" json:"edition"`
}

// Host is the machine the product runs on.
type Host struct {
	OSName       string `avro:"os_name" json:"os_name"`
	OSVersion    string `avro:"os_version" json:"os_version"`
	Architecture string `avro:"architecture" json:"architecture"`
	CPUCount     int32  `avro:"cpu_count" json:"cpu_count"`
}

// AppendAvro appends the Avro single-object encoding of the report, under the
// newest schema, to dst.
func (r *Report) AppendAvro(dst []byte) ([]byte, error) {
	out, err := schema.Released().Newest("UsageReport").Parsed.AppendSingleObject(dst, r)
	if err != nil {
		return dst, fmt.Errorf("encode report: %w", err)
	}
	return out, nil
}

// MarshalJSON renders the report as plain JSON, for a product without Avro: times
// in RFC 3339, the day as a full-date, enums as strings, unions bare.
func (r *Report) MarshalJSON() ([]byte, error) {
	plain := plainReport{
		ReportID: r.ReportID, Kind: r.Kind, SentAt: instant(r.SentAt),
		Day:            time.Unix(int64(r.Day)*secondsPerDay, 0).UTC().Format(time.DateOnly),
		InstallationID: r.InstallationID, HostID: r.HostID, SessionID: r.SessionID,
		SessionStartedAt: instant(r.SessionStartedAt), Sequence: r.Sequence,
		Consent: r.Consent, PolicyVersion: r.PolicyVersion,
		Customer: r.Customer, Application: r.Application, Host: r.Host,
		Counters: r.Counters, Gauges: r.Gauges, Distincts: r.Distincts,
	}
	out, err := json.Marshal(plain)
	if err != nil {
		return nil, fmt.Errorf("encode report: %w", err)
	}
	return out, nil
}

const secondsPerDay = 24 * 60 * 60

func instant(ms int64) string {
	return time.UnixMilli(ms).UTC().Format("2006-01-02T15:04:05.000Z07:00")
}

// plainReport is the JSON form of a report.
type plainReport struct {
	ReportID         uuid.UUID        `json:"report_id"`
	Kind             string           `json:"kind"`
	SentAt           string           `json:"sent_at"`
	Day              string           `json:"day"`
	InstallationID   uuid.UUID        `json:"installation_id"`
	HostID           uuid.UUID        `json:"host_id"`
	SessionID        uuid.UUID        `json:"session_id"`
	SessionStartedAt string           `json:"session_started_at"`
	Sequence         int64            `json:"sequence"`
	Consent          string           `json:"consent"`
	PolicyVersion    int32            `json:"policy_version"`
	Customer         Customer         `json:"customer"`
	Application      Application      `json:"application"`
	Host             Host             `json:"host"`
	Counters         map[string]int64 `json:"counters"`
	Gauges           map[string]int64 `json:"gauges"`
	Distincts        map[string]int64 `json:"distincts"`
	InstallationKey  *string          `json:"installation_key"`
	Signature        *string          `json:"signature"`
}
