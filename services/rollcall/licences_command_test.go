package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"rollcall/pkg/keystore"
	"rollcall/pkg/record"
	"rollcall/pkg/registry"
	"rollcall/pkg/topics"
)

// registrar runs licence commands against a broker of its own.
type registrar struct {
	t       *testing.T
	dir     string
	cluster *kfake.Cluster
	brokers string
	client  *kgo.Client
}

func newRegistrar(t *testing.T, options ...kfake.Opt) *registrar {
	t.Helper()
	cluster, err := kfake.NewCluster(append([]kfake.Opt{kfake.NumBrokers(1)}, options...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	client, err := kgo.NewClient(kgo.SeedBrokers(cluster.ListenAddrs()...))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	r := &registrar{t: t, dir: t.TempDir(), cluster: cluster, brokers: strings.Join(cluster.ListenAddrs(), ","), client: client}
	if _, err := keystore.Maintain(r.dir+"/keys", time.Now(), keystore.MaintainOptions{}); err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *registrar) run(ctx context.Context, args ...string) (code int, stdout, stderr string) {
	a, out, err := newApp()
	args = append([]string{"licences"}, append(args, "--kafka.brokers", r.brokers)...)
	if args[1] != "list" {
		args = append(args, "--keystore.dir", r.dir+"/keys")
	}
	code = run(ctx, a, args)
	return code, out.String(), err.String()
}

func (r *registrar) done(into any, args ...string) {
	r.t.Helper()
	code, stdout, stderr := r.run(r.t.Context(), append(args, "--output", "json")...)
	if code != exitDone {
		r.t.Fatalf("licences %v: exit %d, %s", args, code, stderr)
	}
	if err := json.Unmarshal([]byte(stdout), into); err != nil {
		r.t.Fatalf("licences %v: %v in %s", args, err, stdout)
	}
}

func (r *registrar) file(name, content string) string {
	r.t.Helper()
	path := filepath.Join(r.dir, name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		r.t.Fatal(err)
	}
	return path
}

// listed are the terms of the registry: first and last day.
func (r *registrar) listed() []string {
	r.t.Helper()
	var all []licenceTerms
	r.done(&all, "list")
	texts := []string{}
	for _, t := range all {
		texts = append(texts, t.ValidFrom+" to "+t.ValidUntil)
	}
	return texts
}

// records is how many records the topic has ever had.
func (r *registrar) records() (total int64) {
	r.t.Helper()
	ends, err := kadm.NewClient(r.client).ListEndOffsets(r.t.Context(), topics.Licences)
	if err != nil {
		r.t.Fatal(err)
	}
	ends.Each(func(o kadm.ListedOffset) { total += max(o.Offset, 0) })
	return total
}

func TestLicencesRemove(t *testing.T) {
	r := newRegistrar(t, kfake.SeedTopics(3, topics.Licences))
	now := time.Now().UTC()
	day := func(from int) string { return now.AddDate(0, 0, from).Format(time.DateOnly) }
	file := r.file("licences.csv", fmt.Sprintf("licence_key,valid_from,valid_until\nEX-0001-AAAA,2020-01-01,2020-12-31\nEX-0001-AAAA,2021-01-01,\nEX-0001-AAAA,%s,\nEX-0002-BBBB,2020-01-01,\n", day(30)))
	var applied struct{ New int }
	r.done(&applied, "apply", file)
	if applied.New != 4 {
		t.Fatalf("%+v", applied)
	}
	var all []licenceTerms
	r.done(&all, "list")
	counts, licence := map[uuid.UUID]int{}, uuid.Nil
	for _, l := range all {
		if counts[l.LicenceID]++; counts[l.LicenceID] == 3 {
			licence = l.LicenceID
		}
	}
	var got struct {
		LicenceID      uuid.UUID `json:"licence_id"`
		Ended, Removed []licenceTerms
		Written        bool
	}
	before := r.records()
	r.done(&got, "remove", "--licence", licence.String(), "--dry-run")
	if got.Written || len(got.Ended) != 1 || len(got.Removed) != 1 || r.records() != before {
		t.Errorf("dry run: %+v, %d records more", got, r.records()-before)
	}
	key := r.file("key.txt", "ex0001 aaaa\n") // the same licence, typed in another way
	r.done(&got, "remove", "--licence-key-file", key, "--last-day", day(2))
	if got.LicenceID != licence || !got.Written || len(got.Ended) != 1 || got.Ended[0].ValidUntil != day(2) || len(got.Removed) != 1 || got.Removed[0].ValidFrom != day(30) {
		t.Errorf("%+v, want licence %s ended on %s", got, licence, day(2))
	}
	r.done(&got, "remove", "--licence", licence.String())
	want := map[string]int{"2020-01-01 to 2020-12-31": 1, "2021-01-01 to " + day(0): 1, "2020-01-01 to ": 1}
	listed := map[string]int{}
	for _, text := range r.listed() {
		listed[text]++
	}
	if diff := cmp.Diff(want, listed); diff != "" {
		t.Errorf("the registry (-want +got):\n%s", diff)
	}
	before = r.records()
	if r.done(&got, "remove", "--licence", licence.String()); len(got.Ended)+len(got.Removed) != 0 || r.records() != before {
		t.Errorf("a second time: %+v, %d records more", got, r.records()-before)
	}
	if code, stdout, _ := r.run(t.Context(), "remove", "--licence", licence.String()); code != exitDone || !strings.Contains(stdout, "has ended already") {
		t.Errorf("exit %d: %s", code, stdout)
	}
	for wrong, flags := range map[string][]string{
		"has no terms":             {"--licence", uuid.NewString()},
		"have been in force":       {"--licence", licence.String(), "--last-day", "2020-06-01"},
		"--last-day is no day":     {"--licence", licence.String(), "--last-day", "tomorrow"},
		"--licence":                {},
		"can't be used together":   {"--licence", licence.String(), "--licence-key-file", key},
		"no such file":             {"--licence-key-file", r.dir + "/absent"},
		"registry has no terms of": {"--licence-key-file", r.file("other.txt", "EX-0009")},
	} {
		if code, _, stderr := r.run(t.Context(), append([]string{"remove"}, flags...)...); code == exitDone || !strings.Contains(stderr, wrong) {
			t.Errorf("%v: exit %d, %s, want %q", flags, code, stderr, wrong)
		}
	}
	if r.records() != before {
		t.Errorf("what was refused wrote %d records", r.records()-before)
	}
}

// Nothing is written, and no list is shown, while what stands in the registry is not known.
func TestLicencesRefuseWhatTheyCannotRead(t *testing.T) {
	licence := uuid.New()
	terms, err := record.Append(nil, &record.Licence{LicenceID: licence, ValidFrom: 100})
	if err != nil {
		t.Fatal(err)
	}
	terms[2] ^= 0xff // the fingerprint of a schema that is not released yet
	newer := func(r *registrar) {
		if err := r.client.ProduceSync(t.Context(), &kgo.Record{Topic: topics.Licences, Key: registry.Key(licence, 100), Value: terms}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	for name, c := range map[string]struct {
		options []kfake.Opt
		prepare func(*registrar)
		want    string
		limit   time.Duration
	}{
		"no topic":          {prepare: func(*registrar) {}, want: "UNKNOWN_TOPIC", limit: time.Second},
		"no broker":         {prepare: func(r *registrar) { r.cluster.Close() }, want: "the topic of licences", limit: time.Second},
		"a newer release's": {options: []kfake.Opt{kfake.SeedTopics(3, topics.Licences)}, prepare: newer, want: "1 terms of the licence registry were written by a newer release", limit: time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRegistrar(t, c.options...)
			file := r.file("licences.csv", "licence_key,valid_from\nEX-0001-AAAA,2020-01-01\n")
			c.prepare(r)
			for _, args := range [][]string{{"apply", file}, {"apply", file, "--dry-run"}, {"remove", "--licence", licence.String()}, {"list"}} {
				var code int
				var stdout, stderr string
				for _, limit := range []time.Duration{c.limit, 10 * c.limit} { // the first may pass before any answer
					ctx, cancel := context.WithTimeout(t.Context(), limit)
					code, stdout, stderr = r.run(ctx, args...)
					cancel()
					if strings.Contains(stderr, c.want) {
						break
					}
				}
				if code != exitFailed || !strings.Contains(stderr, c.want) || stdout != "" {
					t.Errorf("licences %v: exit %d, said %q, %q, want %q", args, code, stdout, stderr, c.want)
				}
			}
			if len(c.options) > 0 && r.records() != 1 {
				t.Errorf("%d records, want the newer release's only", r.records())
			}
		})
	}
}
