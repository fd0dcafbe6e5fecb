package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"golang.org/x/sync/errgroup"

	"rollcall/pkg/audit"
	"rollcall/pkg/fleet"
	"rollcall/pkg/rewind"
	"rollcall/pkg/topics"
	"rollcall/scripts/testbed"
)

// expiring are the topics whose records go with time.
func expiring() []string {
	return []string{topics.Raw, topics.Clean, topics.Usage, topics.Identities, topics.DeadLetters}
}

// playing sends a plan, evenly in so many seconds, until it is told to end early.
func (o *operations) playing(ctx context.Context, plan *fleet.Plan, seconds int, held *holdback) func() error {
	deliveries := plan.Truth().Header.Network.Deliveries
	var group errgroup.Group
	group.Go(func() error {
		_, err := o.play(ctx, plan, func(c *fleet.SenderConfig) {
			c.OnPhase, c.Rate = o.phases(plan), float64(deliveries)/float64(seconds)
			if held != nil {
				c.Progress = func(fleet.SenderCounts) { held.delivered(ctx) }
			}
		})
		return err
	})
	return group.Wait
}

// grown adds partitions while a second fleet reports, after a backup was taken under the
// same load.
func (o *operations) grown(ctx context.Context) (string, error) {
	plan, err := o.fleetOf(2, o.plan.licences, o.plan.grown, 4)
	if err != nil {
		return "", err
	}
	o.plans = append(o.plans, plan)
	before, err := o.ends(ctx, topics.Raw)
	if err != nil {
		return "", err
	}
	held := newHoldback(plan.Truth().Header.Network.Deliveries)
	wait := o.playing(ctx, plan, o.plan.growing, held)
	err = o.growUnderLoad(ctx, before, held)
	held.release() // where it failed too: the wait is to end
	if err := errors.Join(err, wait()); err != nil {
		return "", err
	}
	figure, err := o.compared(ctx, "after partitions were added")
	if err != nil {
		return figure, err
	}
	after, err := o.ends(ctx, topics.Raw)
	if err != nil {
		return figure, err
	}
	var beyond int64
	for partition, end := range after {
		if _, old := before[partition]; !old {
			beyond += end
		}
	}
	o.check(beyond > 0, "nothing stands in the new partitions")
	return fmt.Sprintf("%s; %d of %d reports in partitions added meanwhile", figure, beyond, after.Total()-before.Total()), nil
}

// partitionsLearnt is more than a gateway lets pass between two looks at its topics.
const partitionsLearnt = 12 * time.Second

// growUnderLoad waits for the load, backs up and adds partitions, and waits until those
// are written to and read while reports still come: those held back until gateways have
// had the time to learn of the partitions.
func (o *operations) growUnderLoad(ctx context.Context, before testbed.Ends, held *holdback) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	err := until(ctx, 50*time.Millisecond, func() (bool, error) {
		ends, err := o.ends(ctx, topics.Raw)
		return err == nil && ends.Total() > before.Total()+20, err
	})
	if err != nil {
		return fmt.Errorf("the second fleet sends nothing: %w", err)
	}
	for _, name := range []string{"backup", "partitions-add", "partitions-see"} {
		if _, err := o.page.do(ctx, name); err != nil {
			return err
		}
	}
	if err := elapse(ctx, partitionsLearnt); err != nil {
		return err
	}
	held.release()
	err = until(ctx, 100*time.Millisecond, func() (bool, error) {
		ends, err := o.ends(ctx, topics.Raw)
		for partition, end := range ends {
			if _, old := before[partition]; !old && end > 0 {
				return true, err
			}
		}
		return false, err
	})
	if err != nil {
		return fmt.Errorf("nothing is written to partitions that were added: %w", err)
	}
	return nil
}

// expire lets the retention of the topics pass, by the fleet's clock: 30 days of
// reports.raw and dead letters, 8 of the others.
func (o *operations) expire(ctx context.Context) (int64, error) {
	offsets, raw := kadm.Offsets{}, int64(0)
	for _, topic := range expiring() {
		days := 8
		if topic == topics.Raw || topic == topics.DeadLetters {
			days = 30
		}
		for partition, end := range o.borders[daysPlayed-days][topic] {
			offsets.Add(kadm.Offset{Topic: topic, Partition: partition, At: end, LeaderEpoch: -1})
			if topic == topics.Raw {
				raw += end
			}
		}
	}
	deleted, err := o.admin.DeleteRecords(ctx, offsets)
	if err == nil {
		err = deleted.Error()
	}
	if err != nil {
		return 0, fmt.Errorf("let records expire: %w", err)
	}
	return raw, nil
}

