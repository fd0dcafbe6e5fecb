package sink

import (
	"encoding/binary"
	"math/big"
	"time"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kgo"

	"rollcall/pkg/record"
)

// Ends of an offset of reports.raw, as receipts names them.
const (
	endLanded       = "landed"
	endDeadLettered = "dead_lettered"
)

// receiptRows are rows of receipts.
type receiptRows struct {
	topic           scalar[uuid.UUID]
	partition       scalar[int32]
	offset          scalar[int64]
	end, reason     scalar[string]
	report, licence scalar[uuid.UUID]
	session         scalar[uuid.UUID]
	sequence        scalar[uint64]
	day             scalar[time.Time]
	receivedAt      scalar[int64] // Unix ms
	at              scalar[int64] // Unix ms; see stamp
}

func (r *receiptRows) fields() []field {
	return []field{
		{"topic_id", &r.topic}, {"partition", &r.partition}, {"offset", &r.offset}, {"end", &r.end}, {"reason", &r.reason},
		{"report_id", &r.report}, {"licence_id", &r.licence}, {"session_id", &r.session}, {"sequence", &r.sequence}, {"day", &r.day},
		{"received_at", &r.receivedAt}, {"at", &r.at},
	}
}

func (r *receiptRows) len() int { return len(r.topic) }

func (r *receiptRows) landed(u *record.Usage) {
	r.lineage(&u.Lineage)
	r.end.add(endLanded)
	r.reason.add("")
	r.report.add(u.ReportID)
	r.licence.add(u.LicenceID)
	r.session.add(u.SessionID)
	r.sequence.add(uint64(u.Sequence))
	r.day.add(dayTime(u.Day))
	r.receivedAt.add(instant(u.ReceivedAt))
}

// deadLettered adds a receipt for a dead letter whose lineage is known.
func (r *receiptRows) deadLettered(d *record.DeadLetter, reason string) {
	r.lineage(d.Lineage)
	r.end.add(endDeadLettered)
	r.reason.add(reason)
	r.report.add(orZero(d.ReportID))
	r.licence.add(orZero(d.LicenceID))
	r.session.add(uuid.Nil)
	r.sequence.add(0)
	r.day.add(dayTime(0))
	r.receivedAt.add(instant(orZero(d.ReceivedAt)))
}

func (r *receiptRows) lineage(l *record.Lineage) {
	r.topic.add(l.TopicID)
	r.partition.add(l.Partition)
	r.offset.add(l.Offset)
}

// stamp sets the time of writing of every row.
func (r *receiptRows) stamp(now time.Time) { restamp(&r.at, r.len(), now) }

func (r *receiptRows) reset() { resetAll(r.fields()) }

func restamp(at *scalar[int64], rows int, now time.Time) {
	at.reset()
	for range rows {
		at.add(now.UnixMilli())
	}
}

func resetAll(fields []field) {
	for _, f := range fields {
		f.reset()
	}
}

func orZero[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}

// letterRows are rows of dead_letters.
type letterRows struct {
	sourceTopic              scalar[string]
	sourcePartition          scalar[int32]
	sourceOffset             scalar[int64]
	stage, reason, fieldPath scalar[string]
	lineageTopic             scalar[uuid.UUID]
	lineagePartition         scalar[int32]
	lineageOffset            scalar[int64]
	licence, report          scalar[uuid.UUID]
	fingerprint              scalar[string]
	receivedAt               scalar[*int64] // Unix ms
	refusedAt                scalar[int64]  // Unix ms
	landedAt                 scalar[int64]  // Unix ms; see stamp
	words                    words
}

func (l *letterRows) fields() []field {
	return []field{
		{"source_topic", &l.sourceTopic}, {"source_partition", &l.sourcePartition}, {"source_offset", &l.sourceOffset},
		{"stage", &l.stage}, {"reason", &l.reason}, {"field_path", &l.fieldPath},
		{"lineage_topic_id", &l.lineageTopic}, {"lineage_partition", &l.lineagePartition}, {"lineage_offset", &l.lineageOffset},
		{"licence_id", &l.licence}, {"report_id", &l.report}, {"schema_fingerprint", &l.fingerprint},
		{"received_at", &l.receivedAt}, {"at", &l.refusedAt}, {"landed_at", &l.landedAt},
	}
}

func (l *letterRows) len() int { return len(l.sourceTopic) }

