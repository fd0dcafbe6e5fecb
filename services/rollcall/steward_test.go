//go:build embedded

package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kfake"

	"rollcall/pkg/accesslog"
	"rollcall/pkg/clickhouse"
	"rollcall/pkg/clickhouse/clickhousetest"
	"rollcall/pkg/identity"
	"rollcall/pkg/keystore"
	"rollcall/pkg/localclickhouse"
	"rollcall/pkg/localclickhouse/localclickhousetest"
	"rollcall/pkg/pseudonym"
	"rollcall/pkg/record"
	"rollcall/pkg/telemetry"
	"rollcall/pkg/topics"
)

const (
	soughtKey   = "SOUGHT-LICENCE-0042"
	soughtEmail = "Person.Sought@Bücher.example"
)

// office is what a steward works with: a broker, ClickHouse and the steward's keys.
type office struct {
	t          *testing.T
	dir        string
	cluster    *kfake.Cluster
	store      clickhouse.Config
	conn       driver.Conn
	keys       *keystore.Directory
	pseudonyms *pseudonym.Licences
	flags      []string // of the access-log's commands
}

func newOffice(t *testing.T) *office {
	t.Helper()
	clickhousetest.AwaitMidnight(t, 5*time.Minute)
	o := &office{t: t, dir: t.TempDir()}
	var err error
	if o.cluster, err = kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, topics.AccessLog)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(o.cluster.Close)
	server := localclickhousetest.Start(t, localclickhouse.Options{Databases: []string{"elsewhere*"}})
	o.store = clickhouse.Config{Addresses: []string{server.Address()}, Database: "elsewhere", User: "default", DialTimeout: time.Minute, ReadTimeout: time.Minute}
	if _, err := clickhouse.Migrate(t.Context(), o.store); err != nil {
		t.Fatal(err)
	}
	if o.conn, err = clickhouse.Open(t.Context(), o.store, telemetry.Discard()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = o.conn.Close() })
	everything, own := filepath.Join(o.dir, "keys"), filepath.Join(o.dir, "own")
	now := time.Now()
	if _, err := keystore.Maintain(everything, now, keystore.MaintainOptions{Since: now.AddDate(0, -2, 0)}); err != nil {
		t.Fatal(err)
	}
	if code, _, stderr := command(t, "keys", "export", "steward", "--keystore.dir", everything, "--to", own); code != exitDone {
		t.Fatal(stderr)
	}
	if o.keys, err = keystore.Open(everything); err != nil {
		t.Fatal(err)
	}
	pepper, err := o.keys.Key(keystore.Pepper, keystore.PepperEpoch)
	if err != nil {
		t.Fatal(err)
	}
	o.pseudonyms = pseudonym.New(pepper)
	o.flags = []string{
		"--kafka.brokers", o.cluster.ListenAddrs()[0], "--clickhouse.addresses", server.Address(), "--clickhouse.database", o.store.Database,
	}
	return o
}

func (o *office) file(name, content string) string {
	o.t.Helper()
	path := filepath.Join(o.dir, name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		o.t.Fatal(err)
	}
	return path
}

// keep seals an identity as the anonymizer does and lands it as the sink does.
func (o *office) keep(r record.Identity, plain identity.Plain, observed time.Time) {
	o.t.Helper()
	r.LicenceID, r.Epoch, r.ObservedAt = o.pseudonyms.LicenceID(soughtKey), keystore.MonthEpoch(observed), observed.UnixMilli()
	key, err := o.keys.Key(keystore.Identity, r.Epoch)
	if err != nil {
		o.t.Fatal(err)
	}
	for r.Nonce == nil || r.Nonce[11] != 0 { // a zero at the end is text's padding to some functions
		if err := identity.Seal(key, &r, plain); err != nil {
			o.t.Fatal(err)
		}
	}
	month, err := time.Parse("2006-01", r.Epoch)
	if err != nil {
		o.t.Fatal(err)
	}
	err = o.conn.Exec(o.t.Context(), "INSERT INTO elsewhere_restricted.identities VALUES (?, ?, ?, ?, fromUnixTimestamp64Milli(?), unhex(?), unhex(?))",
		r.Subject, r.LicenceID, r.Kind, month.Format(time.DateOnly), r.ObservedAt, fmt.Sprintf("%x", r.Nonce), fmt.Sprintf("%x", r.Ciphertext))
	if err != nil {
		o.t.Fatal(err)
	}
}

