package anonymizer

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kgo"

	"rollcall/pkg/envelope"
	"rollcall/pkg/fault"
	"rollcall/pkg/geoip"
	"rollcall/pkg/keystore"
	"rollcall/pkg/pseudonym"
	"rollcall/pkg/record"
	"rollcall/pkg/relay"
	"rollcall/pkg/report"
	"rollcall/pkg/topics"
)

// Reasons of dead letters (docs/dead-letters.md).
const (
	reasonMalformedRecord = "malformed_record"
	reasonMalformedReport = "malformed_report"
	reasonUnknownSchema   = "unknown_schema"
	reasonSequence        = "invalid_sequence"
)

// maxPooledMetrics bounds the maps that wait in the pool: clearing and walking a
// map costs as much as the largest it has been.
const maxPooledMetrics = 512

// maxPooledBytes bounds the copy of a record that waits in the pool.
const maxPooledBytes = 64 << 10

// handler turns a raw report into a clean one.
type handler struct {
	topicID      uuid.UUID // of reports.raw; set before the relay runs
	keys         *keyring
	opener       envelope.Opener
	geoip        *geoip.DB
	identities   *identities
	vocabularies vocabularies
	metrics      *instruments
	records      record.Format
	scratches    sync.Pool
}

// scratch is what handling one report needs and leaves behind.
type scratch struct {
	raw       record.Raw
	again     []byte // raw encoded again
	report    report.Report
	clean     record.Clean
	selection selection
}

func newHandler(cfg Config, deps Deps, known func(uuid.UUID) bool, metrics *instruments) (*handler, error) {
	keys := newKeyring(deps.Keys, deps.Checks)
	identities, err := newIdentities(cfg.IdentityCacheEntries, deps.Records, keys, known)
	if err != nil {
		return nil, err
	}
	h := &handler{
		keys: keys, opener: deps.Opener, geoip: deps.GeoIP, identities: identities,
		vocabularies: newVocabularies(), metrics: metrics, records: deps.Records,
	}
	h.scratches.New = func() any {
		return &scratch{selection: selection{catalogue: deps.Catalogue, metrics: metrics}}
	}
	return h, nil
}

// Handle implements relay.Handler.
func (h *handler) Handle(_ context.Context, in *kgo.Record, subject *relay.Subject) ([]*kgo.Record, error) {
	s := h.scratches.Get().(*scratch)
	defer h.release(s)
	subject.Lineage = &record.Lineage{TopicID: h.topicID, Partition: in.Partition, Offset: in.Offset}
	address, err := h.open(in, s, subject)
	if err != nil {
		return nil, err
	}
	licences, err := h.keys.pseudonyms()
	if err != nil {
		return nil, err
	}
	clean := &s.clean
	clean.Lineage = *subject.Lineage
	pseudonymise(clean, &s.report, licences)
	licenceID, reportID := clean.LicenceID, clean.ReportID
	subject.LicenceID, subject.ReportID = &licenceID, &reportID
	if s.report.Sequence < 0 {
		return nil, fault.Reject(reasonSequence, "sequence", nil)
	}
	clean.ReceivedAt, clean.Simulated = s.raw.ReceivedAt, s.raw.Simulated
	if err := h.locate(clean, address); err != nil {
		return nil, err
	}
	h.describe(clean, &s.report, s.raw.EdgeRegion)
	s.selection.choose(&s.report)
	s.selection.into(clean, licences)
	return h.outputs(in, clean, &s.report.Customer, licences)
}

// open decodes the record and the report in its envelope, and returns the client's address.
func (h *handler) open(in *kgo.Record, s *scratch, subject *relay.Subject) (netip.Addr, error) {
	err := record.Decode(in.Value, &s.raw)
	if errors.Is(err, record.ErrUnknownSchema) {
		return netip.Addr{}, fault.Hold(fmt.Errorf("%s holds a %w", topics.Raw, err))
	}
	if err != nil {
		return netip.Addr{}, fault.Reject(reasonMalformedRecord, "", err)
	}
	canonical := false
	if canonical, s.again = record.Canonical(in.Value, &s.raw, s.again); !canonical {
		return netip.Addr{}, fault.Reject(reasonMalformedRecord, "", errors.New("not as a gateway encodes it"))
	}
	receivedAt, fingerprint := s.raw.ReceivedAt, s.raw.SchemaFingerprint
	subject.ReceivedAt, subject.SchemaFingerprint = &receivedAt, &fingerprint
	address, body, err := h.opener.Open(envelope.Associated{
		ReceivedAt: receivedAt, EdgeID: s.raw.EdgeID, EdgeRegion: s.raw.EdgeRegion,
		SchemaFingerprint: fingerprint, Simulated: s.raw.Simulated,
	}, s.raw.Envelope)
	h.keys.opened(receivedAt, err)
	if err != nil {
		return netip.Addr{}, err
	}
	err = report.DecodeBody(fingerprint, body, &s.report)
	if errors.Is(err, report.ErrUnknownSchema) {
		return netip.Addr{}, fault.Reject(reasonUnknownSchema, "", err)
	}
	if err != nil {
		path := ""
		if invalid := (*report.InvalidError)(nil); errors.As(err, &invalid) {
			path = invalid.FieldPath
		}
		return netip.Addr{}, fault.Reject(reasonMalformedReport, path, err)
	}
	return address, nil
}