// add adds a row and returns the one copy of its reason.
func (l *letterRows) add(d *record.DeadLetter) (reason string) {
	lineage := record.Lineage{Partition: -1, Offset: -1}
	if d.Lineage != nil {
		lineage = *d.Lineage
	}
	fingerprint := ""
	if d.SchemaFingerprint != nil {
		fingerprint = d.SchemaFingerprint.String()
	}
	var receivedAt *int64
	if d.ReceivedAt != nil {
		ms := instant(*d.ReceivedAt)
		receivedAt = &ms
	}
	reason = l.words.one(d.Reason)
	l.sourceTopic.add(l.words.one(d.SourceTopic))
	l.sourcePartition.add(d.SourcePartition)
	l.sourceOffset.add(d.SourceOffset)
	l.stage.add(l.words.one(d.Stage))
	l.reason.add(reason)
	l.fieldPath.add(l.words.one(d.FieldPath))
	l.lineageTopic.add(lineage.TopicID)
	l.lineagePartition.add(lineage.Partition)
	l.lineageOffset.add(lineage.Offset)
	l.licence.add(orZero(d.LicenceID))
	l.report.add(orZero(d.ReportID))
	l.fingerprint.add(fingerprint)
	l.receivedAt.add(receivedAt)
	l.refusedAt.add(instant(d.At))
	return reason
}

func (l *letterRows) stamp(now time.Time) { restamp(&l.landedAt, l.len(), now) }

func (l *letterRows) reset() {
	resetAll(l.fields())
	clear(l.words)
}

// licenceRows are rows of licences.
type licenceRows struct {
	licence                                 scalar[uuid.UUID]
	validFrom                               scalar[time.Time]
	validUntil                              scalar[*time.Time]
	edition, industry, region, partner      scalar[string]
	cpus, roboServers, robots, users, steps scalar[*int64]
	appliedAt                               scalar[int64] // Unix ms
	version                                 scalar[*big.Int]
	deleted                                 scalar[uint8]
}

func (l *licenceRows) fields() []field {
	return []field{
		{"licence_id", &l.licence}, {"valid_from", &l.validFrom}, {"valid_until", &l.validUntil},
		{"edition", &l.edition}, {"industry", &l.industry}, {"region", &l.region}, {"partner", &l.partner},
		{"entitled_cpus", &l.cpus}, {"entitled_roboservers", &l.roboServers}, {"entitled_robots", &l.robots},
		{"entitled_users", &l.users}, {"entitled_steps_per_month", &l.steps},
		{"applied_at", &l.appliedAt}, {"version", &l.version}, {"is_deleted", &l.deleted},
	}
}

func (l *licenceRows) len() int { return len(l.licence) }

// add adds the terms that r holds; terms that r's tombstone removes have only the
// licence and the first day.
func (l *licenceRows) add(terms *record.Licence, r *kgo.Record) {
	l.licence.add(terms.LicenceID)
	l.validFrom.add(dayTime(terms.ValidFrom))
	var until *time.Time
	if terms.ValidUntil != nil {
		day := dayTime(*terms.ValidUntil)
		until = &day
	}
	l.validUntil.add(until)
	l.edition.add(copied(terms.Edition))
	l.industry.add(copied(terms.Industry))
	l.region.add(copied(terms.Region))
	l.partner.add(copied(terms.Partner))
	l.cpus.add(terms.EntitledCPUs)
	l.roboServers.add(terms.EntitledRoboServers)
	l.robots.add(terms.EntitledRobots)
	l.users.add(terms.EntitledUsers)
	l.steps.add(terms.EntitledStepsPerMonth)
	l.appliedAt.add(instant(terms.AppliedAt))
	l.version.add(registryVersion(r))
	l.deleted.add(deletion(r))
}

// registryVersion orders the records of a key, also across a topic made anew, whose
// offsets begin at 0 again.
func registryVersion(r *kgo.Record) *big.Int {
	version := new(big.Int).Lsh(big.NewInt(max(r.Timestamp.UnixMilli(), 0)), 64)
	return version.Or(version, big.NewInt(r.Offset))
}

func deletion(r *kgo.Record) uint8 {
	if len(r.Value) == 0 {
		return 1
	}
	return 0
}

// licenceKey decodes the key of a record of the licences topic: 16 bytes of
// licence_id, then valid_from as four bytes, big-endian.
func licenceKey(key []byte) (licence uuid.UUID, validFrom int32, ok bool) {
	if len(key) != 20 {
		return uuid.Nil, 0, false
	}
	return uuid.UUID(key[:16]), int32(binary.BigEndian.Uint32(key[16:])), true
}

func copied(text string) string { return string([]byte(text)) }

func (l *licenceRows) reset() { resetAll(l.fields()) }

// mark says how far a partition of usage had come when it touched a day.
type mark struct {
	day    int32
	source string
}

// markRows are rows of dirty_days.
type markRows struct {
	day      scalar[time.Time]
	source   scalar[string]
	position scalar[int64]
	markedAt scalar[int64] // Unix ms
}

func (m *markRows) fields() []field {
	return []field{{"day", &m.day}, {"source", &m.source}, {"position", &m.position}, {"marked_at", &m.markedAt}}
}

func newMarkRows(marks map[mark]int64, now time.Time) *markRows {
	rows := &markRows{}
	for m, position := range marks {
		rows.day.add(dayTime(m.day))
		rows.source.add(m.source)
		rows.position.add(position)
		rows.markedAt.add(now.UnixMilli())
	}
	return rows
}
