package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"rollcall/pkg/keystore"
	"rollcall/pkg/topics"
	"rollcall/scripts/testbed"
)

// faults are all that is caused, in an order in which none hides another's alerts: the
// budgets first, which stay burnt for long; what cannot be mended last.
func (a *alertsRun) faults() []fault {
	const c, w = "/critical", "/warning"
	const unclean, bytes = "unclean.leader.election.enable", "retention.bytes"
	none := func(context.Context) error { return nil }
	return []fault{
		{what: "no licence is registered", alerts: []string{"RollcallRegistryEmpty" + w}, within: time.Minute, cause: none, mend: a.register},
		{what: "all is well", cause: func(ctx context.Context) error { return a.calm(ctx) }},
		{what: "Kafka is stopped", within: 45 * time.Second, cause: a.kafka.Stop, mend: a.kafkaBack,
			alerts: []string{"RollcallBrokerAway" + c, "RollcallAcknowledgementBudget" + c, "RollcallAcknowledgementBudget" + w, "RollcallCommitFailing" + w}},
		{what: "nobody may write to usage any more", within: time.Minute, cause: a.forbidUsage, mend: a.allowUsage,
			alerts: []string{"RollcallBrokerAway" + c, "RollcallLag" + w}},
		{what: "ClickHouse is killed", within: time.Minute, cause: a.killStore,
			alerts: []string{"RollcallClickHouseRefusing" + c, "RollcallLag" + w, "RollcallRollupBehind" + w, "RollcallAuditStale" + w}},
		{what: "ClickHouse comes back: what waited lands late", within: 2 * time.Minute, cause: a.storeBack,
			alerts: []string{"RollcallFreshnessBudget" + c, "RollcallFreshnessBudget" + w}, mend: a.recover},
		{what: "requests with unknown countries, and one in five unreadable, from unknown licences, too old", within: 2 * time.Minute, cause: a.badLoad,
			alerts: []string{"RollcallReportsRefused" + w, "RollcallRateLimited" + w, "RollcallDeadLetters" + w, "RollcallCountriesUnknown" + w}, mend: a.goodLoad},
		{what: "a report of a newer client", within: 20 * time.Second, cause: a.newerReport, alerts: []string{"RollcallUnknownSchema" + w}},
		{what: "somebody writes to reports.raw", within: 20 * time.Second, cause: a.forgedRecord, alerts: []string{"RollcallReportsDamaged" + c}},
		{what: "the auditor's certificate is renewed by one that ends soon", within: 40 * time.Second, cause: a.renewCertificate(12 * time.Hour),
			alerts: []string{"RollcallCertificateExpires" + c, "RollcallCertificateExpires" + w}, mend: a.renewCertificate(60 * 24 * time.Hour)},
		{what: "clients that send slowly fill the gateway", within: 20 * time.Second, cause: a.slowClients, alerts: []string{"RollcallGatewaySaturated" + w}},
		{what: "a setting of reports.raw is weakened", within: time.Minute, cause: a.set(topics.Raw, unclean, "true"), alerts: []string{"RollcallTopicWeak" + c}, mend: a.strengthen(topics.Raw, unclean, "false")},
		{what: "a topic behind it is bounded in bytes", within: time.Minute, cause: a.set(topics.Usage, bytes, "1099511627776"), alerts: []string{"RollcallTopicWeak" + c}, mend: a.strengthen(topics.Usage, bytes, "-1")},
		{what: "the audit ends", within: 20 * time.Second, cause: a.auditor.Stop, alerts: []string{"RollcallServiceDown" + c}, mend: a.auditor.Start},
		{what: "one of two enrichers has a setting that it refuses", within: 40 * time.Second, cause: a.crashLoop, alerts: []string{"RollcallRestarts" + w}, mend: a.endCrashLoop},
		{what: "an enricher with little memory", within: 40 * time.Second, cause: a.starve, alerts: []string{"RollcallMemory" + w}, mend: a.feed},
		{what: "an enricher is killed again and again", within: 15 * time.Second, cause: a.restarts, alerts: []string{"RollcallRestarts" + c}},
		{what: "nobody makes keys, and an old one stays", within: 100 * time.Second, cause: a.neglectKeys,
			alerts: []string{"RollcallKeysRunOut" + w, "RollcallKeysOverdue" + c}},
		{what: "today's sealing key is gone", within: 40 * time.Second, cause: a.loseSealingKey, alerts: []string{"RollcallKeysMissing" + c}, mend: a.cluster.ExportKeys},
		{what: "today's key of addresses is destroyed", within: 40 * time.Second, cause: a.destroyDay, alerts: []string{"RollcallKeyDestroyed" + w}},
		{what: "the anonymizer stops, and its group is moved past what it had not read", within: 20 * time.Second, cause: a.skipReports,
			alerts: []string{"RollcallServiceDown" + c}, mend: a.startAnonymizer},
		{what: "reports were skipped", within: 100 * time.Second, cause: none, alerts: []string{"RollcallReceiptsMissing" + c}, mend: a.rewind},
		{what: "a record of a newer release in reports.clean", within: 30 * time.Second, cause: a.newerRecord, alerts: []string{"RollcallPartitionHeld" + c}},
		{what: "terms of a newer release in the registry", within: 30 * time.Second, cause: a.newerTerms, alerts: []string{"RollcallRegistryUnreadable" + c}},
		{what: "a tenth of the reports come", within: 90 * time.Second, cause: a.loadOf(alertsRate / 10), alerts: []string{"RollcallReportsFewer" + w}},
		{what: "no report comes", within: 2 * time.Minute, cause: a.loadOf(0), alerts: []string{"RollcallNoReports" + c}},
	}
}

