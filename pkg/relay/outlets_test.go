package relay

import (
	"context"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"rollcall/pkg/fault"
	"rollcall/pkg/health"
	"rollcall/pkg/telemetry"
	"rollcall/pkg/topics"
)

// ready reports what /readyz answers.
func (m *member) ready() bool {
	answer := httptest.NewRecorder()
	m.checks.Ready(answer, nil)
	return answer.Code == http.StatusOK
}

// A topic that refuses outputs, or never acknowledges them, is told by a condition until
// it takes them again; it ends readiness only where it never took any. The records that
// wait meanwhile count as lag although nothing is fetched.
func TestTopicThatTakesNoOutputs(t *testing.T) {
	refuseLetters := copier{before: func(context.Context, *kgo.Record, *Subject) error {
		return fault.Reject("malformed_record", "", nil)
	}}
	for name, test := range map[string]struct {
		topic   string
		handler copier
		error   *kerr.Error
		says    string
	}{
		"refuses":               {outTopic, copier{}, kerr.TopicAuthorizationFailed, "TOPIC_AUTHORIZATION_FAILED"},
		"acknowledges nothing":  {outTopic, copier{}, kerr.NotEnoughReplicas, "not acknowledged for"},
		"refuses dead letters":  {topics.DeadLetters, refuseLetters, kerr.TopicAuthorizationFailed, "TOPIC_AUTHORIZATION_FAILED"},
		"no dead letter landed": {topics.DeadLetters, refuseLetters, kerr.NotEnoughReplicas, "not acknowledged for"},
	} {
		t.Run(name, func(t *testing.T) {
			b, r := newBench(t), newRecorded(t)
			var closed atomic.Bool
			closed.Store(true)
			b.answerProduces(func(names []string) *kerr.Error {
				if closed.Load() && slices.Contains(names, test.topic) {
					return test.error
				}
				return nil
			})
			cfg := config()
			cfg.AckPatience, cfg.EndsInterval = 200*time.Millisecond, 100*time.Millisecond
			m := b.startWith(cfg, test.handler, r.tel)
			condition := "produce/" + test.topic
			failing := func() bool { return strings.Contains(m.checks.Failing()[condition], test.says) }
			written := 0
			for _, ready := range []bool{false, true} {
				closed.Store(true)
				b.fill(written, written+30)
				b.until("it says why", failing)
				if m.ready() != ready {
					t.Errorf("with %d written: ready is %v, want %v", written, !ready, ready)
				}
				b.fill(written+30, written+300)
				b.until("all of it counts as lag", func() bool { return r.sums(b)["rollcall.relay.lag"] == 300 })
				if !failing() {
					t.Errorf("it says no longer that the topic takes nothing: %v", m.checks.Failing())
				}
				written += 300
				closed.Store(false)
				b.until("all is written", func() bool { return len(m.checks.Failing()) == 0 && r.sums(b)["rollcall.relay.lag"] == 0 })
			}
			m.mustStop()
		})
	}
}

// One output that waits is told as long as it waits, whatever else its topic takes; so is
// the reason, where there is one; and what is only slow is not told.
func TestOneOutputThatWaits(t *testing.T) {
	checks := &health.Checks{}
	r := &Relay{cfg: config().withDefaults(), checks: checks, tel: telemetry.Discard(), outlets: newOutlets()}
	first, second := &batch{}, &batch{}
	r.lanes = map[int32]*lane{0: {relay: r, batches: []*batch{first}}, 1: {relay: r, batches: []*batch{second}}}
	for _, b := range []*batch{first, second} {
		b.sends(outTopic)
		b.sends(outTopic)
		b.sends(topics.DeadLetters)
	}
	soon, late := time.Now(), time.Now().Add(r.cfg.AckPatience+time.Second)
	for number, step := range []struct {
		do   func()
		at   time.Time
		want map[string]string
	}{
		{func() {}, soon, map[string]string{}},
		{func() { first.written(topics.DeadLetters); second.written(topics.DeadLetters) }, late, map[string]string{"produce/out": "not acknowledged for 10s"}},
		{func() { first.written(outTopic); first.written(outTopic); r.outlets.wrote(&first.unwritten) }, late, map[string]string{"produce/out": "not acknowledged for 10s"}},
		{func() { second.written(outTopic); second.refuses(outTopic, kerr.MessageTooLarge) }, soon, map[string]string{}},
		{func() { second.refuses(outTopic, kerr.InvalidRecord) }, soon, map[string]string{"produce/out": kerr.InvalidRecord.Error()}},
		{func() { second.written(outTopic) }, late, map[string]string{}},
	} {
		step.do()
		r.judgeOutlets(step.at)
		if diff := cmp.Diff(step.want, checks.Failing()); diff != "" {
			t.Errorf("step %d (-want +got):\n%s", number, diff)
		}
	}
	if answer := (&member{checks: checks}); !answer.ready() {
		t.Error("unready once all is written")
	}
	// Dead letters never failed, and were taken.
	r.outlets.wrote(&first.unwritten)
	r.judgeOutlets(soon)
	second.sends(topics.DeadLetters)
	second.refuses(topics.DeadLetters, kerr.InvalidRecord)
	r.judgeOutlets(soon)
	if answer := (&member{checks: checks}); !answer.ready() {
		t.Errorf("a topic that took outputs ends readiness: %v", checks.Failing())
	}
}

// The condition of a lane ends with the lane: its partition is another member's to write.
func TestOutputsOfAPartitionThatIsLost(t *testing.T) {
	b := newBench(t)
	b.fill(0, 30)
	b.answerProduces(func([]string) *kerr.Error { return kerr.InvalidRecord })
	cfg := config()
	cfg.DrainTimeout = 100 * time.Millisecond
	m := b.start(cfg, copier{})
	b.until("it says so", func() bool { return m.checks.Failing()["produce/"+outTopic] != "" })
	m.relay.lost(map[string][]int32{inTopic: {0, 1, 2}})
	b.until("nothing fails", func() bool { return len(m.checks.Failing()) == 0 })
	m.stop()
	_ = m.wait()
}
