package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"rollcall/pkg/client"
	"rollcall/pkg/envelope"
	"rollcall/pkg/keystore"
	"rollcall/pkg/record"
	"rollcall/pkg/topics"
	"rollcall/scripts/canary"
	"rollcall/scripts/testbed"
)

const (
	sealedSeed = 4
	// sealedPartitions take what the gateway sends, and flips that become dead letters.
	sealedPartitions = 3
	// plainTopic gets the same reports unsealed: where the search must find everything.
	plainTopic = "sealed-control"
)

// proveSealed shows what sealing is worth to those who hold everything else: a broker's
// operator, a gateway's configuration and keys, and whoever changes a record.
func proveSealed(ctx context.Context, env *Environment) (string, bool, error) {
	s := &sealedRun{env: env, source: canary.NewSource(sealedSeed), bits: Choose(env, 1, 8)}
	var err error
	s.p, err = startPipeline(ctx, env, pipelineOptions{Name: "sealed", Simulated: true, Cluster: testbed.ClusterOptions{
		// One more for each flip that will be held: nothing passes it in its partition.
		Partitions: sealedPartitions + heldBytes,
		Settings:   testbed.Settings{"sink.flush_interval": "200ms"},
	}})
	if err != nil {
		return "", false, err
	}
	if err := s.report(ctx, Choose(env, 60, 400)); err != nil {
		return "", false, err
	}
	for _, part := range []func(context.Context) error{s.readTopic, s.operator, s.gateway, s.flips} {
		if err := part(ctx); err != nil {
			return "", false, err
		}
	}
	figure := fmt.Sprintf("of %d personal values of %d reports a broker's operator finds %d in %d records and %.1f MB of files (unsealed, the same search finds all %d); "+
		"a gateway's configuration and keys open %d of %d records (the anonymizer's all); %s",
		len(s.marks), len(s.reports), s.leaked, s.searched, float64(s.bytes)/1e6, s.control, s.openedByGateway, len(s.records), s.flipped)
	return figure, s.leaked == 0 && s.control == len(s.marks) && s.openedByGateway == 0 && s.missed == 0, nil
}

// sealedRun is one run of the proof.
type sealedRun struct {
	env    *Environment
	p      *pipeline
	source *canary.Source
	bits   int // flipped in each byte

	reports []sealedReport
	marks   []canary.Mark
	records []*kgo.Record // of reports.raw

	leaked, control int // personal values found
	searched        int // records
	bytes           int64
	openedByGateway int
	missed          int // flips that were not found
	flipped         string
}

type sealedReport struct {
	client.Report
	address netip.Addr
}

// report posts n reports whose personal values occur nowhere else, and returns when they have landed.
func (s *sealedRun) report(ctx context.Context, n int) error {
	s.env.Say("posting %d reports", n)
	var keys []string
	for i := range n {
		r := sealedReport{Report: dailyReport(s.source.Word(20)), address: s.source.IPv4()}
		if i%3 == 0 {
			r.address = s.source.IPv6()
		}
		r.Customer.CompanyName, r.Customer.Email = s.source.Token()+" 0046", s.source.Token()+"@example.org"
		s.reports = append(s.reports, r)
		if i%2 == 0 {
			keys = append(keys, r.Customer.LicenceKey)
		}
		name := func(what string) string { return fmt.Sprintf("%s of report %d", what, i) }
		s.marks = append(s.marks,
			canary.Text(name("company"), r.Customer.CompanyName), canary.Text(name("e-mail"), r.Customer.Email),
			canary.Text(name("licence key"), r.Customer.LicenceKey), canary.Address(name("address"), r.address))
	}
	if err := s.p.registerKeys(ctx, keys...); err != nil {
		return err
	}
	for _, r := range s.reports {
		answer, err := s.p.post(ctx, client.Request{Body: encoded(r.Report), Header: from(r.address.String())})
		if err != nil {
			return err
		}
		if answer.Status != 202 {
			return fmt.Errorf("a report was answered %d", answer.Status)
		}
	}
	for _, r := range s.reports {
		if err := s.p.awaitEnd(ctx, 2*time.Minute, r.Customer.LicenceKey, r.ReportID); err != nil {
			return err
		}
	}
	return nil
}

// readTopic keeps the records of reports.raw.
func (s *sealedRun) readTopic(ctx context.Context) error {
	err := s.p.eachRecord(ctx, topics.Raw, func(r *kgo.Record) error { s.records = append(s.records, r); return nil })
	if err == nil && len(s.records) < len(s.reports) {
		err = fmt.Errorf("%s has %d records of %d reports", topics.Raw, len(s.records), len(s.reports))
	}
	return err
}

