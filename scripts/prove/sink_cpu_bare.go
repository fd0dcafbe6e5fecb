package main

import (
	"context"
	"fmt"
	"runtime"
	"syscall"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/column"
	"github.com/google/uuid"

	"rollcall/pkg/record"
)

// bare writes the blocks that the sink would write. Only the sending is measured:
// each block is made before, while nothing else goes on.
func (b *sinkBench) bare(ctx context.Context, run *sinkRun) error {
	if err := run.begin(ctx); err != nil {
		return err
	}
	for from := 0; from < b.feed.reports; from += b.block {
		state, err := run.conn.PrepareBatch(ctx, "INSERT INTO session_days ("+bareStateColumns+")")
		if err != nil {
			return fmt.Errorf("begin the block: %w", err)
		}
		receipts, err := run.conn.PrepareBatch(ctx, "INSERT INTO receipts ("+bareReceiptColumns+")")
		if err != nil {
			return fmt.Errorf("begin the block: %w", err)
		}
		for n := from; n < min(from+b.block, b.feed.reports); n++ {
			u := b.feed.record(n)
			if err := state.AppendStruct(newBareState(&u)); err != nil {
				return fmt.Errorf("make the block: %w", err)
			}
			if err := receipts.AppendStruct(newBareReceipt(&u)); err != nil {
				return fmt.Errorf("make the block: %w", err)
			}
		}
		runtime.GC() // what making them left behind is not the sending's
		before, err := ownCPU()
		if err != nil {
			return err
		}
		if err := state.Send(); err != nil {
			return fmt.Errorf("send the block: %w", err)
		}
		if err := receipts.Send(); err != nil {
			return fmt.Errorf("send the block: %w", err)
		}
		after, err := ownCPU()
		if err != nil {
			return err
		}
		run.client += after - before
	}
	return nil
}

// ownCPU is what this process has used.
func ownCPU() (time.Duration, error) {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return 0, fmt.Errorf("read the CPU time of this process: %w", err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano()), nil
}

const bareStateColumns = "licence_id, installation_id, session_id, report_id, host_id, address_pseudonym, network_pseudonym, day, sequence, kind, consent," +
	" received_at, sent_at, session_started_at, policy_version, application, app_version, edition, os_name, os_version, architecture, country, edge_region," +
	" cpu_count, asn, simulated, registered, entitled_cpus, unknown_dropped, optional_dropped, kind_mismatches, strings_cut, `values`, suspect, refused," +
	" unknown_hashes, unknown_kinds, unknown_values, flags"

// bareState is a row of session_days.
type bareState struct {
	Licence         uuid.UUID   `ch:"licence_id"`
	Installation    uuid.UUID   `ch:"installation_id"`
	Session         uuid.UUID   `ch:"session_id"`
	Report          uuid.UUID   `ch:"report_id"`
	Host            uuid.UUID   `ch:"host_id"`
	Address         uuid.UUID   `ch:"address_pseudonym"`
	Network         uuid.UUID   `ch:"network_pseudonym"`
	Day             time.Time   `ch:"day"`
	Sequence        uint64      `ch:"sequence"`
	Kind            string      `ch:"kind"`
	Consent         string      `ch:"consent"`
	ReceivedAt      time.Time   `ch:"received_at"`
	SentAt          time.Time   `ch:"sent_at"`
	StartedAt       time.Time   `ch:"session_started_at"`
	Policy          int32       `ch:"policy_version"`
	Application     string      `ch:"application"`
	Version         string      `ch:"app_version"`
	Edition         string      `ch:"edition"`
	OSName          string      `ch:"os_name"`
	OSVersion       string      `ch:"os_version"`
	Architecture    string      `ch:"architecture"`
	Country         string      `ch:"country"`
	Region          string      `ch:"edge_region"`
	CPUs            uint32      `ch:"cpu_count"`
	ASN             uint32      `ch:"asn"`
	Simulated       bool        `ch:"simulated"`
	Registered      bool        `ch:"registered"`
	Entitled        int64       `ch:"entitled_cpus"`
	UnknownDropped  uint32      `ch:"unknown_dropped"`
	OptionalDropped uint32      `ch:"optional_dropped"`
	Mismatches      uint32      `ch:"kind_mismatches"`
	Cut             uint32      `ch:"strings_cut"`
	Values          *bareMap    `ch:"values"`
	Suspect         *bareMap    `ch:"suspect"`
	Refused         []uint16    `ch:"refused"`
	UnknownHashes   []uuid.UUID `ch:"unknown_hashes"`
	UnknownKinds    []string    `ch:"unknown_kinds"`
	UnknownValues   []int64     `ch:"unknown_values"`
	Flags           []string    `ch:"flags"`
}

