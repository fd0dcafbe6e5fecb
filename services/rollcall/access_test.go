package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"rollcall/pkg/access"
	"rollcall/pkg/accesslog"
	"rollcall/pkg/replay"
)

// outcome carries out a command line.
func outcome(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	a, out, problems := newApp()
	code = run(t.Context(), a, args)
	return code, out.String(), problems.String()
}

func TestGrantsSQL(t *testing.T) {
	code, stdout, stderr := outcome(t, "grants", "sql", "--clickhouse.database", "usage", "--partner", "p0001=Partner 1, too")
	if code != exitDone || !strings.Contains(stdout, "ON usage.v1_partner_licence_day FOR SELECT USING partner = 'Partner 1, too' TO rollcall_partner_p0001;\n") ||
		!strings.Contains(stdout, "INSERT ON usage_restricted.identities") {
		t.Errorf("exit %d, %s: %s", code, stderr, stdout)
	}
	for _, args := range [][]string{{"--partner", "P0001"}, {"--partner", "p0001", "--partner", "p0001"}, {"--clickhouse.database", "a;b"}} {
		if code, _, stderr := outcome(t, append([]string{"grants", "sql"}, args...)...); code != exitUsage {
			t.Errorf("%v: exit %d, %s", args, code, stderr)
		}
	}
}

// Passwords are made once, by chance, where only their owner may read them.
func TestGrantsUsersFile(t *testing.T) {
	dir := t.TempDir()
	passwords, to := filepath.Join(dir, "passwords"), filepath.Join(dir, "users.xml")
	args := []string{"grants", "users-file", "--passwords", passwords, "--to", to, "--partner", "p0001=P0001", "--network", "10.0.0.0/8"}
	if code, _, stderr := outcome(t, args...); code != exitDone {
		t.Fatalf("exit %d, %s", code, stderr)
	}
	first, err := os.ReadFile(to)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"sink", "analyst", "steward", "auditor", "quarantine", "migrator", "partner_p0001"} {
		file := filepath.Join(passwords, name)
		info, err := os.Stat(file)
		if err != nil || info.Mode().Perm() != 0o600 || !bytes.Contains(first, []byte("<"+name+">")) {
			t.Errorf("user %s: %v, %v", name, info, err)
			continue
		}
		if content, _ := os.ReadFile(file); len(content) < 40 || bytes.Contains(first, bytes.TrimSpace(content)) {
			t.Errorf("the password of %s is short, or stands in the file", name)
		}
	}
	if info, err := os.Stat(to); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the users file: %v, %v", info, err)
	}
	code, stdout, stderr := outcome(t, "grants", "users-file", "--passwords", passwords, "--partner", "p0001=P0001", "--network", "10.0.0.0/8")
	if code != exitDone || stdout != string(first) {
		t.Errorf("a second time: exit %d, %s, another file", code, stderr)
	}
	if err := os.Chmod(filepath.Join(passwords, "sink"), 0o644); err != nil {
		t.Fatal(err)
	}
	if code, _, stderr := outcome(t, args...); code != exitFailed || !strings.Contains(stderr, "0644") {
		t.Errorf("a password that others may read: exit %d, %s", code, stderr)
	}
}