func (a *alertsRun) register(ctx context.Context) error { return a.registerKeys(ctx, alertsKey) }

func (a *alertsRun) killStore(context.Context) error {
	a.storeKilled = time.Now()
	a.clickhouse.Kill()
	return nil
}

// lateAfter is so much longer than the minute within which reports shall be there for
// queries that of what waits a good part is late.
const lateAfter = 100 * time.Second

// storeBack starts ClickHouse again once what waits for it is late.
func (a *alertsRun) storeBack(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(time.Until(a.storeKilled.Add(lateAfter))):
	}
	return a.clickhouse.Restart(ctx)
}

// recover waits until what waited has landed and nothing alerts but what looks back.
func (a *alertsRun) recover(ctx context.Context) error {
	return a.calm(ctx, "RollcallAcknowledgementBudget/critical", "RollcallAcknowledgementBudget/warning",
		"RollcallFreshnessBudget/critical", "RollcallFreshnessBudget/warning")
}

func (a *alertsRun) badLoad(context.Context) error {
	a.load.nowhere.Store(true)
	a.load.junk.Store(20)
	a.load.strangers.Store(30)
	a.load.early.Store(10)
	return nil
}

func (a *alertsRun) goodLoad(context.Context) error {
	a.load.nowhere.Store(false)
	a.load.junk.Store(0)
	a.load.strangers.Store(0)
	a.load.early.Store(0)
	return nil
}

func (a *alertsRun) loadOf(rate int64) func(context.Context) error {
	return func(context.Context) error {
		a.load.rate.Store(rate)
		return nil
	}
}

// unknownRecord is the head of a record whose schema nobody knows.
func unknownRecord() []byte { return append([]byte{0xc3, 0x01}, "unknown schema of tomorrow"...) }

func (a *alertsRun) newerReport(ctx context.Context) error {
	request := a.load.request()
	request.Body = unknownRecord()
	answer, err := a.post(ctx, request)
	if err == nil && answer.Status != 202 {
		err = fmt.Errorf("answered with %d", answer.Status)
	}
	return err
}

func (a *alertsRun) write(ctx context.Context, topic string, key, value []byte) error {
	return a.client.ProduceSync(ctx, &kgo.Record{Topic: topic, Key: key, Value: value}).FirstErr()
}

func (a *alertsRun) forgedRecord(ctx context.Context) error {
	return a.write(ctx, topics.Raw, nil, []byte("not a record"))
}

func (a *alertsRun) newerRecord(ctx context.Context) error {
	return a.write(ctx, topics.Clean, nil, unknownRecord())
}

func (a *alertsRun) newerTerms(ctx context.Context) error {
	id := a.licenceID("ALERTS-LICENCE-0047")
	return a.write(ctx, topics.Licences, append(id[:], 0, 0, 0x40, 0), unknownRecord())
}

// slowClients send all but the end of as many bodies as the gateway has memory for.
func (a *alertsRun) slowClients(ctx context.Context) error {
	const size = 250_000
	body := make([]byte, size-1)
	for range 24 {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", hostOf(a.cluster.Gateways()[0]))
		if err != nil {
			return fmt.Errorf("connect slowly: %w", err)
		}
		a.env.OnClose(func(context.Context) error { _ = conn.Close(); return nil })
		head := fmt.Sprintf("POST /v1/reports HTTP/1.1\r\nHost: gateway\r\nContent-Type: application/avro\r\nContent-Length: %d\r\n\r\n", size)
		go func() { // the gateway may refuse and hang up half-way: that is what shall happen
			_, _ = conn.Write(append([]byte(head), body...))
		}()
	}
	return nil
}

