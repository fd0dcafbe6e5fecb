package gateway

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"rollcall/pkg/envelope"
	"rollcall/pkg/topics"
)

const keyProduce = 0

// hold keeps the broker from acknowledging until release is called. It tells on
// held that a produce request has come.
func (b *bench) hold() (held <-chan struct{}, release func()) {
	came, free := make(chan struct{}, 100), make(chan struct{})
	b.cluster.ControlKey(keyProduce, func(kmsg.Request) (kmsg.Response, error, bool) {
		b.cluster.KeepControl()
		came <- struct{}{}
		b.cluster.SleepControl(func() { <-free })
		return nil, nil, false
	})
	release = sync.OnceFunc(func() { close(free) })
	b.t.Cleanup(release)
	return came, release
}

// refuseProduce makes the broker answer every produce request with that error.
func (b *bench) refuseProduce(code *kerr.Error) (stop func()) {
	on := true
	var mu sync.Mutex
	b.cluster.ControlKey(keyProduce, func(request kmsg.Request) (kmsg.Response, error, bool) {
		b.cluster.KeepControl()
		mu.Lock()
		defer mu.Unlock()
		produce, ok := request.(*kmsg.ProduceRequest)
		if !ok || !on {
			return nil, nil, false
		}
		response, _ := produce.ResponseKind().(*kmsg.ProduceResponse)
		for _, topic := range produce.Topics {
			answer := kmsg.NewProduceResponseTopic()
			answer.Topic, answer.TopicID = topic.Topic, topic.TopicID
			for _, partition := range topic.Partitions {
				one := kmsg.NewProduceResponseTopicPartition()
				one.Partition, one.ErrorCode = partition.Partition, code.Code
				answer.Partitions = append(answer.Partitions, one)
			}
			response.Topics = append(response.Topics, answer)
		}
		return response, nil, true
	})
	return func() {
		mu.Lock()
		defer mu.Unlock()
		on = false
	}
}

// No 202 before the broker's acknowledgement: while it is withheld, no answer comes.
func TestNoAnswerBeforeTheAcknowledgement(t *testing.T) {
	b := start(t)
	held, release := b.hold()
	answered := b.postAside(avroOf(t, testReport()))
	<-held // the broker has the record, and has not said so
	select {
	case got := <-answered:
		t.Fatalf("answered %d before the acknowledgement", got.status)
	case <-time.After(100 * time.Millisecond):
	}
	release()
	if got := <-answered; got.status != http.StatusAccepted {
		t.Errorf("%d %s", got.status, got.body)
	}
	b.records(1)
}

// A broker that refuses for good, or never answers, is no 202.
func TestNoAcceptanceWithoutAcknowledgement(t *testing.T) {
	for name, code := range map[string]*kerr.Error{
		"not allowed": kerr.TopicAuthorizationFailed, "too few in-sync replicas": kerr.NotEnoughReplicas, "too large": kerr.MessageTooLarge,
	} {
		t.Run(name, func(t *testing.T) {
			b := start(t, impatient)
			b.refuseProduce(code)
			got := b.post(avroOf(t, testReport()))
			if got.status != http.StatusServiceUnavailable || got.problem.Reason != reasonUnacknowledged || got.header.Get("Retry-After") == "" {
				t.Errorf("%d %s", got.status, got.body)
			}
			b.records(0)
		})
	}
}

func TestBrokerGone(t *testing.T) {
	b := start(t, impatient)
	b.cluster.Close()
	got := b.post(avroOf(t, testReport()))
	if got.status != http.StatusServiceUnavailable || got.problem.Reason != reasonUnacknowledged || got.header.Get("Retry-After") == "" {
		t.Errorf("%d %s", got.status, got.body)
	}
	// From now on nobody waits in vain.
	for range 100 {
		got := b.post(avroOf(t, testReport()))
		if got.status != http.StatusServiceUnavailable || got.header.Get("Retry-After") == "" {
			t.Fatalf("%d %s", got.status, got.body)
		}
	}
	if n := b.service.instruments.outcomes[reasonBrokerDown].Load(); n < 90 {
		t.Errorf("%d of 100 were refused at once", n)
	}
}

// After an outage the first acknowledgement lets everybody in again.
func TestBrokerComesBack(t *testing.T) {
	b := start(t, config(func(c *Config) { c.AckTimeout = 2 * time.Second }))
	back := b.refuseProduce(kerr.NotEnoughReplicas)
	if got := b.post(avroOf(t, testReport())); got.status != http.StatusServiceUnavailable {
		t.Fatal(got.status)
	}
	back()
	deadline := time.Now().Add(time.Minute)
	for b.post(avroOf(t, testReport())).status != http.StatusAccepted {
		if time.Now().After(deadline) {
			t.Fatal("still refused long after the broker came back")
		}
	}
	for range 20 {
		if got := b.post(avroOf(t, testReport())); got.status != http.StatusAccepted {
			t.Fatalf("%d %s after the broker came back", got.status, got.body)
		}
	}
}