// keepAll keeps two people and the company, and the company under last month's key too.
func (o *office) keepAll() {
	licence := o.pseudonyms.LicenceID(soughtKey)
	now := time.Now()
	for _, email := range []string{soughtEmail, "second@example.org"} {
		o.keep(record.Identity{Kind: record.IdentityPerson, Subject: o.pseudonyms.Person(licence, email)}, identity.OfPerson(email), now)
	}
	year, month, _ := now.UTC().Date()
	for _, at := range []time.Time{now, time.Date(year, month-1, 15, 0, 0, 0, 0, time.UTC)} {
		o.keep(record.Identity{Kind: record.IdentityCompany, Subject: o.pseudonyms.Company(licence)}, identity.OfCompany("Sought \x1b[31m0047", soughtKey), at)
	}
}

func (o *office) steward(args ...string) (code int, stdout, stderr string) {
	o.t.Helper()
	return command(o.t, append(append([]string{"steward"}, args...), append(o.flags, "--keystore.dir", filepath.Join(o.dir, "own"))...)...)
}

func (o *office) entries() (entries []accessRow) {
	o.t.Helper()
	code, stdout, stderr := command(o.t, append([]string{"access-log", "list", "--output", "json"}, o.flags[:2]...)...)
	if code != exitDone {
		o.t.Fatal(stderr)
	}
	if err := json.Unmarshal([]byte(stdout), &entries); err != nil {
		o.t.Fatal(err)
	}
	return entries
}

func TestStewardFinds(t *testing.T) {
	o := newOffice(t)
	o.keepAll()
	key, mail := o.file("key", " sought licence 0042\n"), o.file("mail", "person.sought@xn--bcher-kva.EXAMPLE\n")
	licence := o.pseudonyms.LicenceID(soughtKey)

	code, stdout, stderr := o.steward("find", "--licence-key-file", key, "--reason", "CASE-1", "--output", "json")
	var found stewardFound
	if err := json.Unmarshal([]byte(stdout), &found); err != nil || code != exitDone {
		t.Fatalf("find: exit %d, %v, %s", code, err, stderr)
	}
	seen := map[string]int{}
	for _, i := range found.Identities {
		if i.State == stateRead {
			seen[i.Email+i.Company+i.KeyEnd]++
		}
	}
	if len(found.Identities) != 4 || seen[soughtEmail] != 1 || seen["second@example.org"] != 1 || seen["Sought \x1b[31m00470042"] != 2 || found.LicenceID != licence {
		t.Errorf("found %+v", found)
	}

	code, stdout, _ = o.steward("find", "--licence-id", licence.String(), "--email-file", mail, "--reason", "CASE-2")
	if code != exitDone || !strings.Contains(stdout, soughtEmail) || strings.Contains(stdout, "second@") || strings.Contains(stdout, "A/S") {
		t.Errorf("one person: exit %d, %s", code, stdout)
	}
	code, stdout, _ = o.steward("find", "--licence-key-file", key, "--reason", "CASE-3")
	if code != exitDone || strings.Contains(stdout, "\x1b") || !strings.Contains(stdout, "Sought \uFFFD[31m0047") {
		t.Errorf("a client steers the terminal: exit %d, %q", code, stdout)
	}
	if code, stdout, _ = o.steward("find", "--licence-id", uuid.NewString(), "--reason", "CASE-4"); code != exitDiffers || !strings.Contains(stdout, "No identity") {
		t.Errorf("of an unknown licence: exit %d, %s", code, stdout)
	}
	code, stdout, _ = o.steward("subject", "--licence-key-file", key, "--email-file", mail, "--reason", "CASE-5")
	for _, id := range []uuid.UUID{licence, o.pseudonyms.Company(licence), o.pseudonyms.Person(licence, soughtEmail)} {
		if code != exitDone || !strings.Contains(stdout, id.String()) {
			t.Errorf("subject: exit %d, no %s in %s", code, id, stdout)
		}
	}

	entries := o.entries()
	for i, want := range []struct {
		action   string
		subjects int
	}{{"steward.find", 0}, {"steward.find", 1}, {"steward.find", 0}, {"steward.find", 0}, {"steward.subject", 1}} {
		e := entries[i]
		if e.Action != want.action || len(e.Subjects) != want.subjects || e.Reason != fmt.Sprint("CASE-", i+1) || e.Actor != operator() || e.Sequence != int64(i+1) {
			t.Errorf("entry %d: %+v", i, e)
		}
	}
	if entries[0].Hash != found.Access.Hash || entries[0].Offset != found.Access.Offset {
		t.Errorf("the command printed %v, the log has %+v", found.Access, entries[0])
	}
	if code, stdout, stderr := command(t, append([]string{"access-log", "verify", "--anchor", found.Access.String()}, o.flags...)...); code != exitDone || !strings.Contains(stdout, "5 entries verified against 6 anchors, 0 findings") {
		t.Errorf("verify: exit %d, %s%s", code, stdout, stderr)
	}
	if code, stdout, _ := command(t, append([]string{"access-log", "verify", "--anchor", "99" + found.Access.String()}, o.flags...)...); code != exitDone {
		t.Errorf("an anchor at another offset: exit %d, %s", code, stdout)
	}
	found.Access.Hash[0] ^= 1
	if code, stdout, _ := command(t, append([]string{"access-log", "verify", "--skip-store", "--anchor", found.Access.String()}, o.flags...)...); code != exitDiffers || !strings.Contains(stdout, "replaced") {
		t.Errorf("an anchor that is not in the log: exit %d, %s", code, stdout)
	}
}

