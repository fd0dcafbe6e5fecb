package enricher

import (
	"context"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kgo"

	"rollcall/pkg/fault"
	"rollcall/pkg/record"
	"rollcall/pkg/registry"
	"rollcall/pkg/relay"
	"rollcall/pkg/topics"
)

// Reasons of dead letters (docs/dead-letters.md).
const (
	reasonMalformedRecord = "malformed_record"
	reasonDayOutside      = "day_outside_window"
	reasonSequence        = "invalid_sequence"
)

const dayMillis = 24 * 60 * 60 * 1000

// window is how far a report's day may lie from the UTC day of its receipt.
type window struct{ past, future int64 } // days

// holds reports whether a day (since 1970-01-01) lies in the window of a receipt
// (Unix ms).
func (w window) holds(day int32, receivedAt int64) bool {
	received := receivedAt / dayMillis
	if receivedAt%dayMillis < 0 { // before 1970: round down, not towards zero
		received--
	}
	return int64(day) >= received-w.past && int64(day) <= received+w.future
}

// handler turns a clean report into a usage record.
type handler struct {
	judge    *judge
	registry *registry.Registry
	window   window
	judged   *tallies
	records  record.Format
}

// Handle implements relay.Handler.
func (h *handler) Handle(ctx context.Context, in *kgo.Record, subject *relay.Subject) ([]*kgo.Record, error) {
	usage := &record.Usage{}
	if err := record.Decode(in.Value, &usage.Clean); err != nil {
		if errors.Is(err, record.ErrUnknownSchema) {
			return nil, fault.Hold(err)
		}
		return nil, fault.Reject(reasonMalformedRecord, "", err)
	}
	subject.Lineage, subject.LicenceID, subject.ReportID, subject.ReceivedAt = &usage.Lineage, &usage.LicenceID, &usage.ReportID, &usage.ReceivedAt
	if field := malformed(&usage.Clean); field != "" {
		return nil, fault.Reject(reasonMalformedRecord, field, nil)
	}
	if usage.Sequence < 1 {
		return nil, fault.Reject(reasonSequence, "sequence", nil)
	}
	if !h.window.holds(usage.Day, usage.ReceivedAt) {
		return nil, fault.Reject(reasonDayOutside, "day", nil)
	}
	licence, err := h.registry.Lookup(usage.LicenceID, usage.Day)
	if err != nil { // terms of a newer release
		return nil, fault.Hold(err)
	}
	normalise(&usage.Clean)
	h.judged.add(ctx, h.judge.usage(usage, licence))
	// A usage record is some dozens of bytes longer than the clean one.
	value, err := record.AppendAs(h.records, make([]byte, 0, len(in.Value)+128), usage)
	if err != nil {
		return nil, fault.Fatal(fmt.Errorf("encode usage: %w", err))
	}
	return []*kgo.Record{{Topic: topics.Usage, Key: usage.InstallationID[:], Value: value}}, nil
}

// malformed returns the field in which a decoded record breaks what its schema
// promises, or nothing. An anonymizer never writes such a record.
func malformed(clean *record.Clean) string {
	if len(clean.MetricIDs) != len(clean.MetricValues) {
		return "metric_values"
	}
	previous := int32(0)
	for _, id := range clean.MetricIDs {
		if id <= previous || id > maxMetricID {
			return "metric_ids"
		}
		previous = id
	}
	return ""
}
