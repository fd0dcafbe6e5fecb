package relay

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"rollcall/pkg/pause"
)

// unwritten follows the outputs of a batch, by topic, until they are acknowledged.
type unwritten struct {
	mu     sync.Mutex
	since  time.Time // the first of them was made
	topics []waiting // few: what a handler produces to
}

// waiting are the outputs to one topic.
type waiting struct {
	topic   string
	outputs int    // not acknowledged
	why     string // the last failure of one that is not acknowledged
}

// sends counts an output to a topic.
func (u *unwritten) sends(topic string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.since.IsZero() {
		u.since = time.Now()
	}
	for i := range u.topics {
		if u.topics[i].topic == topic {
			u.topics[i].outputs++
			return
		}
	}
	u.topics = append(u.topics, waiting{topic: topic, outputs: 1})
}

// written takes back what sends counted.
func (u *unwritten) written(topic string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for i := range u.topics {
		if w := &u.topics[i]; w.topic == topic {
			w.outputs--
			if w.outputs == 0 {
				w.why = ""
			}
			return
		}
	}
}

// refuses notes that an output failed. One that is too large says nothing of the topic.
func (u *unwritten) refuses(topic string, err error) {
	if tooLarge(err) || errors.Is(err, context.Canceled) {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	for i := range u.topics {
		if w := &u.topics[i]; w.topic == topic {
			w.why = err.Error()
		}
	}
}

// outlets keeps a condition of readiness, "produce/<topic>", for each topic that outputs go
// to. It fails while some output is refused, or has not been acknowledged for AckPatience:
// what the client itself tries again never fails. Until then the partition that it came
// from stands still.
type outlets struct {
	mu      sync.Mutex
	written map[string]bool // topics that have taken outputs since the last look
	failing map[string]bool // topics whose condition fails
}

func newOutlets() outlets { return outlets{written: map[string]bool{}, failing: map[string]bool{}} }

// wrote notes that all outputs of a batch are acknowledged.
func (o *outlets) wrote(u *unwritten) {
	u.mu.Lock()
	defer u.mu.Unlock()
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, w := range u.topics {
		o.written[w.topic] = true
	}
}

// watchInterval is how often the conditions are looked at.
const watchInterval = time.Second

// watchOutputs keeps the conditions until ctx ends.
func (r *Relay) watchOutputs(ctx context.Context) {
	for pause.For(ctx, min(watchInterval, r.cfg.AckPatience)) {
		r.judgeOutlets(time.Now())
	}
}

// judgeOutlets sets the conditions to what the lanes wait for.
func (r *Relay) judgeOutlets(now time.Time) {
	stuck := map[string]string{}
	for _, l := range r.allLanes() {
		l.stuck(now, stuck)
	}
	o := &r.outlets
	o.mu.Lock()
	defer o.mu.Unlock()
	for topic := range o.written {
		if !o.failing[topic] {
			r.checks.Pass("produce/" + topic)
		}
	}
	clear(o.written)
	for topic := range o.failing {
		if _, still := stuck[topic]; !still {
			r.checks.Pass("produce/" + topic)
			delete(o.failing, topic)
			r.tel.Logger.Info("no output waits for its topic any more", "topic", topic)
		}
	}
	for topic, why := range stuck {
		r.checks.Outage("produce/"+topic, why)
		if !o.failing[topic] { // an outage is told once
			o.failing[topic] = true
			r.tel.Logger.Warn("outputs wait for their topic to take them", "topic", topic, "error", why)
		}
	}
}

// stuck adds the topics that do not take the lane's outputs, each with the reason.
func (l *lane) stuck(now time.Time, topics map[string]string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, b := range l.batches {
		b.mu.Lock()
		for _, w := range b.topics {
			switch waited := now.Sub(b.since); {
			case w.outputs == 0:
			case w.why != "":
				topics[w.topic] = w.why
			case waited > l.relay.cfg.AckPatience && topics[w.topic] == "":
				topics[w.topic] = fmt.Sprintf("not acknowledged for %v", l.relay.cfg.AckPatience)
			}
		}
		b.mu.Unlock()
	}
}

// reaches notes where a partition ends, which a lane that stands still would not see:
// nothing of its partition is fetched.
func (r *Relay) reaches(_ string, partition int32, end int64) {
	for _, l := range r.lanesOf([]int32{partition}) {
		l.highWater.Store(end)
	}
}
