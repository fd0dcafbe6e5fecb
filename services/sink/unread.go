package sink

import (
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// The condition "consume/<topic>" fails while some partition of the topic that is this
// sink's cannot be read, or the topic as a whole.

// wholeTopic stands for a partition where an error is of a topic, whichever of its
// partitions are whose.
const wholeTopic = -1

// forgivenAfter is how long an error counts that will come again while it lasts: that it
// has passed nobody tells where there is nothing to read. One of a whole topic comes with
// each look at the metadata, ten seconds apart at most (pkg/kafka), and one of a partition
// with each fetch. But a partition whose place in the group could not be learned is given
// up after one error, until the next rebalance: that one stays.
const forgivenAfter = 30 * time.Second

// unreadable notes that a partition could not be read, and why.
func (s *Service) unreadable(p partition, now time.Time, why string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.unread[p] = now
	s.deps.Checks.Outage("consume/"+p.topic, why)
}

// readable notes that a partition was read, if only that there is nothing in it.
func (s *Service) readable(p partition) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.unread, p)
	delete(s.unread, partition{p.topic, wholeTopic})
	s.passUnlessUnread(p.topic)
}

// forgive forgets errors that have come no more. committed are the offsets that the client
// has learned of the group.
func (s *Service) forgive(now time.Time, committed map[string]map[int32]kgo.EpochOffset) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for p, at := range s.unread {
		if _, learned := committed[p.topic][p.number]; (learned || p.number == wholeTopic) && now.Sub(at) > forgivenAfter {
			s.forget(p)
		}
	}
}

// forget ends what is known of a partition that is not this sink's to read any more. The
// caller holds mu.
func (s *Service) forget(p partition) {
	if _, ok := s.unread[p]; !ok {
		return
	}
	delete(s.unread, p)
	s.passUnlessUnread(p.topic)
}

// passUnlessUnread lets the condition of a topic pass where nothing speaks against it. The
// caller holds mu.
func (s *Service) passUnlessUnread(topic string) {
	for p := range s.unread {
		if p.topic == topic {
			return
		}
	}
	s.deps.Checks.Pass("consume/" + topic)
}

// troubled reports whether something could not be read.
func (s *Service) troubled() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.unread) > 0
}