// TestStewardWithoutAKey: what no key here opens is listed, and says why.
func TestStewardWithoutAKey(t *testing.T) {
	o := newOffice(t)
	o.keepAll()
	key := o.file("key", soughtKey)
	own := filepath.Join(o.dir, "own")
	month, now := keystore.MonthEpoch(time.Now().UTC().AddDate(0, 0, -time.Now().UTC().Day())), keystore.MonthEpoch(time.Now())
	if err := keystore.Destroy(own, keystore.Identity, month); err != nil {
		t.Fatal(err)
	}
	if err := o.conn.Exec(t.Context(), "INSERT INTO elsewhere_restricted.identities SELECT * REPLACE (generateUUIDv4() AS subject, reverse(ciphertext) AS ciphertext) FROM elsewhere_restricted.identities WHERE kind = 'PERSON' LIMIT 1"); err != nil {
		t.Fatal(err)
	}
	states := func() map[string]int {
		_, stdout, stderr := o.steward("find", "--licence-key-file", key, "--reason", "CASE-1", "--output", "json")
		var found stewardFound
		if err := json.Unmarshal([]byte(stdout), &found); err != nil {
			t.Fatal(err, stderr)
		}
		n := map[string]int{}
		for _, i := range found.Identities {
			n[i.State]++
		}
		return n
	}
	if n := states(); n[stateDestroyed] != 1 || n[stateRead] != 3 || n[stateBroken] != 1 {
		t.Errorf("states: %v", n)
	}
	if err := os.Remove(filepath.Join(own, string(keystore.Identity), now+".key")); err != nil {
		t.Fatal(err)
	}
	if n := states(); n[stateDestroyed] != 1 || n[stateNoKey] != 4 {
		t.Errorf("states without this month's key: %v", n)
	}
}

// TestStewardIsLoggedFirst: where the access cannot be logged, in Kafka or in
// ClickHouse, nobody is found.
func TestStewardIsLoggedFirst(t *testing.T) {
	o := newOffice(t)
	o.keepAll()
	key := o.file("key", soughtKey)
	silent := func(what string) {
		t.Helper()
		code, stdout, stderr := o.steward("find", "--licence-key-file", key, "--reason", "CASE-1")
		if code != exitFailed || stdout != "" || strings.Contains(stderr, "Sought") || strings.Contains(stderr, "0042") {
			t.Errorf("%s: exit %d, %q, %q", what, code, stdout, stderr)
		}
	}
	exec := func(query string) {
		t.Helper()
		if err := o.conn.Exec(t.Context(), query); err != nil {
			t.Fatal(err)
		}
	}
	// A constraint lets the anchors be read, and none be added.
	exec("ALTER TABLE elsewhere_restricted.access_log ADD CONSTRAINT closed CHECK sequence = 0")
	silent("no anchor can be kept")
	exec("ALTER TABLE elsewhere_restricted.access_log DROP CONSTRAINT closed")
	if n := len(o.entries()); n != 1 {
		t.Errorf("%d entries: the access should be logged although its anchor could not be kept", n)
	}
	exec("INSERT INTO elsewhere_restricted.access_log VALUES (generateUUIDv4(), 9, 99, repeat('0f', 32), now())")
	silent("the log lacks an entry that has an anchor")
	exec("TRUNCATE TABLE elsewhere_restricted.access_log")
	if code, _, stderr := o.steward("find", "--licence-key-file", key, "--reason", "CASE-1"); code != exitDone {
		t.Errorf("in order again: exit %d, %s", code, stderr)
	}
}