// restored loses ClickHouse while a third fleet reports, and restores it as the page says
// from the backup, with what reports.raw still has.
func (o *operations) restored(ctx context.Context) (string, error) {
	plan, err := o.fleetOf(3, o.plan.licences/2, o.plan.away, 2)
	if err != nil {
		return "", err
	}
	o.plans = append(o.plans, plan)
	gone, err := o.expire(ctx)
	if err != nil {
		return "", err
	}
	o.clickhouse.Kill()
	if err := o.clickhouse.LoseData(); err != nil {
		return "", err
	}
	o.env.Say("ClickHouse has lost everything; reports.raw has lost %d reports to its retention", gone)
	wait := o.playing(ctx, plan, 5, nil)
	found, err := o.restore(ctx)
	if err := errors.Join(err, wait()); err != nil {
		return "", err
	}
	figure, err := o.compared(ctx, "after the restore")
	if err != nil {
		return figure, err
	}
	if _, err := o.page.do(ctx, "restore-see"); err != nil {
		return figure, err
	}
	o.check(gone > 0 && found.Lost == 0, "%d reports had expired, %d are lost", gone, found.Lost)
	var whole int64
	for _, p := range found.Partitions {
		whole += p.Committed - p.First
	}
	o.check(found.Again > 0 && found.Again < whole/2, "%d of %d reports are read again", found.Again, whole)
	held, err := o.heldLicences(ctx)
	if err != nil {
		return figure, err
	}
	return fmt.Sprintf("%d reports expired in reports.raw, %d of %d left read again; %s; %s", gone, found.Again, whole, figure, held), nil
}

// restore carries out the procedure and returns what rewind said it would do.
func (o *operations) restore(ctx context.Context) (found rewind.Result, err error) {
	if _, err := o.page.do(ctx, "restore-stop"); err != nil {
		return found, err
	}
	if err := o.clickhouse.Restart(ctx); err != nil {
		return found, err
	}
	for _, name := range []string{"restore", "restore-migrate", "rewind-look"} {
		if _, err := o.page.do(ctx, name); err != nil {
			return found, err
		}
	}
	output, err := o.cluster.Command(ctx, "rewind", "--dry-run", "--output", "json")
	if err != nil {
		return found, err
	}
	if err := json.Unmarshal([]byte(output), &found); err != nil {
		return found, fmt.Errorf("read what rewind says: %w", err)
	}
	if err := o.noEndWithoutRewind(ctx, found); err != nil {
		return found, err
	}
	for _, name := range []string{"rewind", "restore-start"} {
		if _, err := o.page.do(ctx, name); err != nil {
			return found, err
		}
	}
	// With its services running again it is refused.
	_, err = o.cluster.Command(ctx, "rewind")
	var exit *exec.ExitError
	o.check(errors.As(err, &exit) && exit.ExitCode() == 1, "rewind under running services: %v", err)
	return found, nil
}

// noEndWithoutRewind is the control: with everything at rest the offset at which each
// group is to go on lacks its receipt, or the state that it speaks of, so a group that
// went on one later would leave it without its end for ever, and the audit would say so.
func (o *operations) noEndWithoutRewind(ctx context.Context, found rewind.Result) error {
	report, err := audit.Audit(ctx, o.admin, o.conn, audit.Options{KeepNothing: true})
	if err != nil {
		return err
	}
	wanting := 0
	for i, p := range report.Partitions {
		if next := found.Partitions[i].Next; next < found.Partitions[i].Committed {
			wanting++
			o.check(report.StateMissing > 0 || len(p.MissingRanges) > 0 && p.MissingRanges[0].First == next,
				"partition %d goes on at %d, where the audit misses %v and %d session-days", p.Partition, next, p.MissingRanges, report.StateMissing)
		}
	}
	o.check(wanting > 0 && report.Missing > 0, "before the rewind the audit misses %d offsets, of %d partitions", report.Missing, wanting)
	o.env.Say("before the rewind %d offsets have no end; %d partitions are read again", report.Missing, wanting)
	return nil
}

// heldLicences checks that the registry is there with what was applied after the backup,
// and in the full size that every table beside licence_day says what its rules say.
func (o *operations) heldLicences(ctx context.Context) (string, error) {
	licences, err := o.count(ctx, "SELECT uniqExact(licence_id) FROM licences FINAL")
	if err != nil {
		return "", err
	}
	o.check(int(licences) == o.terms, "%d licences stand in ClickHouse, %d were applied", licences, o.terms)
	if o.env.Size == Small {
		return fmt.Sprintf("%d licences", licences), nil
	}
	if err := o.answered(ctx, 5*time.Minute); err != nil {
		return "", err
	}
	rows, err := o.count(ctx, "SELECT count() FROM metric_day")
	if err != nil {
		return "", err
	}
	differ, err := o.count(ctx, `SELECT (SELECT count() FROM (SELECT * FROM metric_day EXCEPT SELECT * FROM metric_day_computed))
		+ (SELECT count() FROM (SELECT * FROM metric_day_computed EXCEPT SELECT * FROM metric_day))`)
	o.check(rows > 0 && differ == 0, "%d rows of metric_day, %d are not what its rules say", rows, differ)
	return fmt.Sprintf("%d licences, %d rows of metric_day, %d differ from its rules", licences, rows, differ), err
}
