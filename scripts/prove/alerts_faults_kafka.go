package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"rollcall/pkg/topics"
	"rollcall/scripts/testbed"
)

// Faults of Kafka: of its brokers, its topics' settings, its ACLs and its groups.

// kafkaBack starts Kafka again and waits until nothing alerts but what looks back.
func (a *alertsRun) kafkaBack(ctx context.Context) error {
	if err := a.kafka.Restart(ctx); err != nil {
		return err
	}
	return a.recover(ctx)
}

// usageACLs let everybody do everything with usage but write to it: the one that allows
// stands for those of the services, without which an ACL that denies would deny all.
func usageACLs() (allow, deny *kadm.ACLBuilder) {
	on := func() *kadm.ACLBuilder {
		return kadm.NewACLs().Topics(topics.Usage).ResourcePatternType(kadm.ACLPatternLiteral)
	}
	return on().Allow("User:*").AllowHosts("*").Operations(kadm.OpAll), on().Deny("User:*").DenyHosts("*").Operations(kadm.OpWrite)
}

func (a *alertsRun) forbidUsage(ctx context.Context) error {
	allow, deny := usageACLs()
	for _, acls := range []*kadm.ACLBuilder{allow, deny} {
		answers, err := a.admin.CreateACLs(ctx, acls)
		if err != nil {
			return fmt.Errorf("create an ACL: %w", err)
		}
		for _, answer := range answers {
			err = errors.Join(err, answer.Err)
		}
		if err != nil {
			return fmt.Errorf("create an ACL: %w", err)
		}
	}
	return nil
}

func (a *alertsRun) allowUsage(ctx context.Context) error {
	allow, deny := usageACLs()
	for _, acls := range []*kadm.ACLBuilder{deny, allow} {
		answers, err := a.admin.DeleteACLs(ctx, acls)
		if err != nil {
			return fmt.Errorf("delete an ACL: %w", err)
		}
		for _, answer := range answers {
			err = errors.Join(err, answer.Err)
		}
		if err != nil {
			return fmt.Errorf("delete an ACL: %w", err)
		}
	}
	return a.recover(ctx)
}

func (a *alertsRun) set(topic, setting, value string) func(context.Context) error {
	return func(ctx context.Context) error {
		answers, err := a.admin.AlterTopicConfigs(ctx, []kadm.AlterConfig{{Op: kadm.SetConfig, Name: setting, Value: &value}}, topic)
		if err != nil {
			return fmt.Errorf("alter %s: %w", topic, err)
		}
		for _, answer := range answers {
			err = errors.Join(err, answer.Err)
		}
		return err
	}
}

// strengthen sets it right and waits until the alert ends.
func (a *alertsRun) strengthen(topic, setting, value string) func(context.Context) error {
	return func(ctx context.Context) error {
		if err := a.set(topic, setting, value)(ctx); err != nil {
			return err
		}
		return a.ends(ctx, "RollcallTopicWeak/critical")
	}
}

// skipReports stops the anonymizer for a while and commits for it what it never read.
func (a *alertsRun) skipReports(ctx context.Context) error {
	if err := a.cluster.Service(testbed.Anonymizer)[0].Stop(ctx); err != nil {
		return err
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(3 * time.Second):
	}
	ends, err := a.admin.ListEndOffsets(ctx, topics.Raw)
	if err != nil {
		return fmt.Errorf("read the ends of %s: %w", topics.Raw, err)
	}
	if err := a.admin.CommitAllOffsets(ctx, "rollcall-anonymizer", ends.Offsets()); err != nil {
		return fmt.Errorf("move the group: %w", err)
	}
	return nil
}

// rewind does as the runbook says, and waits until the audit is complete and its alert ends.
func (a *alertsRun) rewind(ctx context.Context) error {
	processes := append(slices.Clone(a.cluster.Service(testbed.Anonymizer)), a.cluster.Service(testbed.Sink)...)
	for _, process := range processes {
		if err := process.Stop(ctx); err != nil {
			return err
		}
	}
	if _, err := a.cluster.Command(ctx, "rewind"); err != nil {
		return err
	}
	for _, process := range processes {
		if err := process.Start(ctx); err != nil {
			return err
		}
	}
	if _, err := a.cluster.Command(ctx, "audit", "--wait", "2m"); err != nil {
		a.wrong("the audit after the rewind: %v", err)
	}
	return a.ends(ctx, "RollcallReceiptsMissing/critical")
}