// operator searches all that a broker has, and then the same with unsealed reports in
// a topic beside it: the search must find them.
func (s *sealedRun) operator(ctx context.Context) error {
	s.env.Say("searching what the broker has")
	searcher, err := canary.NewSearcher(s.marks)
	if err != nil {
		return fmt.Errorf("prepare the search: %w", err)
	}
	records, files, err := s.search(ctx, searcher)
	if err != nil {
		return err
	}
	found := records.Found()
	for mark := range files.Found() {
		found[mark] = true
	}
	s.leaked = len(found)
	for mark := range found {
		s.env.Say("found: %s", s.marks[mark].Name)
	}
	for _, f := range []*canary.Findings{records, files} {
		if n, expected, beyond := f.Beyond(searcher); beyond {
			s.leaked++
			s.env.Say("%d addresses of four bytes, chance would make %.1f", n, expected)
		}
	}
	s.bytes = files.Bytes

	if err := s.unsealed(ctx); err != nil {
		return err
	}
	if records, files, err = s.search(ctx, searcher); err != nil {
		return err
	}
	inFiles := files.Found()
	for mark := range records.Found() {
		if inFiles[mark] {
			s.control++
		}
	}
	return nil
}

// search looks through every record of every topic, and every file, of the broker.
func (s *sealedRun) search(ctx context.Context, searcher *canary.Searcher) (records, files *canary.Findings, err error) {
	records, files = &canary.Findings{}, &canary.Findings{}
	details, err := s.p.admin.ListTopicsWithInternal(ctx)
	if err != nil {
		return nil, nil, fmt.Errorf("list topics: %w", err)
	}
	s.searched = 0
	for _, topic := range details.Names() {
		err := s.p.eachRecord(ctx, topic, func(r *kgo.Record) error {
			s.searched++
			searcher.ScanBytes(r.Key, records)
			searcher.ScanBytes(r.Value, records)
			for _, header := range r.Headers {
				searcher.ScanBytes(header.Value, records)
			}
			return nil
		})
		if err != nil {
			return nil, nil, err
		}
	}
	return records, files, filepath.WalkDir(s.env.Path("sealed-kafka"), func(path string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // the broker renames and removes
		}
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		file, err := os.Open(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		return errors.Join(searcher.Scan(file, files), file.Close())
	})
}

// unsealed writes the reports as the previous release did, uncompressed.
func (s *sealedRun) unsealed(ctx context.Context) error {
	created, err := s.p.admin.CreateTopics(ctx, 1, 1, nil, plainTopic)
	if err == nil {
		err = created.Error()
	}
	if err != nil {
		return fmt.Errorf("make the topic %s: %w", plainTopic, err)
	}
	producer, err := kgo.NewClient(kgo.SeedBrokers(s.p.kafka.Brokers()...), kgo.ProducerBatchCompression(kgo.NoCompression()))
	if err != nil {
		return fmt.Errorf("connect to Kafka: %w", err)
	}
	defer producer.Close()
	for _, r := range s.reports {
		raw := record.Raw{ReceivedAt: time.Now().UnixMilli(), EdgeID: "edge", EdgeRegion: "local"}
		if raw.Envelope, err = (&envelope.Plain{}).Seal(envelope.Associated{}, r.address, encoded(r.Report)[10:]); err != nil {
			return err
		}
		value, err := record.Append(nil, &raw)
		if err != nil {
			return err
		}
		if err := producer.ProduceSync(ctx, &kgo.Record{Topic: plainTopic, Value: value}).FirstErr(); err != nil {
			return fmt.Errorf("write to %s: %w", plainTopic, err)
		}
	}
	return nil
}

// open tries every record of reports.raw with the keys of a directory, and returns how many open.
func (s *sealedRun) open(dir string) (int, error) {
	keys, err := keystore.Open(dir)
	if err != nil {
		return 0, err
	}
	opener, err := envelope.NewHybridOpener(keys)
	if err != nil {
		return 0, err
	}
	opened := 0
	for _, r := range s.records {
		if _, err := openRaw(opener, r.Value); err == nil {
			opened++
		}
	}
	return opened, nil
}

// unseal returns the body in a record of reports.raw, opened with the keys of the
// proof's keystore; nothing where it does not open.
func (p *pipeline) unseal(value []byte) []byte {
	keys, err := keystore.Open(p.cluster.KeysDir(""))
	if err != nil {
		return nil
	}
	opener, err := envelope.NewHybridOpener(keys)
	if err != nil {
		return nil
	}
	body, err := openRaw(opener, value)
	if err != nil {
		return nil
	}
	return body
}

// openRaw returns the report's body in a record of reports.raw.
func openRaw(opener envelope.Opener, value []byte) ([]byte, error) {
	var raw record.Raw
	if err := record.Decode(value, &raw); err != nil {
		return nil, err
	}
	_, body, err := opener.Open(envelope.Associated{
		ReceivedAt: raw.ReceivedAt, EdgeID: raw.EdgeID, EdgeRegion: raw.EdgeRegion, SchemaFingerprint: raw.SchemaFingerprint, Simulated: raw.Simulated,
	}, raw.Envelope)
	return body, err
}