// What is no report cannot find out whether the broker is back, so it must not use up
// the probe that a report could be.
func TestOnlyReportsProbe(t *testing.T) {
	b := start(t)
	b.service.broker.down.Store(true)
	b.service.broker.nextProbe.Store(0) // due
	if got := b.post([]byte("no report")); got.status != http.StatusBadRequest {
		t.Errorf("%d %s", got.status, got.body)
	}
	if got := b.post(avroOf(t, testReport())); got.status != http.StatusAccepted {
		t.Errorf("%d %s: the probe was used up", got.status, got.body)
	}
}

// Who hangs up while the broker has not acknowledged is counted as that. When the time for
// that is over, the broker counts as down although nobody has waited so long.
func TestClientsThatWaitTooShortly(t *testing.T) {
	b := start(t, impatient)
	held, release := b.hold()
	ctx, hangUp := context.WithCancel(t.Context())
	gone := make(chan error, 1)
	go func() {
		response, err := b.http.Do(b.request(avroOf(t, testReport())).WithContext(ctx))
		if err == nil {
			err = response.Body.Close()
		}
		gone <- err
	}()
	<-held
	hangUp()
	if err := <-gone; !errors.Is(err, context.Canceled) {
		t.Fatalf("answered before the acknowledgement: %v", err)
	}
	outcomes := b.service.instruments.outcomes
	b.eventually("the hang-up is counted", func() bool { return outcomes[reasonClientGone].Load() == 1 })
	b.eventually("the broker counts as down", b.service.broker.down.Load)
	for reason, n := range outcomes {
		if n := n.Load(); reason != reasonClientGone && n != 0 {
			t.Errorf("%d counted as %q", n, reason)
		}
	}
	release()
	b.eventually("it acknowledges again", func() bool { return !b.service.broker.down.Load() })
}

func TestBacklog(t *testing.T) {
	b := start(t, config(func(c *Config) { c.MaxBufferedRecords = 1 }))
	held, release := b.hold()
	first := make(chan int, 1)
	go func() {
		response, err := b.http.Do(b.request(avroOf(t, testReport())))
		if err != nil {
			t.Error(err)
			close(first)
			return
		}
		first <- readReply(t, response).status
	}()
	<-held
	if got := b.post(avroOf(t, testReport())); got.status != http.StatusServiceUnavailable || got.problem.Reason != reasonBacklog || got.header.Get("Retry-After") == "" {
		t.Errorf("%d %s", got.status, got.body)
	}
	release()
	if status := <-first; status != http.StatusAccepted {
		t.Errorf("the first report: %d", status)
	}
	// A full buffer is no sign of a broker that is gone.
	if got := b.post(avroOf(t, testReport())); got.status != http.StatusAccepted {
		t.Errorf("%d %s", got.status, got.body)
	}
}

type brokenSealer struct{}

func (brokenSealer) Ready(time.Time) error { return nil }

func (brokenSealer) Seal(envelope.Associated, netip.Addr, []byte) ([]byte, error) {
	return nil, errors.New("no key")
}

func TestSealingFails(t *testing.T) {
	b := start(t, func(_ *bench, s *setup) { s.sealer = brokenSealer{} })
	if got := b.post(avroOf(t, testReport())); got.status != http.StatusServiceUnavailable || got.problem.Reason != reasonSealing || got.header.Get("Retry-After") == "" {
		t.Errorf("%d %s", got.status, got.body)
	}
	b.records(0)
}

// One probe an interval while the broker is down, and no more.
func TestProbes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &broker{now: time.Now}
		b.acknowledged()
		time.Sleep(time.Second)
		sent := time.Now()
		time.Sleep(time.Second)
		b.acknowledged()
		b.unacknowledged(sent)
		if !b.allows(time.Now()) {
			t.Error("one lost record among acknowledged ones closes the door")
		}
		time.Sleep(time.Second)
		b.unacknowledged(time.Now())
		if b.allows(time.Now()) {
			t.Error("the door stays open although nothing is acknowledged")
		}
		probes := 0
		for range 100 {
			time.Sleep(probeInterval / 10)
			for range 5 {
				if b.allows(time.Now()) {
					probes++
				}
			}
		}
		if probes != 10 {
			t.Errorf("%d probes in 10 intervals", probes)
		}
		b.acknowledged()
		if !b.allows(time.Now()) {
			t.Error("the door stays closed after an acknowledgement")
		}
	})
}

