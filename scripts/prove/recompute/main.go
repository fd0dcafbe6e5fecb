// Command recompute tries to find what came from a known address on a day, with whatever
// keys and stores are left: the tool of somebody who wants to undo the boundary.
//
//	go run ./scripts/prove/recompute -address 203.0.113.7 -day 2026-11-19 -keys DIR -brokers 127.0.0.1:9092 -clickhouse 127.0.0.1:9000
//
// It tries the day's key, every other key there is, and to open the sealed reports. Each
// way has a line with the rows and records that it found. The status is 0 where one
// found anything, 1 where none did, 2 where it could not be tried.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"time"

	chgo "github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kgo"

	"rollcall/pkg/envelope"
	"rollcall/pkg/keystore"
	"rollcall/pkg/pseudonym"
	"rollcall/pkg/record"
	"rollcall/pkg/topics"
	"rollcall/scripts/testbed"
)

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	found, err := run(ctx, os.Args[1:])
	cancel()
	switch {
	case err != nil:
		fmt.Fprintln(os.Stderr, "recompute:", err)
		os.Exit(2)
	case !found:
		os.Exit(1)
	}
}

// stores are what there is to look in, and the keys that are left.
type stores struct {
	keys    *keystore.Directory
	dir     string
	conn    driver.Conn
	brokers []string
	address netip.Addr
	day     string
}

func run(ctx context.Context, arguments []string) (found bool, err error) {
	flags := flag.NewFlagSet("recompute", flag.ContinueOnError)
	address := flags.String("address", "", "the known address")
	day := flags.String("day", "", "UTC day of receipt, 2006-01-02")
	keys := flags.String("keys", "", "directory of the keys that are left")
	broker := flags.String("brokers", "", "a broker, host:port")
	server := flags.String("clickhouse", "", "ClickHouse's native protocol, host:port")
	if err := flags.Parse(arguments); err != nil {
		return false, err
	}
	s := stores{dir: *keys, day: *day, brokers: []string{*broker}}
	if s.address, err = netip.ParseAddr(*address); err != nil {
		return false, err
	}
	if s.keys, err = keystore.Open(*keys); err != nil {
		return false, err
	}
	if s.conn, err = chgo.Open(&chgo.Options{Addr: []string{*server}, Auth: chgo.Auth{Database: "rollcall", Username: "default"}}); err != nil {
		return false, err
	}
	defer s.conn.Close()
	for _, way := range []struct {
		name string
		try  func(context.Context) (rows, records int, err error)
	}{{"key of the day", s.byDayKey}, {"every other key", s.byOtherKeys}, {"sealed reports", s.bySealedReports}} {
		rows, records, err := way.try(ctx)
		switch {
		case errors.Is(err, keystore.ErrDestroyed), errors.Is(err, keystore.ErrNotYet):
			fmt.Printf("%s: cannot be tried: the key is gone\n", way.name)
		case err != nil:
			return false, fmt.Errorf("%s: %w", way.name, err)
		default:
			fmt.Printf("%s: %d rows, %d records\n", way.name, rows, records)
		}
		found = found || rows > 0 || records > 0
	}
	return found, nil
}

// byDayKey recomputes the pseudonym as the anonymizer made it.
func (s *stores) byDayKey(ctx context.Context) (rows, records int, err error) {
	key, err := s.keys.Key(keystore.Day, s.day)
	if err != nil {
		return 0, 0, err
	}
	address, network := pseudonym.Address(key, s.address)
	return s.lookUp(ctx, map[uuid.UUID]bool{address: true, network: true})
}

// byOtherKeys tries whether any other key that is left made it.
func (s *stores) byOtherKeys(ctx context.Context) (rows, records int, err error) {
	entries, err := keystore.List(s.dir)
	if err != nil {
		return 0, 0, err
	}
	guesses := map[uuid.UUID]bool{}
	for _, entry := range entries {
		key, err := s.keys.Key(entry.Class, entry.Epoch)
		if err != nil || entry.Class == keystore.Day && entry.Epoch == s.day {
			continue // destroyed, or given to nobody, or tried
		}
		address, network := pseudonym.Address(key, s.address)
		guesses[address], guesses[network] = true, true
	}
	return s.lookUp(ctx, guesses)
}

// lookUp returns how many rows and records have one of the pseudonyms.
func (s *stores) lookUp(ctx context.Context, pseudonyms map[uuid.UUID]bool) (rows, records int, err error) {
	found, err := s.conn.Query(ctx, "SELECT address_pseudonym, network_pseudonym FROM session_days")
	if err != nil {
		return 0, 0, err
	}
	for found.Next() {
		var address, network uuid.UUID
		if err := found.Scan(&address, &network); err != nil {
			return 0, 0, errors.Join(err, found.Close())
		}
		if pseudonyms[address] || pseudonyms[network] {
			rows++
		}
	}
	if err := errors.Join(found.Err(), found.Close()); err != nil {
		return 0, 0, err
	}
	err = testbed.EachRecord(ctx, s.brokers, topics.Clean, func(r *kgo.Record) error {
		var clean record.Clean
		if record.Decode(r.Value, &clean) == nil && (pseudonyms[clean.AddressPseudonym] || pseudonyms[clean.NetworkPseudonym]) {
			records++
		}
		return nil
	})
	if err != nil {
		return 0, 0, err
	}
	err = testbed.EachRecord(ctx, s.brokers, topics.Usage, func(r *kgo.Record) error {
		var usage record.Usage
		if record.Decode(r.Value, &usage) == nil && (pseudonyms[usage.AddressPseudonym] || pseudonyms[usage.NetworkPseudonym]) {
			records++
		}
		return nil
	})
	return rows, records, err
}

// bySealedReports opens what can be opened of reports.raw and follows the lineage of
// the reports that came from the address.
func (s *stores) bySealedReports(ctx context.Context) (rows, records int, err error) {
	opener, err := envelope.NewHybridOpener(s.keys)
	if err != nil {
		return 0, 0, err
	}
	var from []record.Lineage
	err = testbed.EachRecord(ctx, s.brokers, topics.Raw, func(r *kgo.Record) error {
		var raw record.Raw
		if record.Decode(r.Value, &raw) != nil {
			return nil
		}
		address, _, err := opener.Open(envelope.Associated{
			ReceivedAt: raw.ReceivedAt, EdgeID: raw.EdgeID, EdgeRegion: raw.EdgeRegion, SchemaFingerprint: raw.SchemaFingerprint, Simulated: raw.Simulated,
		}, raw.Envelope)
		if err == nil && address == s.address {
			from = append(from, record.Lineage{Partition: r.Partition, Offset: r.Offset})
		}
		return nil
	})
	if err != nil {
		return 0, 0, err
	}
	for _, at := range from {
		var n uint64
		const query = `SELECT count() FROM session_days WHERE (licence_id, session_id) IN (SELECT licence_id, session_id FROM receipts WHERE partition = {partition:Int32} AND offset = {offset:Int64})`
		err := s.conn.QueryRow(ctx, query, chgo.Named("partition", fmt.Sprint(at.Partition)), chgo.Named("offset", fmt.Sprint(at.Offset))).Scan(&n)
		if err != nil {
			return 0, 0, err
		}
		rows += int(n)
	}
	return rows, len(from), nil
}
