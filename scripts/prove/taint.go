package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/errgroup"

	"rollcall/pkg/envelope"
	"rollcall/pkg/keystore"
	"rollcall/pkg/record"
	"rollcall/pkg/report"
	"rollcall/pkg/topics"
	"rollcall/scripts/testbed"
	"rollcall/scripts/testbed/otlp"
)

// proveTaint lets a fleet with a mark in everything that it can choose call home, lets
// everything go wrong meanwhile, replays it, and looks for the marks in every place.
// Then the same with a build that leaks on purpose: the search has to find each mark
// wherever it was put.
func proveTaint(ctx context.Context, env *Environment) (string, bool, error) {
	fleet, err := newBaits(uint64(time.Now().UnixNano()), Choose(env, 1, 4))
	if err != nil {
		return "", false, err
	}
	guarded, err := runTaint(ctx, env, fleet, "taint", "")
	if err != nil {
		return "", false, err
	}
	figure, clean, err := guarded.judge(ctx)
	guarded.p.end()
	if err != nil {
		return "", false, err
	}
	env.Say("%s", figure)
	leaky, err := buildLeaky(ctx, env)
	if err != nil {
		return figure, false, err
	}
	control, err := runTaint(ctx, env, fleet, "control", leaky)
	if err != nil {
		return figure, false, fmt.Errorf("control: %w", err)
	}
	found, complete := control.judgeControl()
	control.p.end()
	return figure + "; control: " + found, clean && complete, nil
}

// taintRun is one fleet through one pipeline.
type taintRun struct {
	env      *Environment
	p        *pipeline
	name     string
	leaky    bool
	fleet    *baits
	receiver *otlp.Receiver
	search   *search
	witness  string // the gateway's region: crosses everything, and must be found
	requests atomic.Int64
	mu       sync.Mutex
	outputs  strings.Builder // of commands, and answers
}

func runTaint(ctx context.Context, env *Environment, fleet *baits, name, binary string) (*taintRun, error) {
	receiver, err := otlp.Start()
	if err != nil {
		return nil, err
	}
	env.OnClose(func(context.Context) error { return receiver.Close() })
	t := &taintRun{env: env, fleet: fleet, name: name, leaky: binary != "", receiver: receiver, witness: "witness-" + strings.ToLower(fleet.source.Token())}
	if t.search, err = newSearch(fleet); err != nil {
		return nil, err
	}
	copies := map[string]int{} // two of each hand partitions over when one is killed
	for _, service := range testbed.ServiceNames() {
		copies[service] = 1
		if !t.leaky {
			copies[service] = Choose(env, 1, 2)
		}
	}
	t.p, err = startPipeline(ctx, env, pipelineOptions{
		Name: name, Simulated: true, Kafka: testbed.KafkaOptions{Proxied: true},
		Cluster: testbed.ClusterOptions{
			Binary: binary, Partitions: 2, Copies: copies,
			Settings: testbed.Settings{
				"telemetry.otlp_endpoint": receiver.Address(), "telemetry.otlp_insecure": true, "telemetry.traces_sample_ratio": 1,
				"telemetry.log_level": "debug",
			},
			ServiceSettings: map[string]testbed.Settings{
				testbed.Gateway: {"gateway.edge_region": t.witness}, testbed.Sink: eagerRollup()[testbed.Sink],
			},
		},
	})
	if err != nil {
		return nil, err
	}
	if err := t.p.registerKeys(ctx, fleet.licences()...); err != nil {
		return nil, err
	}
	env.Say("%d requests with %d marks, in %d forms", len(fleet.all), len(fleet.marks), t.search.searcher.Forms())
	if t.leaky {
		err = t.sendAll(ctx, fleet.all)
	} else {
		err = t.misfortunes(ctx)
	}
	if err != nil {
		return nil, err
	}
	return t, t.lookEverywhere(ctx)
}

// end kills what the pipeline runs: the next one needs the room.
func (p *pipeline) end() {
	p.cluster.Kill()
	p.kafka.Kill()
	p.clickhouse.Kill()
}

