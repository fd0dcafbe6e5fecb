package main

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/uuid"

	"rollcall/pkg/client"
	"rollcall/pkg/keystore"
	"rollcall/scripts/canary"
	"rollcall/scripts/testbed"
)

// deathKey is the licence of the reports whose addresses are asked for.
const deathKey = "KEY-DEATH-0001"

// proveKeyDeath copies every disk but the keystore's, destroys the keys of a day, and
// asks before and after, of what lives and of the copies, what came from an address.
func proveKeyDeath(ctx context.Context, env *Environment) (string, bool, error) {
	p, err := startPipeline(ctx, env, pipelineOptions{Name: "key-death", Simulated: true, Cluster: testbed.ClusterOptions{Partitions: 2}})
	if err != nil {
		return "", false, err
	}
	d := &death{p: p, env: env}
	if d.tool, err = testbed.Build(ctx, testbed.BuildOptions{Dir: env.Dir, Package: "./scripts/prove/recompute"}); err != nil {
		return "", false, err
	}
	source := canary.NewSource(uint64(time.Now().UnixNano()))
	known := []visit{
		{address: source.IPv4(), day: time.Now().UTC().AddDate(0, 0, -3), way: "destroyed by the command"},
		{address: source.IPv6(), day: time.Now().UTC().AddDate(0, 0, -5), way: "due, and destroyed by maintain"},
	}
	if err := d.report(ctx, known, source); err != nil {
		return "", false, err
	}
	if err := d.copyDisks(ctx); err != nil {
		return "", false, err
	}
	secrets, err := d.secrets(known)
	if err != nil {
		return "", false, err
	}
	return d.compare(ctx, known, secrets)
}

// visit is what is known: that somebody at an address reported on a day.
type visit struct {
	address netip.Addr
	day     time.Time
	way     string // in which the day's keys die
}

func (v visit) epoch() string { return keystore.DayEpoch(v.day) }

// death is a pipeline whose disks were copied before a key died.
type death struct {
	p    *pipeline
	env  *Environment
	tool string // recompute
}

// reportsEach is how many reports come from each address.
const reportsEach = 5

// report sends reports from the known addresses, and others of the same days.
func (d *death) report(ctx context.Context, known []visit, source *canary.Source) error {
	if err := d.p.registerKeys(ctx, deathKey); err != nil {
		return err
	}
	var ids []uuid.UUID
	for _, v := range known {
		for i := range 2 * reportsEach {
			address := v.address
			if i >= reportsEach {
				address = source.IPv4()
			}
			r := dailyReport(deathKey)
			r.Day = int32(v.day.UnixMilli() / dayMillis)
			header := from(address.String())
			header.Set("Rollcall-Simulated-Received-At", v.day.Format(time.RFC3339))
			answer, err := d.p.post(ctx, client.Request{Body: encoded(r), Header: header})
			if err != nil || answer.Status != http.StatusAccepted {
				return fmt.Errorf("post a report: status %d: %w", answer.Status, err)
			}
			ids = append(ids, r.ReportID)
		}
	}
	if err := d.p.awaitEnd(ctx, patience, deathKey, ids...); err != nil {
		return err
	}
	if _, err := d.p.settled(ctx, settleLimit); err != nil {
		return err
	}
	return d.p.cluster.Stop(ctx)
}

// disks are the directories of everything but keys.
func (d *death) disks() []string { return []string{"key-death-kafka", "key-death-clickhouse"} }

const copySuffix = "-copy"

// copyDisks takes a copy of each disk while nothing runs.
func (d *death) copyDisks(ctx context.Context) error {
	return d.atRest(ctx, func() error {
		for _, disk := range d.disks() {
			if err := os.CopyFS(d.env.Path(disk+copySuffix), os.DirFS(d.env.Path(disk))); err != nil {
				return fmt.Errorf("copy a disk: %w", err)
			}
		}
		return nil
	})
}

// atRest does something while Kafka and ClickHouse are stopped.
func (d *death) atRest(ctx context.Context, do func() error) error {
	if err := errors.Join(d.p.clickhouse.Stop(ctx), d.p.kafka.Stop(ctx)); err != nil {
		return err
	}
	if err := do(); err != nil {
		return err
	}
	return errors.Join(d.p.clickhouse.Restart(ctx), d.p.kafka.Restart(ctx))
}

// swap puts each copy in the place of its disk, and the disk in the copy's.
func (d *death) swap() error {
	for _, disk := range d.disks() {
		here, there, aside := d.env.Path(disk), d.env.Path(disk+copySuffix), d.env.Path(disk+"-aside")
		if err := errors.Join(os.Rename(here, aside), os.Rename(there, here), os.Rename(aside, there)); err != nil {
			return fmt.Errorf("put a copy in a disk's place: %w", err)
		}
	}
	return nil
}

