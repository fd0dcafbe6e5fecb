package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	codec "github.com/twmb/avro"
	"github.com/twmb/franz-go/pkg/kgo"

	"rollcall/pkg/topics"
	schema "rollcall/schemas/avro"
	"rollcall/scripts/testbed"
)

// refused makes sure that the older release does not start where the raised format is
// set: it would write what nobody expects.
func (u *upgrade) refused(ctx context.Context, name, service string) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	output, err := exec.CommandContext(ctx, u.builds.older, "--config", filepath.Join(u.dir, name+".yaml"), service).CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 2 || !strings.Contains(string(output), "this build writes") {
		return fmt.Errorf("a process of the older release under the raised format's settings: %w: %s", err, output)
	}
	return nil
}

// holding waits until a process is unready because it holds a partition of the topic for
// a record of that fingerprint.
func (u *upgrade) holding(ctx context.Context, process *testbed.Process, topic, fingerprint string) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var unready error
	err := until(ctx, 100*time.Millisecond, func() (bool, error) {
		unready = process.Ready(ctx)
		return unready != nil && strings.Contains(unready.Error(), "hold/"+topic+"/") && strings.Contains(unready.Error(), fingerprint), nil
	})
	if err != nil {
		return fmt.Errorf("%s does not hold %s for a record that it cannot read (ready: %w): %w", process.Name(), topic, unready, err)
	}
	u.held = append(u.held, process.Name())
	return nil
}

// written counts records by what stands in them, in the stretches between marks.
type written struct{ before, raised, after, wrong int }

// written reads the topics of grown records: all of the older version while the format
// is the previous one, all of the newer one while it is raised; on the way from one to
// the other both.
func (u *upgrade) written(ctx context.Context) (w written, err error) {
	for i, topic := range grownTopics() {
		name := grownRecords()[i]
		err := u.eachRecord(ctx, topic, func(r *kgo.Record) error {
			found, _, err := codec.SingleObjectFingerprint(r.Value)
			if err != nil {
				return fmt.Errorf("a record of %s: %w", topic, err)
			}
			past := func(mark string) bool { return r.Offset >= u.marks[mark][topic][r.Partition] }
			older, newer := schema.Fingerprint(found) == u.builds.olderPrint[name], schema.Fingerprint(found) == u.builds.newerPrint[name]
			switch {
			case older && past(markLowered):
				w.after++
			case older && !past(markForward):
				w.before++
			case newer && past(markRaised) && !past(markLower):
				w.raised++
			case !older && !newer, past(markLowered), !past(markForward), past(markRaised) && !past(markLower):
				w.wrong++
			}
			return nil
		})
		if err != nil {
			return w, err
		}
	}
	return w, nil
}

func (u *upgrade) verdict(ctx context.Context, found outcome) (string, bool, error) {
	w, err := u.written(ctx)
	if err != nil {
		return "", false, err
	}
	letters, err := u.ends(ctx, topics.DeadLetters)
	if err != nil {
		return "", false, err
	}
	carried, err := u.count(ctx, "SELECT count() FROM session_days WHERE "+newField+" > 0")
	if err != nil {
		return "", false, err
	}
	least := u.load.least()
	holds := found.exact() && mostly(int(u.unclean.Load()), u.starts()) && letters.Total() == 0 && w.before > 0 && w.raised > 0 && w.after > 0 && w.wrong == 0 &&
		carried > 0 && len(u.held) == 2 && least > 0
	return fmt.Sprintf(`forward to a release with one field more in %s, its record format raised, lowered, and back, in %d restarts (%d not ended with status 0) under load (at least %d deliveries in each step): %s;
		%d dead letters; records of the previous format before it was raised %d, of the raised one meanwhile %d, of the previous one afterwards %d, of another than belongs there %d; the new field in %d rows;
		the older release does not start with the raised format set, and meeting it holds its partitions and is unready with the fingerprint (%s)`,
		strings.Join(grownRecords(), " and "), u.starts(), u.unclean.Load(), least, found, letters.Total(), w.before, w.raised, w.after, w.wrong, carried, strings.Join(u.held, ", ")), holds, nil
}

// starts counts the starts after the first one of each process.
func (u *upgrade) starts() (n int) {
	for _, process := range u.cluster.All() {
		n += process.Starts() - 1
	}
	return n
}
