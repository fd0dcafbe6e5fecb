package main

import (
	"context"
	"fmt"

	"rollcall/pkg/topics"
)

// run carries out the proof's steps, each ending with a comparison of all cells.
func (f *forger) run(ctx context.Context) (string, error) {
	if err := f.exactly(ctx, "before"); err != nil {
		return "", err
	}
	harmed, err := f.attack(ctx)
	if err != nil {
		return "", err
	}
	flags, err := f.culprits(ctx)
	if err != nil {
		return "", err
	}
	with, err := f.shown(ctx)
	if err != nil {
		return "", err
	}
	if err := f.each(ctx, "add", flags); err != nil {
		return "", err
	}
	if err := f.exactly(ctx, "in quarantine"); err != nil {
		return "", err
	}
	beside, err := f.count(ctx, "SELECT count() FROM v1_quarantined_usage WHERE licence_id = ? AND quarantined_sessions > 0", f.licenceID(f.victim))
	if err != nil {
		return "", err
	}
	f.check(beside > 0, "nothing of what is in quarantine is shown beside the sums")
	if err := f.again(ctx); err != nil {
		return "", err
	}
	if err := f.released(ctx, flags, with); err != nil {
		return "", err
	}
	if err := f.refusedFrozen(ctx); err != nil {
		return "", err
	}
	missing, err := f.wholeLicence(ctx)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%d forged session-days on open and closed days made %d cells wrong; in quarantine, sent again, replayed, released, back in quarantine and with later reports of the same sessions: "+
		"0 of %d cells differ each time wanted, %d times otherwise; %d cells shown beside the sums; the whole licence out: its %d cells and no other; a day older than its session-days: refused",
		len(f.all()), harmed, f.compared, len(f.wrong), beside, missing), nil
}

// attack sends the forged reports, and says how many cells that makes wrong: none would
// mean that nothing is shown by this proof.
func (f *forger) attack(ctx context.Context) (int, error) {
	if err := f.send(ctx, 0); err != nil {
		return 0, err
	}
	found, err := readOutcome(ctx, f.pipeline, f.plan)
	if err != nil {
		return 0, err
	}
	f.check(found.rollup.Wrong() > 0 && found.rollup.Wrong() == found.live.Wrong(), "the forged reports: %s", found)
	// No metric may take the largest value for a plausible one, gauges neither.
	summed, err := f.count(ctx, "SELECT count() FROM v1_licence_day WHERE licence_id = ? AND value >= ?", f.licenceID(f.victim), uint64(forgedValue-1))
	if err != nil {
		return 0, err
	}
	f.check(summed == 0, "%d cells have the largest value in their sum", summed)
	return found.rollup.Wrong(), nil
}

// again sends the same reports once more, and replays all of reports.raw.
func (f *forger) again(ctx context.Context) error {
	if err := f.send(ctx, 0); err != nil {
		return err
	}
	partitions, err := f.everyPartition(ctx, topics.Raw)
	if err != nil {
		return err
	}
	if _, err := f.cluster.Command(ctx, append([]string{"replay", "--rate", "0"}, partitions...)...); err != nil {
		return err
	}
	return f.exactly(ctx, "sent again and replayed")
}

// released takes everything out of quarantine, which must show what was there before,
// puts it back, and sends later reports of the same sessions.
func (f *forger) released(ctx context.Context, flags [][]string, with map[string][]string) error {
	if err := f.each(ctx, "remove", flags); err != nil {
		return err
	}
	if _, err := f.settled(ctx, exactSettleLimit); err != nil {
		return err
	}
	now, err := f.shown(ctx)
	if err != nil {
		return err
	}
	f.check(differing(with, now) == 0, "released: %d rows differ from before the quarantine", differing(with, now))
	if err := f.each(ctx, "add", flags); err != nil {
		return err
	}
	if err := f.exactly(ctx, "in quarantine once more"); err != nil {
		return err
	}
	if err := f.send(ctx, 9); err != nil {
		return err
	}
	return f.exactly(ctx, "with later reports of the same sessions")
}

// wholeLicence puts the victim's licence into quarantine and out again. It returns how
// many cells were missing meanwhile, which must be the licence's own.
func (f *forger) wholeLicence(ctx context.Context) (int, error) {
	if err := f.command(ctx, "add"); err != nil {
		return 0, err
	}
	found, err := readOutcome(ctx, f.pipeline, f.plan)
	if err != nil {
		return 0, err
	}
	f.check(found.rollup.Missing == f.victimCells && found.rollup.Wrong() == f.victimCells && found.live.Wrong() == f.victimCells,
		"the licence has %d cells; without it: %s", f.victimCells, found)
	if err := f.command(ctx, "remove"); err != nil {
		return 0, err
	}
	return found.rollup.Missing, f.exactly(ctx, "the licence released")
}