func pseudonymise(clean *record.Clean, r *report.Report, licences *pseudonym.Licences) {
	clean.LicenceID = licences.LicenceID(r.Customer.LicenceKey)
	clean.ReportID = licences.Scoped(clean.LicenceID, pseudonym.Report, r.ReportID)
	clean.InstallationID = licences.Scoped(clean.LicenceID, pseudonym.Installation, r.InstallationID)
	clean.HostID = licences.Scoped(clean.LicenceID, pseudonym.Host, r.HostID)
	clean.SessionID = licences.Scoped(clean.LicenceID, pseudonym.Session, r.SessionID)
}

// locate turns the address into country, system and pseudonyms under the key of the
// received day. Where that key is destroyed the pseudonyms stay zero, as they are
// in what was stored that day: the report still counts.
func (h *handler) locate(clean *record.Clean, address netip.Addr) error {
	dayKey, err := h.keys.key(keystore.ID{Class: keystore.Day, Epoch: keystore.DayEpoch(time.UnixMilli(clean.ReceivedAt))})
	switch {
	case errors.Is(err, keystore.ErrDestroyed):
		h.metrics.keysDestroyed.Add(1)
	case err != nil:
		return err
	default:
		clean.AddressPseudonym, clean.NetworkPseudonym = pseudonym.Address(dayKey, address)
	}
	country, asn := h.geoip.Lookup(address)
	if country == "" {
		h.metrics.geoipUnknown.Add(1)
	}
	clean.Country, clean.ASN = country, int64(asn)
	return nil
}

// describe copies what says nothing of a person, with every text held against its
// vocabulary or pattern.
func (h *handler) describe(clean *record.Clean, r *report.Report, region string) {
	clean.Kind, clean.SentAt, clean.Day, clean.SessionStartedAt = r.Kind, r.SentAt, r.Day, r.SessionStartedAt
	clean.Sequence, clean.Consent, clean.PolicyVersion, clean.CPUCount = r.Sequence, r.Consent, r.PolicyVersion, r.Host.CPUCount
	passed, cut := h.vocabularies.texts(r, region)
	clean.Application, clean.Version, clean.Edition = passed[fieldApplication], passed[fieldVersion], passed[fieldEdition]
	clean.OSName, clean.OSVersion, clean.Architecture = passed[fieldOSName], passed[fieldOSVersion], passed[fieldArchitecture]
	clean.EdgeRegion = passed[fieldEdgeRegion]
	for f, wasCut := range cut {
		if wasCut {
			clean.StringsCut++
			h.metrics.stringsCut[f].Add(1)
		}
	}
}

func (h *handler) outputs(in *kgo.Record, clean *record.Clean, customer *report.Customer, licences *pseudonym.Licences) ([]*kgo.Record, error) {
	value, err := record.AppendAs(h.records, make([]byte, 0, 512+4*len(clean.MetricIDs)), clean)
	if err != nil {
		// It would fail again: a word that is none of its enum's, say. The encoder's
		// own error may quote it.
		return nil, fault.Reject(reasonMalformedReport, "", errors.New("it has no form as a clean report"))
	}
	key := clean.InstallationID
	out := []*kgo.Record{{Topic: topics.Clean, Key: key[:], Value: value}}
	out, err = h.identities.appendTo(out, in, clean, customer, licences)
	if err != nil {
		return nil, fmt.Errorf("make identity: %w", err)
	}
	h.metrics.identities.Add(int64(len(out)) - 1)
	return out, nil
}

// release puts scratch back without what the client wrote in it.
func (h *handler) release(s *scratch) {
	for _, m := range []*map[string]int64{&s.report.Counters, &s.report.Gauges, &s.report.Distincts} {
		if len(*m) > maxPooledMetrics {
			*m = nil
		}
	}
	s.report.Reset()
	s.raw = record.Raw{}
	clear(s.again[:cap(s.again)]) // of the previous release's records it is the report in clear
	if cap(s.again) > maxPooledBytes {
		s.again = nil
	}
	s.clean = record.Clean{MetricIDs: s.clean.MetricIDs[:0], MetricValues: s.clean.MetricValues[:0], Unknown: s.clean.Unknown[:0]}
	s.selection.forget()
	h.scratches.Put(s)
}