// sendAll sends each bait until it gets the answer that it is to get.
func (t *taintRun) sendAll(ctx context.Context, some []*bait) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(4)
	for _, b := range some {
		switch {
		case !b.direct:
			group.Go(func() error { return t.send(ctx, b) })
		case !t.leaky: // what leaks is what a gateway gets to see
			group.Go(func() error { return t.produce(ctx, b) })
		}
	}
	return group.Wait()
}

func (t *taintRun) send(ctx context.Context, b *bait) error {
	client := &http.Client{Timeout: baitTimeout}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	last := "no answer"
	err := until(ctx, 250*time.Millisecond, func() (bool, error) {
		gateways := t.p.cluster.Gateways()
		request, err := b.request(gateways[int(t.requests.Add(1))%len(gateways)])
		if err != nil {
			return false, err
		}
		response, err := client.Do(request.WithContext(ctx))
		if err != nil {
			return false, nil // killed, or about to be started again
		}
		defer response.Body.Close()
		body, err := io.ReadAll(io.LimitReader(response.Body, 8<<20))
		if err != nil {
			return false, nil
		}
		last = fmt.Sprint(response.StatusCode)
		t.noteAnswer(b, response, body)
		switch {
		case b.answered(response.StatusCode):
			return true, nil
		case response.StatusCode >= 500 || response.StatusCode == http.StatusTooManyRequests:
			return false, nil
		}
		return false, fmt.Errorf("bait %s was answered %d", b.name, response.StatusCode)
	})
	if err != nil {
		return fmt.Errorf("bait %s, last answer %s: %w", b.name, last, err)
	}
	return nil
}

// produce seals a bait as a gateway would and writes it to the topic: what no gateway
// lets through, and another release, or somebody else with sealing keys, might.
func (t *taintRun) produce(ctx context.Context, b *bait) error {
	keys, err := keystore.OpenFor(t.p.cluster.KeysDir(testbed.Gateway), keystore.ForGateway)
	if err != nil {
		return err
	}
	sealer, err := envelope.NewHybridSealer(keys)
	if err != nil {
		return err
	}
	raw := record.Raw{ReceivedAt: time.Now().UnixMilli(), EdgeID: "edge", EdgeRegion: t.witness, SchemaFingerprint: report.Newest()}
	raw.Envelope, err = sealer.Seal(envelope.Associated{
		ReceivedAt: raw.ReceivedAt, EdgeID: raw.EdgeID, EdgeRegion: raw.EdgeRegion, SchemaFingerprint: raw.SchemaFingerprint,
	}, b.address, b.body)
	if err != nil {
		return err
	}
	value, err := record.Append(nil, &raw)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	t.requests.Add(1)
	if err := t.p.client.ProduceSync(ctx, &kgo.Record{Topic: topics.Raw, Value: value}).FirstErr(); err != nil {
		return fmt.Errorf("bait %s: %w", b.name, err)
	}
	return nil
}

// noteAnswer keeps what was answered, for the search; but for the report's own id, which
// a 202 tells the sender on purpose.
func (t *taintRun) noteAnswer(b *bait, response *http.Response, body []byte) {
	text := fmt.Sprint(response.Status, response.Header, string(body))
	if response.StatusCode == http.StatusAccepted {
		text = strings.ReplaceAll(text, b.report.ReportID.String(), "")
	}
	t.note(text)
}

// command runs a command and keeps what it says. A status other than 0 is no failure
// of the proof: what it prints is what matters.
func (t *taintRun) command(ctx context.Context, arguments ...string) {
	output, err := t.p.cluster.Command(ctx, arguments...)
	t.note(fmt.Sprint(output, err))
}

// note adds to the outputs, one at a time.
func (t *taintRun) note(text string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.outputs.WriteString(text + "\n")
}

