package main

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"time"

	"rollcall/pkg/fleet"
	"rollcall/pkg/keystore"
	"rollcall/pkg/topics"
	"rollcall/scripts/testbed"
)

// borders are the ends of topics at a midnight.
type borders map[string]testbed.Ends

// epochs counts what became of keys while days passed.
type epochs struct{ made, destroyed int }

// refused are the days, counted from the fleet's end, whose reports the anonymizer is
// too old to read: replayed at the end, they are three weeks old.
const (
	refusedFrom = 23
	refusedTo   = 21
)

// epochs plays the first fleet day by day. At each midnight keys are rotated as the page
// says, by the fleet's clock.
func (o *operations) epochs(ctx context.Context) (string, error) {
	plan, err := o.fleetOf(1, o.plan.licences, o.plan.installations, daysPlayed)
	if err != nil {
		return "", err
	}
	o.plans = append(o.plans, plan)
	sender, err := fleet.NewSender(fleet.SenderConfig{Gateways: o.cluster.Gateways(), Connections: 64, OnPhase: o.phases(plan)})
	if err != nil {
		return "", err
	}
	defer sender.Close()
	next, stop := iter.Pull(plan.Deliveries())
	defer stop()
	delivery, more := next()
	for n := range daysPlayed {
		if err := o.midnight(ctx, n); err != nil {
			return "", fmt.Errorf("midnight of day %d: %w", n, err)
		}
		ends := o.day(n + 1)
		err := sender.Run(ctx, func(yield func(fleet.Delivery) bool) {
			for more && (delivery.ReceivedAt.Before(ends) || n == daysPlayed-1) && yield(delivery) {
				delivery, more = next()
			}
		})
		if err != nil {
			return "", fmt.Errorf("day %d: %w", n, err)
		}
	}
	counts := sender.Counts()
	return fmt.Sprintf("%d days, %d reports taken; %d keys made, %d destroyed meanwhile", daysPlayed, counts.Acknowledged, o.keys.made, o.keys.destroyed),
		o.keysLeft()
}

// turnBack leaves the keystore as the fleet's clock has it on its first day: with keys of
// the 31 days before, and not yet with those of its later days.
func (o *operations) turnBack(ctx context.Context) error {
	for day := o.day(3); day.Before(o.day(daysBefore - 1)); day = day.AddDate(0, 0, 1) {
		for _, class := range []keystore.Class{keystore.Day, keystore.Opening, keystore.Sealing} {
			if err := os.Remove(filepath.Join(o.cluster.KeysDir(""), string(class), keystore.DayEpoch(day)+".key")); err != nil {
				return fmt.Errorf("take back a key: %w", err)
			}
		}
	}
	o.page.variables["FLEET_NOW"] = o.begin.Format(time.RFC3339)
	_, err := o.page.shell(ctx, "rollcall keys maintain --since "+keystore.DayEpoch(o.day(-31)))
	return errors.Join(err, o.cluster.ExportKeys(ctx))
}

// phases registers a plan's licences, each phase once, whoever asks how often.
func (o *operations) phases(plan *fleet.Plan) func(context.Context, int) error {
	entered := 0
	return func(ctx context.Context, phase int) error {
		if phase <= entered {
			return nil
		}
		entered = phase
		path := fmt.Sprintf("%s/licences-of-%d-%d.csv", o.dir, plan.Options().Seed, phase)
		file, err := os.Create(path)
		if err != nil {
			return fmt.Errorf("write licences: %w", err)
		}
		if err := errors.Join(fleet.WriteLicences(file, plan.Licences(), phase), file.Close()); err != nil {
			return err
		}
		if _, err := o.cluster.Command(ctx, "licences", "apply", path); err != nil {
			return err
		}
		for _, licence := range plan.Licences() {
			if licence.Phase == phase {
				o.terms++
			}
		}
		return o.registered(ctx, o.terms)
	}
}

// midnight is the beginning of a day: the ends of topics are noted, keys are rotated, and
// anonymizers change where a release comes or goes.
func (o *operations) midnight(ctx context.Context, n int) error {
	at := borders{}
	for _, topic := range expiring() {
		ends, err := o.ends(ctx, topic)
		if err != nil {
			return err
		}
		at[topic] = ends
	}
	o.borders = append(o.borders, at)
	o.page.variables["FLEET_NOW"] = o.day(n).Add(30 * time.Minute).Format(time.RFC3339)
	printed, err := o.page.do(ctx, "keys-rotate")
	if err != nil {
		return err
	}
	for line := range strings.Lines(printed) {
		what, key, _ := strings.Cut(strings.TrimSpace(line), " ")
		if key = strings.TrimSpace(key); !strings.HasPrefix(key, string(keystore.Opening)+"/") {
			continue // a sealing key goes with each opening key, and a day key
		}
		switch what {
		case "made":
			o.keys.made++
		case "destroyed":
			o.keys.destroyed++
		}
	}
	late := o.cluster.Service(testbed.Anonymizer)[0]
	switch n {
	case daysPlayed - refusedFrom:
		return o.exchange(ctx, late, o.early)
	case daysPlayed - refusedTo:
		return o.exchange(ctx, o.early, late)
	}
	return nil
}