// TestStewardsWordsAreRefused: nothing personal gets into the log, or is taken from
// the command line, and what is wrong is not quoted.
func TestStewardsWordsAreRefused(t *testing.T) {
	o := newOffice(t)
	key, mail, empty := o.file("key", soughtKey), o.file("mail", soughtEmail), o.file("empty", " \n")
	for what, args := range map[string][]string{
		"no licence":              {"--reason", "CASE-1"},
		"two licences":            {"--licence-key-file", key, "--licence-id", uuid.NewString(), "--reason", "CASE-1"},
		"no reason":               {"--licence-key-file", key},
		"hardly a reason":         {"--licence-key-file", key, "--reason", "x"},
		"an address as reason":    {"--licence-key-file", key, "--reason", "for person.sought@example.org"},
		"the key in the reason":   {"--licence-key-file", key, "--reason", "about sought licence 0042"},
		"the name in the reason":  {"--licence-key-file", key, "--email-file", mail, "--reason", "about Person.Sought, who called"},
		"a key as the licence id": {"--licence-id", soughtKey, "--reason", "CASE-1"},
		"an empty file":           {"--licence-key-file", empty, "--reason", "CASE-1"},
		"an absent file":          {"--licence-key-file", filepath.Join(o.dir, "absent"), "--reason", "CASE-1"},
	} {
		code, stdout, stderr := o.steward(append([]string{"find"}, args...)...)
		if want := exitUsage; code != want && !strings.Contains(what, "file") || code == exitDone || stdout != "" {
			t.Errorf("%s: exit %d, %s%s", what, code, stdout, stderr)
		}
		if strings.Contains(strings.ToLower(stderr), "person.sought") || strings.Contains(stderr, soughtKey) {
			t.Errorf("%s: quoted in %s", what, stderr)
		}
	}
	if entries := o.entries(); len(entries) > 0 {
		t.Errorf("logged all the same: %+v", entries)
	}
	if _, err := accesslog.ParseAnchor("1:2"); err == nil {
		t.Error("an anchor without a hash")
	}
	if code, _, _ := command(t, append([]string{"access-log", "verify", "--anchor", "1:2"}, o.flags...)...); code != exitUsage {
		t.Errorf("verify with an anchor that is none: exit %d", code)
	}
}

// TestStewardOfAStandalone: one report goes the whole way to the steward, and the log
// goes on after a restart.
func TestStewardOfAStandalone(t *testing.T) {
	dir := t.TempDir()
	data, keys := filepath.Join(dir, "data"), filepath.Join(dir, "data", "keys")
	report, licence := writeReport(t, dir)
	registry := filepath.Join(dir, "licences.csv")
	if err := os.WriteFile(registry, []byte("licence_key,valid_from,edition\nAAAAA-BBBBB,2020-01-01,enterprise\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for life := 1; life <= 2; life++ {
		s := startStandalone(t, data)
		flags := []string{"--kafka.brokers", s.kafka, "--clickhouse.addresses", s.clickhouse}
		if life == 1 {
			if code, _, stderr := command(t, "licences", "apply", registry, "--kafka.brokers", s.kafka, "--keystore.dir", keys); code != exitDone {
				t.Fatalf("licences apply: exit %d, %s", code, stderr)
			}
		}
		found := ""
		for deadline := time.Now().Add(time.Minute); !strings.Contains(found, "admin@example.org"); {
			if time.Now().After(deadline) {
				t.Fatalf("nobody is found: %s", found)
			}
			// Again and again: the anonymizer may not know of the licence yet.
			if code, _, stderr := command(t, "send", "--url", s.url, report); code != exitDone {
				t.Fatalf("send: exit %d, %s", code, stderr)
			}
			_, stdout, stderr := command(t, append([]string{"steward", "find", "--licence-key-file", licence, "--reason", "CASE-1", "--keystore.dir", keys}, flags...)...)
			found = stdout + stderr
		}
		code, stdout, stderr := command(t, append([]string{"access-log", "verify"}, flags...)...)
		if code != exitDone || !strings.Contains(stdout, " 0 findings") {
			t.Errorf("life %d: verify: exit %d, %s%s", life, code, stdout, stderr)
		}
		if code := s.stop(); code != exitDone {
			t.Errorf("stop: exit %d", code)
		}
	}
}