func newBareState(u *record.Usage) *bareState {
	row := &bareState{
		Licence: u.LicenceID, Installation: u.InstallationID, Session: u.SessionID, Report: u.ReportID, Host: u.HostID,
		Address: u.AddressPseudonym, Network: u.NetworkPseudonym, Day: bareDay(u.Day), Sequence: uint64(u.Sequence), Kind: u.Kind, Consent: u.Consent,
		ReceivedAt: time.UnixMilli(u.ReceivedAt), SentAt: time.UnixMilli(u.SentAt), StartedAt: time.UnixMilli(u.SessionStartedAt), Policy: u.PolicyVersion,
		Application: u.Application, Version: u.Version, Edition: u.Edition, OSName: u.OSName, OSVersion: u.OSVersion, Architecture: u.Architecture,
		Country: u.Country, Region: u.EdgeRegion, CPUs: uint32(u.CPUCount), ASN: uint32(u.ASN), Simulated: u.Simulated, Registered: u.Registered, Entitled: u.EntitledCPUs,
		UnknownDropped: uint32(u.UnknownDropped), OptionalDropped: uint32(u.OptionalDropped), Mismatches: uint32(u.KindMismatches), Cut: uint32(u.StringsCut),
		Values: &bareMap{ids: u.MetricIDs, values: u.MetricValues, at: -1}, Suspect: &bareMap{ids: u.SuspectIDs, values: u.SuspectValues, at: -1},
		Refused: []uint16{}, Flags: u.Flags,
	}
	for _, id := range u.RefusedIDs {
		row.Refused = append(row.Refused, uint16(id))
	}
	for _, metric := range u.Unknown {
		row.UnknownHashes = append(row.UnknownHashes, metric.Hash)
		row.UnknownKinds = append(row.UnknownKinds, metric.Kind)
		row.UnknownValues = append(row.UnknownValues, metric.Value)
	}
	return row
}

func bareDay(day int32) time.Time { return time.Unix(int64(day)*24*60*60, 0).UTC() }

// bareMap hands the driver the pairs in their order, once: it is a
// column.IterableOrderedMap and its iterator.
type bareMap struct {
	ids    []int32
	values []int64
	at     int
}

// Iterator returns the map itself, which stands before its first pair.
func (m *bareMap) Iterator() column.MapIterator { return m }

// Next goes to the next pair, if there is one.
func (m *bareMap) Next() bool { m.at++; return m.at < len(m.ids) }

// Key returns the metric's id.
func (m *bareMap) Key() any { return uint16(m.ids[m.at]) }

// Value returns the metric's value.
func (m *bareMap) Value() any { return uint64(m.values[m.at]) }

// Put is for reading, which this is not for.
func (m *bareMap) Put(any, any) {}

const bareReceiptColumns = "topic_id, partition, offset, end, reason, report_id, licence_id, session_id, sequence, day, received_at, at"

// bareReceipt is a row of receipts.
type bareReceipt struct {
	Topic      uuid.UUID `ch:"topic_id"`
	Partition  int32     `ch:"partition"`
	Offset     int64     `ch:"offset"`
	End        string    `ch:"end"`
	Reason     string    `ch:"reason"`
	Report     uuid.UUID `ch:"report_id"`
	Licence    uuid.UUID `ch:"licence_id"`
	Session    uuid.UUID `ch:"session_id"`
	Sequence   uint64    `ch:"sequence"`
	Day        time.Time `ch:"day"`
	ReceivedAt time.Time `ch:"received_at"`
	At         time.Time `ch:"at"`
}

func newBareReceipt(u *record.Usage) *bareReceipt {
	return &bareReceipt{
		Topic: u.Lineage.TopicID, Partition: u.Lineage.Partition, Offset: u.Lineage.Offset, End: "landed",
		Report: u.ReportID, Licence: u.LicenceID, Session: u.SessionID, Sequence: uint64(u.Sequence),
		Day: bareDay(u.Day), ReceivedAt: time.UnixMilli(u.ReceivedAt), At: time.Now(),
	}
}