// renewCertificate replaces the files alone: the auditor is to notice by itself.
func (a *alertsRun) renewCertificate(life time.Duration) func(context.Context) error {
	return func(context.Context) error { return a.tls.Renew(life) }
}

// ends waits until an alert does, whose fault is mended.
func (a *alertsRun) ends(ctx context.Context, id string) error {
	ending, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	err := until(ending, 250*time.Millisecond, func() (bool, error) {
		firing, err := a.prometheus.firing(ending)
		_, on := firing[id]
		return !on, err
	})
	if err != nil {
		a.wrong("%s does not end although its fault is mended: %v", id, err)
	}
	return ctx.Err()
}

func (a *alertsRun) enricher() *testbed.Process { return a.cluster.Service(testbed.Enricher)[0] }

func (a *alertsRun) starve(ctx context.Context) error {
	if err := os.WriteFile(a.lowMemory, nil, 0o600); err != nil {
		return fmt.Errorf("starve the enricher: %w", err)
	}
	a.enricher().Kill()
	return a.enricher().Start(ctx)
}

func (a *alertsRun) feed(ctx context.Context) error {
	if err := os.Remove(a.lowMemory); err != nil {
		return fmt.Errorf("feed the enricher: %w", err)
	}
	a.enricher().Kill()
	return a.enricher().Start(ctx)
}

// crashLoop gives an enricher a setting that there is none of, and starts it again and
// again as Kubernetes would: no life of it lasts until it is scraped.
func (a *alertsRun) crashLoop(context.Context) error {
	second := a.cluster.Service(testbed.Enricher)[1]
	second.Kill()
	second.Become(a.enricherBinary, "--enricher.nonsense=1")
	a.looping, a.looped = make(chan struct{}), make(chan struct{})
	go func() {
		defer close(a.looped)
		ticker := time.NewTicker(2 * time.Second)
		defer ticker.Stop()
		for {
			if err := second.Launch(); err != nil {
				a.env.Say("amiss: %v", err)
			}
			select {
			case <-a.looping:
				return
			case <-ticker.C:
			}
		}
	}()
	return nil
}

func (a *alertsRun) endCrashLoop(ctx context.Context) error {
	close(a.looping)
	<-a.looped
	second := a.cluster.Service(testbed.Enricher)[1]
	second.Kill()
	second.Become(a.enricherBinary)
	return second.Start(ctx)
}

// restarts kills the enricher four times, each life long enough to be scraped.
func (a *alertsRun) restarts(ctx context.Context) error {
	for range 4 {
		a.enricher().Kill()
		if err := a.enricher().Launch(); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(3 * scrapePeriod):
		}
	}
	return a.enricher().AwaitReady(ctx)
}

// neglectKeys leaves the gateway with today's key alone, and the anonymizer with one that
// should have been destroyed.
func (a *alertsRun) neglectKeys(context.Context) error {
	for days := 1; days <= 3; days++ {
		path := a.keyFile(testbed.Gateway, keystore.Sealing, time.Now().AddDate(0, 0, days))
		if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("take keys away: %w", err)
		}
	}
	today, err := os.ReadFile(a.keyFile(testbed.Anonymizer, keystore.Day, time.Now()))
	if err != nil {
		return fmt.Errorf("read a key: %w", err)
	}
	if err := os.WriteFile(a.keyFile(testbed.Anonymizer, keystore.Day, time.Now().AddDate(0, 0, -40)), today, 0o600); err != nil {
		return fmt.Errorf("leave an old key: %w", err)
	}
	return nil
}

func (a *alertsRun) keyFile(service string, class keystore.Class, day time.Time) string {
	return filepath.Join(a.cluster.KeysDir(service), string(class), keystore.DayEpoch(day)+".key")
}

func (a *alertsRun) loseSealingKey(context.Context) error {
	return os.Remove(a.keyFile(testbed.Gateway, keystore.Sealing, time.Now()))
}

func (a *alertsRun) destroyDay(ctx context.Context) error {
	if _, err := a.cluster.Command(ctx, "keys", "destroy", "day", keystore.DayEpoch(time.Now()), "--yes"); err != nil {
		return err
	}
	return a.cluster.ExportKeys(ctx)
}

func (a *alertsRun) startAnonymizer(ctx context.Context) error {
	return a.cluster.Service(testbed.Anonymizer)[0].Start(ctx)
}