func TestTopicsACLs(t *testing.T) {
	file := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(file, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.EnableSASL(), kfake.EnableACLs(), kfake.Superuser("SCRAM-SHA-512", "admin", "secret"))
	if err != nil {
		t.Fatal(err)
	}
	defer cluster.Close()
	check := func(what string, want int, says string, more ...string) {
		t.Helper()
		args := append([]string{
			"topics", "acls", "--kafka.brokers", cluster.ListenAddrs()[0], "--kafka.sasl.mechanism", "SCRAM-SHA-512",
			"--kafka.sasl.user", "admin", "--kafka.sasl.password-file", file, "--sink.group", "other-sink",
		}, more...)
		if code, stdout, stderr := outcome(t, args...); code != want || !strings.Contains(stdout, says) {
			t.Errorf("%s: exit %d, want %d and %q: %s%s", what, code, want, says, stdout, stderr)
		}
	}
	check("before", exitDiffers, "missing  User:rollcall-sink           allowed  Read")
	check("applied", exitDone, "other-sink", "--apply")
	check("applied twice", exitDone, "are those of the table", "--apply")
	check("compared", exitDone, "are those of the table")
	check("another name", exitDiffers, "User:CN=gw", "--principal", "gateway=CN=gw")
	check("nobody", exitUsage, "", "--principal", "nobody=x")

	client, err := kgo.NewClient(kgo.SeedBrokers(cluster.ListenAddrs()...), kgo.SASL(scram.Auth{User: "admin", Pass: "secret"}.AsSha512Mechanism()))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	stranger := kadm.NewACLs().Allow("User:eve").Topics("identities").Operations(kadm.OpRead)
	if _, err := kadm.NewClient(client).CreateACLs(t.Context(), stranger); err != nil {
		t.Fatal(err)
	}
	check("a stranger", exitDiffers, "foreign  User:eve", "--apply")
	check("a stranger stays", exitDiffers, "foreign  User:eve")
}

// The table names what the code uses.
func TestAccessNamesAreThoseOfTheCode(t *testing.T) {
	defaults := map[string]string{}
	for _, c := range model(t).Children {
		if c.Name == configCommand {
			for _, flag := range c.Flags {
				defaults[flag.Name] = flag.Default
			}
		}
	}
	for name, want := range map[string]string{
		"anonymizer.group": access.GroupAnonymizer, "enricher.group": access.GroupEnricher, "sink.group": access.GroupSink, "clickhouse.database": access.DefaultDatabase,
	} {
		if defaults[name] != want {
			t.Errorf("%s is %q, the table has %q", name, defaults[name], want)
		}
	}
	if replay.Group != access.GroupReplay || accesslog.TransactionalID != access.TransactionAccessLog {
		t.Error("the table names another group of replay, or another transaction of the stewards")
	}
}

const (
	accessBegins = "<!-- Generated from pkg/access: go test ./services/rollcall -run Generated -update -->\n"
	accessEnds   = "<!-- End of the generated tables -->\n"
)

// docs/access.md has the table as it is.
func TestGeneratedAccessTables(t *testing.T) {
	const path = "../../docs/access.md"
	page, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, begins := strings.Cut(string(page), accessBegins)
	_, after, ends := strings.Cut(rest, accessEnds)
	if !begins || !ends {
		t.Fatalf("%s has no place for the tables", path)
	}
	compare(t, path, []byte(before+accessBegins+accessTables()+accessEnds+after))
}

func accessTables() string {
	var b strings.Builder
	b.WriteString("\n### ClickHouse\n\n| role | holder | may | on |\n|---|---|---|---|\n")
	for _, role := range access.Roles() {
		name, holder := "`"+role.Name+"`", role.Holder
		for _, g := range role.Grants {
			on := "`" + g.Object + "`"
			if g.Scope != access.Main {
				on += " (" + string(g.Scope) + ")"
			}
			if len(g.Columns) > 0 {
				on += ", columns " + strings.Join(g.Columns, ", ")
			}
			if g.Filter != "" {
				on += ", rows with `" + g.Filter + "`"
			}
			fmt.Fprintf(&b, "| %s | %s | %s | %s: %s |\n", name, holder, strings.Join(g.Privileges, ", "), on, g.Why)
			name, holder = "", ""
		}
	}
	b.WriteString("\n### Kafka\n\n| principal | holder | may | on |\n|---|---|---|---|\n")
	for _, principal := range access.Principals() {
		name, holder := "`"+principal.Name+"`", principal.Holder
		for _, p := range principal.Permissions {
			fmt.Fprintf(&b, "| %s | %s | %s | %s `%s`: %s |\n", name, holder, strings.Join(p.Operations, ", "), p.Resource, p.Name, p.Why)
			name, holder = "", ""
		}
	}
	return b.String() + "\n"
}
