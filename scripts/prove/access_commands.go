package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/google/uuid"

	"rollcall/pkg/audit"
	"rollcall/pkg/fleet"
)

// commands are those of operators, each under the rights that it is to have; it
// returns what did not work.
func (g *guarded) commands(ctx context.Context, plan *fleet.Plan) []string {
	kafkaAs := func(principal string) []string {
		c := g.principals[principal]
		return []string{"--kafka.sasl.user", c.SASL.User, "--kafka.sasl.password-file", c.SASL.PasswordFile}
	}
	clickhouseAs := func(user string) []string {
		return []string{"--clickhouse.user", user, "--clickhouse.password-file", passwordFile(g.dir, user)}
	}
	var problems []string
	files, err := filepath.Glob(filepath.Join(g.dir, "licences-*.csv"))
	if err != nil || len(files) == 0 {
		return []string{"the fleet has no file of licences"}
	}
	licence := filepath.Join(g.dir, "asked-licence")
	if err := os.WriteFile(licence, []byte(registeredKey(plan)), 0o600); err != nil {
		return []string{err.Error()}
	}
	for _, command := range [][]string{
		slices.Concat([]string{"topics", "check"}, kafkaAs("administrator")),
		slices.Concat([]string{"topics", "apply"}, kafkaAs("administrator")),
		slices.Concat([]string{"topics", "acls"}, kafkaAs("administrator")),
		slices.Concat([]string{"licences", "list", "--output", "json"}, kafkaAs("licences")),
		slices.Concat([]string{"licences", "apply", files[0]}, kafkaAs("licences")),
		slices.Concat([]string{"audit"}, kafkaAs("auditor"), clickhouseAs("auditor")),
		slices.Concat([]string{"steward", "find", "--licence-key-file", licence, "--reason", "proof of access"}, kafkaAs("steward"), clickhouseAs("steward")),
		slices.Concat([]string{"access-log", "verify"}, kafkaAs("auditor"), clickhouseAs("auditor")),
		slices.Concat([]string{"access-log", "list"}, kafkaAs("auditor")),
		slices.Concat([]string{"replay", "--class", "unknown_schema"}, kafkaAs("replay")),
		slices.Concat([]string{"replay", "--partition", "0", "--dry-run"}, kafkaAs("replay")),
		slices.Concat([]string{"quarantine", "add", "--unseen", "--reason", "proof of access", "--by", "proof"}, nobodysSession(), clickhouseAs("quarantine")),
		slices.Concat([]string{"quarantine", "list", "--history"}, clickhouseAs("quarantine")),
		slices.Concat([]string{"migrate", "up"}, clickhouseAs("migrator")),
		slices.Concat([]string{"migrate", "status"}, clickhouseAs("migrator")),
	} {
		if _, err := g.cluster.Command(ctx, command...); err != nil {
			problems = append(problems, err.Error())
		}
	}
	if err := g.where(ctx); err != nil {
		problems = append(problems, err.Error())
	}
	return problems
}

// nobodysSession names a session that has reported nothing.
func nobodysSession() []string {
	return []string{"--licence", uuid.NewString(), "--session", uuid.NewString()}
}

// registeredKey returns the key of a licence that the registry has from the start.
func registeredKey(plan *fleet.Plan) string {
	for _, licence := range plan.Licences() {
		if licence.Phase != fleet.PhaseNever {
			return licence.Key
		}
	}
	return ""
}

// where follows a report that landed to its end with the auditor's rights.
func (g *guarded) where(ctx context.Context) error {
	ids, err := g.texts(ctx, "SELECT toString(report_id) FROM receipts WHERE end = 'landed' LIMIT 1")
	if err != nil {
		return err
	}
	if len(ids) != 1 {
		return errors.New("no report has landed")
	}
	conn, err := g.as(ctx, "auditor")
	if err != nil {
		return err
	}
	found, err := audit.Where(ctx, conn, uuid.MustParse(ids[0]))
	if err == nil && found.End != "landed" {
		err = fmt.Errorf("a report that landed is %s to the auditor", found.End)
	}
	return err
}

// as connects to ClickHouse as the user, over TLS as services do.
func (g *guarded) as(ctx context.Context, user string) (driver.Conn, error) {
	config := storeConfig(g.clickhouse, user, passwordFile(g.dir, user))
	config.Addresses, config.TLS = []string{g.tls.Address()}, g.tls.ClickHouse()
	return g.env.open(ctx, config)
}
