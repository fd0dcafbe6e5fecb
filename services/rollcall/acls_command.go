package main

import (
	"context"
	"errors"
	"fmt"

	"rollcall/pkg/access"
	"rollcall/pkg/kafka"
	"rollcall/pkg/telemetry"
)

type topicsACLsCommand struct {
	kafkaSections
	output
	Anonymizer string            `name:"anonymizer.group" help:"Consumer group that reads reports.raw." default:"rollcall-anonymizer" group:"Groups"`
	Enricher   string            `name:"enricher.group" help:"Consumer group that reads reports.clean." default:"rollcall-enricher" group:"Groups"`
	Sink       string            `name:"sink.group" help:"Consumer group of the sink." default:"rollcall-sink" group:"Groups"`
	Prefix     string            `name:"principal-prefix" help:"What principals' names begin with: User:PREFIXgateway." default:"rollcall-"`
	Principal  map[string]string `help:"Name of a principal that a certificate calls otherwise, without User:. Can be repeated." placeholder:"NAME=USER"`
	Apply      bool              `help:"Add what is missing, and remove what the principals have beyond the table; needs a super user of the cluster."`
}

func (topicsACLsCommand) Help() string {
	return page("Compares the ACLs of the cluster with the table of who may do what (docs/access.md). missing: the table has it; "+
		"surplus: one of the principals has more, or is denied something; foreign: somebody else may reach Rollcall's topics, "+
		"groups or the cluster. What is foreign is listed and never removed.", []string{
		"rollcall topics acls --kafka.brokers broker-1:9093 --kafka.tls.enabled --kafka.sasl.mechanism SCRAM-SHA-512 \\",
		"    --kafka.sasl.user admin --kafka.sasl.password-file /run/secrets/kafka --apply",
		"rollcall topics acls --output json | jq .foreign",
		"rollcall topics acls --principal gateway=CN=gateway.example.org",
	}, "the ACLs differ from the table")
}

func (c *topicsACLsCommand) Run(ctx context.Context, a *app) error {
	names := access.ACLNames{
		Groups: map[string]string{access.GroupAnonymizer: c.Anonymizer, access.GroupEnricher: c.Enricher, access.GroupSink: c.Sink},
		Prefix: c.Prefix, Users: c.Principal,
	}
	if err := errors.Join(c.Kafka.Validate(), names.Validate()); err != nil {
		return usage(err)
	}
	client, err := kafka.NewClient(c.Kafka, telemetry.Discard())
	if err != nil {
		return err
	}
	defer client.Close()
	do := access.CompareACLs
	if c.Apply {
		do = access.ApplyACLs
	}
	found, err := do(ctx, client, names)
	if err != nil {
		return err
	}
	if err := c.print(a, found); err != nil {
		return err
	}
	if len(found.Foreign) > 0 || !c.Apply && !found.Empty() {
		return fmt.Errorf("topics acls: %w", errDiffers)
	}
	return nil
}

func (c *topicsACLsCommand) print(a *app, found access.ACLDifferences) error {
	missing, surplus := "missing", "surplus"
	if c.Apply {
		missing, surplus = "added", "removed"
	}
	result := struct {
		access.ACLDifferences
		Applied bool `json:"applied"`
	}{found, c.Apply}
	return c.show(a.stdout, result, func(w *columns) {
		if found.Empty() {
			w.row("The ACLs are those of the table.")
			return
		}
		w.row("STATE", "PRINCIPAL", "MAY", "OPERATION", "RESOURCE", "NAME", "PATTERN", "FROM")
		for _, group := range []struct {
			state string
			acls  []access.ACL
		}{{missing, found.Missing}, {surplus, found.Surplus}, {"foreign", found.Foreign}} {
			for _, acl := range group.acls {
				may := "allowed"
				if !acl.Allow {
					may = "denied"
				}
				w.row(group.state, acl.Principal, may, acl.Operation, acl.Resource, acl.Name, acl.Pattern, acl.Host)
			}
		}
	})
}