// lookEverywhere ends the services and searches every place.
func (t *taintRun) lookEverywhere(ctx context.Context) error {
	// All that is computed from reports is a place too.
	if err := t.p.answered(ctx, settleLimit); err != nil {
		return err
	}
	for _, arguments := range [][]string{
		{"audit"}, {"topics", "check"}, {"licences", "list"}, {"keys", "list"}, {"config"}, {"migrate", "status"},
	} {
		t.command(ctx, arguments...)
	}
	for _, process := range t.p.cluster.All() {
		page, err := readPage(ctx, process.URL("/metrics"))
		if err != nil {
			return err
		}
		t.search.bytes("metrics pages", page)
		for _, path := range []string{"/readyz", "/livez"} {
			if page, err := readPage(ctx, process.URL(path)); err == nil {
				t.search.bytes("metrics pages", page)
			}
		}
	}
	if err := t.p.cluster.Stop(ctx); err != nil { // what a service still holds it exports at its end
		return err
	}
	for _, body := range t.receiver.Bodies() {
		t.search.bytes("exported traces and metrics", body)
	}
	t.search.bytes("answers and outputs", []byte(t.outputs.String()))
	for _, process := range t.p.cluster.All() {
		if err := t.search.file("log of "+process.Name(), process.LogPath(), false); err != nil {
			return err
		}
	}
	return t.lookInStores(ctx)
}

func (t *taintRun) lookInStores(ctx context.Context) error {
	t.env.Say("searching Kafka")
	names, err := t.p.admin.ListTopicsWithInternal(ctx)
	if err != nil {
		return fmt.Errorf("list topics: %w", err)
	}
	records := 0
	for _, topic := range names.Names() {
		n, err := t.search.topic(ctx, t.p, topic)
		if err != nil {
			return err
		}
		records += n
	}
	t.env.Say("searching ClickHouse")
	if err := t.p.conn.Exec(ctx, "SYSTEM FLUSH LOGS"); err != nil {
		return fmt.Errorf("flush ClickHouse's logs: %w", err)
	}
	columns, unreadable, err := t.search.clickhouse(ctx, t.p)
	if err != nil {
		return err
	}
	if slices.Contains(unreadable, "query_log") || slices.Contains(unreadable, "part_log") || slices.Contains(unreadable, "errors") {
		return fmt.Errorf("ClickHouse's logs cannot be read: %v", unreadable)
	}
	if err := t.emptyTables(ctx); err != nil {
		return err
	}
	t.env.Say("%d records of %d topics, %d columns; system tables that need what is not there: %s", records, len(names), columns, strings.Join(unreadable, " "))
	if err := t.p.clickhouse.Stop(ctx); err != nil {
		return err
	}
	if err := t.search.directory("Kafka's files", t.env.Path(t.name+"-kafka")); err != nil {
		return err
	}
	return t.search.directory("ClickHouse's files", t.env.Path(t.name+"-clickhouse"))
}

// emptyTables fails where a table had nothing to search, but for those that no report
// fills.
func (t *taintRun) emptyTables(ctx context.Context) error {
	empty, err := t.p.texts(ctx, `SELECT concat(database, '.', name) FROM system.tables
		WHERE startsWith(database, 'rollcall') AND endsWith(engine, 'MergeTree') AND total_rows = 0 AND name NOT LIKE '%staging%' AND name NOT IN ('quarantine_history', 'access_log') ORDER BY 1`)
	if err == nil && len(empty) > 0 {
		err = fmt.Errorf("tables had nothing to search: %s", strings.Join(empty, " "))
	}
	return err
}

// weakPlaces returns the places where chance does not explain how often addresses of
// four bytes were found, and the most that were found in one.
func (s *search) weakPlaces() (beyond []string, most int64) {
	for place, f := range s.places {
		found, expected, isBeyond := f.Beyond(s.searcher)
		most = max(most, found)
		if isBeyond {
			beyond = append(beyond, fmt.Sprintf("%s: IPv4 addresses in binary or as numbers %d times, %.1f expected by chance", place, found, expected))
		}
	}
	slices.Sort(beyond)
	return beyond, most
}