func TestReadiness(t *testing.T) {
	b := start(t)
	admin := kadm.NewClient(b.service.broker.client)
	if why := b.service.broker.probe(t.Context(), admin); why != "" {
		t.Errorf("unready although all is well: %s", why)
	}
	if _, err := admin.DeleteTopics(t.Context(), topics.Raw); err != nil {
		t.Fatal(err)
	}
	if why := b.service.broker.probe(t.Context(), admin); why != "topic reports.raw is not there" {
		t.Errorf("without its topic: %q", why)
	}
	b.cluster.Close()
	if why := b.service.broker.probe(t.Context(), admin); why != "no broker answers" {
		t.Errorf("without a broker: %q", why)
	}
}

// A topic that keeps fewer copies than asked for would lose what was acknowledged.
func TestReadinessAsksForDurability(t *testing.T) {
	b := start(t)
	admin := kadm.NewClient(b.service.broker.client)
	if why, err := b.service.broker.weakness(t.Context(), admin); err != nil || why != "" {
		t.Errorf("unready although the topic is as it should be: %s, %v", why, err)
	}
	strict := &broker{client: b.service.broker.client, topics: topics.Options{Partitions: 2, ReplicationFactor: 3, MinInSync: 2}}
	if why, err := strict.weakness(t.Context(), admin); err != nil || why != "reports.raw: replication.factor is 1, want 3" {
		t.Errorf("one copy where three are asked for: %q, %v", why, err)
	}
	more := &broker{client: b.service.broker.client, topics: topics.Options{Partitions: 9, ReplicationFactor: 1, MinInSync: 1}}
	if why, err := more.weakness(t.Context(), admin); err != nil || why != "" {
		t.Errorf("too few partitions lose nothing, but: %s, %v", why, err)
	}
}

// Through an outage a gateway stays ready, so that whoever reports hears when to come
// again; one that never saw a broker does not become ready.
func TestReadyThroughAnOutage(t *testing.T) {
	b := start(t, impatient)
	b.eventually("it is ready", b.ready)
	b.cluster.Close()
	b.eventually("it says that the broker is away", func() bool { return b.checks.Failing()[conditionName] != "" })
	if !b.ready() {
		t.Error("it turned unready")
	}
	if got := b.post(avroOf(t, testReport())); got.status != http.StatusServiceUnavailable || got.header.Get("Retry-After") == "" {
		t.Errorf("%d %s", got.status, got.body)
	}
	alone := start(t, impatient, func(_ *bench, s *setup) { s.client = append(s.client, kgo.SeedBrokers("127.0.0.1:1")) })
	alone.eventually("it has looked for a broker", func() bool { return strings.HasPrefix(alone.checks.Failing()[conditionName], "no broker") })
	if alone.ready() {
		t.Error("without a broker it became ready")
	}
}

// What could be lost is not taken: a topic that was made weaker ends readiness.
func TestWeakTopicEndsReadiness(t *testing.T) {
	b := start(t)
	b.eventually("it is ready", b.ready)
	admin := kadm.NewClient(b.service.broker.client)
	strict := &broker{client: b.service.broker.client, topics: topics.Options{Partitions: 2, ReplicationFactor: 3, MinInSync: 2}}
	if strict.judge(t.Context(), admin, b.checks) || b.ready() {
		t.Errorf("it stays ready: %v", b.checks.Failing())
	}
	if !b.service.broker.judge(t.Context(), admin, b.checks) || !b.ready() {
		t.Errorf("it does not become ready again: %v", b.checks.Failing())
	}
	// So is one whose records go before anybody has read them.
	whole := topics.Specs(b.cfg.Topics)[0].Configs()
	for name, value := range map[string]string{"retention.ms": "604800000", "retention.bytes": "1073741824", "cleanup.policy": "compact"} {
		b.alterTopic(map[string]string{name: value})
		if b.service.broker.judge(t.Context(), admin, b.checks) || b.ready() {
			t.Errorf("it stays ready with %s=%s", name, value)
		}
		b.alterTopic(map[string]string{name: whole[name]})
	}
	b.alterTopic(map[string]string{"retention.ms": "-1"})
	if !b.service.broker.judge(t.Context(), admin, b.checks) || !b.ready() {
		t.Errorf("a longer retention loses nothing: %v", b.checks.Failing())
	}
	b.cluster.Close()
	if b.service.broker.judge(t.Context(), admin, b.checks) || !b.ready() {
		t.Errorf("it turned unready as its settings could not be read: %v", b.checks.Failing())
	}
}

func TestProducerOptions(t *testing.T) {
	client, err := kgo.NewClient(ProducerOptions(testConfig())...)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if acks, _ := client.OptValue(kgo.RequiredAcks).(kgo.Acks); acks != kgo.AllISRAcks() {
		t.Errorf("acks %v", acks)
	}
	if idempotenceOff, _ := client.OptValue(kgo.DisableIdempotentWrite).(bool); idempotenceOff {
		t.Error("the producer is not idempotent")
	}
	if err := client.Ping(t.Context()); errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