// exchange lets what has come have its end, and then one process take another's place.
func (o *operations) exchange(ctx context.Context, former, successor *testbed.Process) error {
	if err := o.drained(ctx); err != nil {
		return err
	}
	if err := former.Stop(ctx); err != nil {
		return err
	}
	return successor.Start(ctx)
}

// keysLeft checks that the keys of days are those of 31 days back to two ahead, in the
// keystore and in both exports.
func (o *operations) keysLeft() error {
	last := o.day(daysPlayed - 1)
	first, ahead := keystore.DayEpoch(last.AddDate(0, 0, -31)), keystore.DayEpoch(last.AddDate(0, 0, 2))
	for _, service := range []string{"", testbed.Gateway, testbed.Anonymizer} {
		entries, err := keystore.List(o.cluster.KeysDir(service))
		if err != nil {
			return err
		}
		lowest, highest := "", ""
		for _, entry := range entries {
			if entry.Class != keystore.Opening && entry.Class != keystore.Sealing {
				continue
			}
			if lowest == "" || entry.Epoch < lowest {
				lowest = entry.Epoch
			}
			highest = max(highest, entry.Epoch)
		}
		o.check(lowest == first && highest == ahead, "keys %q: from %s to %s, not from %s to %s", service, lowest, highest, first, ahead)
	}
	o.check(first > keystore.DayEpoch(o.begin), "all of the fleet's own keys are there: from %s", first)
	// All but those of the three days around today were taken back, or not made yet.
	o.check(o.keys.made >= daysPlayed-6 && o.keys.destroyed == daysPlayed-1, "%d opening keys made, %d destroyed in %d days", o.keys.made, o.keys.destroyed, daysPlayed)
	return nil
}

// replayed finds the dead letters of three weeks ago, replays them as the page says, and
// compares all cells.
func (o *operations) replayed(ctx context.Context) (string, error) {
	before, err := o.exact(ctx)
	if err != nil {
		return "", err
	}
	o.letters = before.audit.Ends["dead_lettered"]
	o.check(o.letters > 0 && before.rollup.Wrong() > 0 && before.live.Wrong() > 0, "before the replay: %d dead letters, %s", o.letters, before)
	ends, err := o.ends(ctx, topics.Raw)
	if err != nil {
		return "", err
	}
	for _, name := range []string{"replay-look", "replay", "replay-see"} {
		if _, err := o.page.do(ctx, name); err != nil {
			return "", err
		}
	}
	figure, err := o.compared(ctx, "after the replay")
	if err != nil {
		return figure, err
	}
	if err := o.receivedLongAgo(ctx, ends); err != nil {
		return figure, err
	}
	o.page.variables["DAY"] = keystore.DayEpoch(o.day(daysPlayed - 30))
	for _, name := range []string{"keys-destroy", "keys-look"} {
		printed, err := o.page.do(ctx, name)
		if err != nil {
			return figure, err
		}
		o.check(name != "keys-look" || strings.Contains(printed, "destroyed before its time"), "no key is listed as destroyed: %s", printed)
	}
	return fmt.Sprintf("%d dead letters replayed 20 days and more after their receipt (%d and %d cells were wrong before); %s",
		o.letters, before.rollup.Wrong(), before.live.Wrong(), figure), nil
}

// receivedLongAgo checks that each copy has landed, and has kept its time of receipt: by
// the fleet's clock it is outside the window of eight days, by its own it is not.
func (o *operations) receivedLongAgo(ctx context.Context, ends testbed.Ends) error {
	latest := o.day(daysPlayed-1).AddDate(0, 0, -20)
	var copies, young int64
	for partition, end := range ends {
		var all, late uint64
		const query = "SELECT count(), countIf(received_at >= ?) FROM receipts FINAL WHERE end = 'landed' AND partition = ? AND offset >= ?"
		if err := o.conn.QueryRow(ctx, query, latest, partition, end).Scan(&all, &late); err != nil {
			return fmt.Errorf("read the receipts of what was replayed: %w", err)
		}
		copies, young = copies+int64(all), young+int64(late)
	}
	o.check(copies == o.letters && young == 0, "%d of %d copies landed, %d with a time of receipt of the last 20 days", copies, o.letters, young)
	return nil
}
