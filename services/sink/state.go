package sink

import (
	"time"

	"github.com/google/uuid"

	"rollcall/pkg/record"
)

// stateRows are rows of session_days. Strings are interned: nothing here keeps a
// Kafka record alive.
type stateRows struct {
	licence, installation, session, report, host, address, network scalar[uuid.UUID]

	day                             scalar[time.Time]
	sequence                        scalar[uint64]
	kind, consent                   scalar[string]
	receivedAt, sentAt, startedAt   scalar[int64] // Unix ms
	policy                          scalar[int32]
	application, version, edition   scalar[string]
	osName, osVersion, architecture scalar[string]
	country, region                 scalar[string]
	cpus, asn                       scalar[uint32]
	simulated, registered           scalar[bool]
	entitled                        scalar[int64]
	unknownDropped, optionalDropped scalar[uint32]
	mismatches, cut                 scalar[uint32]
	values, suspect                 pairs
	refused                         lists[uint16]
	unknownHash                     lists[uuid.UUID]
	unknownKind                     lists[string]
	unknownValue                    lists[int64]
	flags                           lists[string]

	words words
}

func (s *stateRows) fields() []field {
	return []field{
		{"licence_id", &s.licence}, {"installation_id", &s.installation}, {"session_id", &s.session}, {"report_id", &s.report},
		{"host_id", &s.host}, {"address_pseudonym", &s.address}, {"network_pseudonym", &s.network},
		{"day", &s.day}, {"sequence", &s.sequence}, {"kind", &s.kind}, {"consent", &s.consent},
		{"received_at", &s.receivedAt}, {"sent_at", &s.sentAt}, {"session_started_at", &s.startedAt}, {"policy_version", &s.policy},
		{"application", &s.application}, {"app_version", &s.version}, {"edition", &s.edition},
		{"os_name", &s.osName}, {"os_version", &s.osVersion}, {"architecture", &s.architecture},
		{"country", &s.country}, {"edge_region", &s.region}, {"cpu_count", &s.cpus}, {"asn", &s.asn},
		{"simulated", &s.simulated}, {"registered", &s.registered}, {"entitled_cpus", &s.entitled},
		{"unknown_dropped", &s.unknownDropped}, {"optional_dropped", &s.optionalDropped}, {"kind_mismatches", &s.mismatches}, {"strings_cut", &s.cut},
		{"values", &s.values}, {"suspect", &s.suspect}, {"refused", &s.refused},
		{"unknown_hashes", &s.unknownHash}, {"unknown_kinds", &s.unknownKind}, {"unknown_values", &s.unknownValue}, {"flags", &s.flags},
	}
}

func (s *stateRows) len() int { return len(s.licence) }

// add adds a row. The record must have passed a checker.
func (s *stateRows) add(u *record.Usage) {
	s.licence.add(u.LicenceID)
	s.installation.add(u.InstallationID)
	s.session.add(u.SessionID)
	s.report.add(u.ReportID)
	s.host.add(u.HostID)
	s.address.add(u.AddressPseudonym)
	s.network.add(u.NetworkPseudonym)
	s.day.add(dayTime(u.Day))
	s.sequence.add(uint64(u.Sequence))
	s.kind.add(s.words.one(u.Kind))
	s.consent.add(s.words.one(u.Consent))
	s.receivedAt.add(instant(u.ReceivedAt))
	s.sentAt.add(instant(u.SentAt))
	s.startedAt.add(instant(u.SessionStartedAt))
	s.policy.add(u.PolicyVersion)
	s.application.add(s.words.one(u.Application))
	s.version.add(s.words.one(u.Version))
	s.edition.add(s.words.one(u.Edition))
	s.osName.add(s.words.one(u.OSName))
	s.osVersion.add(s.words.one(u.OSVersion))
	s.architecture.add(s.words.one(u.Architecture))
	s.country.add(s.words.one(u.Country))
	s.region.add(s.words.one(u.EdgeRegion))
	s.cpus.add(uint32(u.CPUCount))
	s.asn.add(uint32(u.ASN))
	s.simulated.add(u.Simulated)
	s.registered.add(u.Registered)
	s.entitled.add(u.EntitledCPUs)
	s.unknownDropped.add(uint32(u.UnknownDropped))
	s.optionalDropped.add(uint32(u.OptionalDropped))
	s.mismatches.add(uint32(u.KindMismatches))
	s.cut.add(uint32(u.StringsCut))
	s.values.add(u.MetricIDs, u.MetricValues)
	s.suspect.add(u.SuspectIDs, u.SuspectValues)
	s.addLists(u)
}

func (s *stateRows) addLists(u *record.Usage) {
	for _, id := range u.RefusedIDs {
		s.refused.add(uint16(id))
	}
	s.refused.close()
	for i := range u.Unknown {
		s.unknownHash.add(u.Unknown[i].Hash)
		s.unknownKind.add(s.words.one(u.Unknown[i].Kind))
		s.unknownValue.add(u.Unknown[i].Value)
	}
	s.unknownHash.close()
	s.unknownKind.close()
	s.unknownValue.close()
	for _, flag := range u.Flags {
		s.flags.add(s.words.one(flag))
	}
	s.flags.close()
}

func (s *stateRows) reset() {
	for _, f := range s.fields() {
		f.reset()
	}
	clear(s.words)
}

// words holds one copy of each string of small vocabularies.
type words map[string]string

func (w *words) one(text string) string {
	if kept, ok := (*w)[text]; ok {
		return kept
	}
	if *w == nil {
		*w = words{}
	}
	kept := string([]byte(text)) // text may alias a Kafka record
	(*w)[kept] = kept
	return kept
}

// latestInstant is the end of 2261: ClickHouse's and Go's 64-bit times end in 2262.
var latestInstant = time.Date(2261, 12, 31, 0, 0, 0, 0, time.UTC).UnixMilli()

// instant keeps a client's clock, which may say anything, to what a DateTime64 holds.
func instant(ms int64) int64 { return min(max(ms, 0), latestInstant) }

func dayTime(day int32) time.Time { return time.Unix(int64(day)*24*60*60, 0).UTC() }