// compare asks, destroys the days' keys, and asks again: what lives, and the copies in
// its place. It looks for the keys' bytes, too.
func (d *death) compare(ctx context.Context, known []visit, secrets *canary.Searcher) (string, bool, error) {
	inKeystores, err := d.count(secrets, d.p.cluster.KeysDir(""), d.p.cluster.KeysDir(testbed.Anonymizer))
	if err != nil {
		return "", false, err
	}
	before, err := d.askAll(ctx, known)
	if err != nil {
		return "", false, err
	}
	for _, v := range known {
		if err := d.destroy(ctx, v); err != nil {
			return "", false, err
		}
	}
	after, err := d.askAll(ctx, known)
	if err != nil {
		return "", false, err
	}
	if err := d.atRest(ctx, d.swap); err != nil {
		return "", false, err
	}
	restored, err := d.askAll(ctx, known)
	if err != nil {
		return "", false, err
	}
	everything := []string{d.p.dir} // with the keystores, configuration and logs
	for _, disk := range d.disks() {
		everything = append(everything, d.env.Path(disk), d.env.Path(disk+copySuffix))
	}
	left, err := d.count(secrets, everything...)
	if err != nil {
		return "", false, err
	}
	wanted := fmt.Sprintf("key of the day: %d rows, %d records, every other key: 0 rows, 0 records, sealed reports: %d rows, %d records",
		reportsEach, 2*reportsEach, reportsEach, reportsEach)
	holds := inKeystores > 0 && left == 0
	var lines []string
	for i, v := range known {
		holds = holds && before[i].found && before[i].text == wanted && !after[i].found && !restored[i].found
		lines = append(lines, fmt.Sprintf("keys %s: before %s, after %s, with the copies put back %s", v.way, before[i], after[i], restored[i]))
	}
	return fmt.Sprintf("%s; the keys' bytes stood in %d files of keystores, and stand in %d of all disks and copies", strings.Join(lines, "; "), inKeystores, left), holds, nil
}

func (d *death) askAll(ctx context.Context, known []visit) ([]toolAnswer, error) {
	var answers []toolAnswer
	for _, v := range known {
		answer, err := d.ask(ctx, v)
		if err != nil {
			return nil, err
		}
		answers = append(answers, answer)
	}
	return answers, nil
}

// toolAnswer is what the tool said.
type toolAnswer struct {
	found bool
	text  string
}

func (a toolAnswer) String() string {
	if a.found {
		return "succeeds (" + a.text + ")"
	}
	return "fails"
}

// ask runs the tool with every key and store that is left.
func (d *death) ask(ctx context.Context, v visit) (toolAnswer, error) {
	command := exec.CommandContext(ctx, d.tool, "-address", v.address.String(), "-day", v.epoch(), "-keys", d.p.cluster.KeysDir(""),
		"-brokers", d.p.kafka.Brokers()[0], "-clickhouse", d.p.clickhouse.Address())
	var problems strings.Builder
	command.Stderr = &problems
	output, err := command.Output()
	text := strings.Join(strings.Split(strings.TrimSpace(string(output)), "\n"), ", ")
	d.env.Say("%s: %s", v.way, text)
	var exit *exec.ExitError
	switch {
	case err == nil:
		return toolAnswer{true, text}, nil
	case errors.As(err, &exit) && exit.ExitCode() == 1:
		return toolAnswer{false, text}, nil
	}
	return toolAnswer{}, fmt.Errorf("recompute: %w: %s", err, problems.String())
}

// destroy ends the day's keys: by the command, or as the writer does when they are due.
func (d *death) destroy(ctx context.Context, v visit) error {
	if strings.HasPrefix(v.way, "due") {
		// 31 days after the day's end, by the clock that maintain is given.
		if _, err := keystore.Maintain(d.p.cluster.KeysDir(""), v.day.AddDate(0, 0, 33), keystore.MaintainOptions{}); err != nil {
			return err
		}
		return d.p.cluster.ExportKeys(ctx)
	}
	for _, class := range []string{"day", "opening"} {
		if _, err := d.p.cluster.Command(ctx, "keys", "destroy", class, v.epoch(), "--yes"); err != nil {
			return err
		}
	}
	return d.p.cluster.ExportKeys(ctx)
}

// secrets returns the bytes of the days' private keys, in every form.
func (d *death) secrets(known []visit) (*canary.Searcher, error) {
	var marks []canary.Mark
	for _, v := range known {
		for _, class := range []keystore.Class{keystore.Day, keystore.Opening} {
			text, err := os.ReadFile(filepath.Join(d.p.cluster.KeysDir(""), string(class), v.epoch()+".key"))
			if err != nil {
				return nil, fmt.Errorf("read a key: %w", err)
			}
			key, err := base64.StdEncoding.DecodeString(strings.TrimSpace(string(text)))
			if err != nil {
				return nil, fmt.Errorf("read a key of class %s: it is no base64", class)
			}
			marks = append(marks, canary.Bytes(string(class), key))
		}
	}
	return canary.NewSearcher(marks)
}

// count returns how many files below the directories hold a key.
func (d *death) count(secrets *canary.Searcher, dirs ...string) (files int, err error) {
	for _, dir := range dirs {
		err := filepath.WalkDir(dir, func(path string, entry os.DirEntry, err error) error {
			if errors.Is(err, os.ErrNotExist) {
				return nil
			}
			if err != nil || !entry.Type().IsRegular() {
				return err
			}
			content, err := os.ReadFile(path)
			if errors.Is(err, os.ErrNotExist) {
				return nil
			}
			if err != nil {
				return err
			}
			var found canary.Findings
			secrets.ScanBytes(content, &found)
			if len(found.Hits()) > 0 {
				files++
				d.env.Say("a key stands in %s", path)
			}
			return nil
		})
		if err != nil {
			return 0, fmt.Errorf("search %s: %w", dir, err)
		}
	}
	return files, nil
}
