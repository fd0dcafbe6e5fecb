package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kadm"

	"rollcall/pkg/kafka"
	"rollcall/pkg/telemetry"
	"rollcall/pkg/topics"
)

type topicsCommand struct {
	Apply topicsApplyCommand `cmd:"" help:"Create what is absent and correct settings; done twice, nothing changes."`
	Check topicsCheckCommand `cmd:"" help:"Say how the topics differ from their specification."`
	ACLs  topicsACLsCommand  `cmd:"" name:"acls" help:"Say how the cluster's ACLs differ from the table of who may do what, or correct them."`
}

func (topicsCommand) Help() string {
	return page("The topics and their settings: docs/topics.md.", []string{
		"rollcall topics apply --kafka.brokers broker-1:9092",
		"rollcall topics check --output json",
	}, "topics differ from their specification")
}

type topicsSections struct {
	kafkaSections
	Topics topics.Options `embed:"" prefix:"topics." group:"Topics"`
	output
}

type topicsApplyCommand struct{ topicsSections }

func (topicsApplyCommand) Help() string {
	return page("Topics are created, settings corrected and partitions added. Never done: fewer "+
		"partitions, another number for the compacted topic, or copies moved between brokers; what "+
		"would need that is listed.", []string{
		"rollcall topics apply --kafka.brokers broker-1:9092,broker-2:9092",
		"rollcall topics apply --topics.replication-factor 1 --topics.min-in-sync 1",
	}, "differences remain that are not for this command to remove")
}

func (c *topicsApplyCommand) Run(ctx context.Context, a *app) error {
	return c.with(func(admin *kadm.Client) error {
		before, err := topics.Differences(ctx, admin, c.Topics)
		if err != nil {
			return err
		}
		err = topics.Ensure(ctx, admin, c.Topics)
		var left *topics.DifferencesError
		if err != nil && !errors.As(err, &left) {
			return err
		}
		result := topicsResult{Changed: before, Remaining: []topics.Difference{}}
		if left != nil {
			result.Remaining = left.Differences
			result.Changed = without(before, left.Differences)
		}
		return c.report(a, result)
	})
}

type topicsCheckCommand struct{ topicsSections }

func (topicsCheckCommand) Help() string {
	return page("Changes nothing. More partitions or copies than asked for are no difference.", []string{
		"rollcall topics check --kafka.brokers broker-1:9092",
		"rollcall topics check --output json | jq .remaining",
	}, "topics differ from their specification")
}

func (c *topicsCheckCommand) Run(ctx context.Context, a *app) error {
	return c.with(func(admin *kadm.Client) error {
		differences, err := topics.Differences(ctx, admin, c.Topics)
		if err != nil {
			return err
		}
		return c.report(a, topicsResult{Remaining: differences})
	})
}

type topicsResult struct {
	Changed   []topics.Difference `json:"changed,omitempty"`
	Remaining []topics.Difference `json:"remaining"`
}

func (c *topicsSections) with(do func(*kadm.Client) error) error {
	if err := errors.Join(c.Kafka.Validate(), c.Topics.Validate()); err != nil {
		return usage(err)
	}
	client, err := kafka.NewClient(c.Kafka, telemetry.Discard())
	if err != nil {
		return err
	}
	defer client.Close()
	return do(kadm.NewClient(client))
}

func (c *topicsSections) report(a *app, result topicsResult) error {
	err := c.show(a.stdout, result, func(w *columns) {
		if len(result.Changed)+len(result.Remaining) == 0 {
			w.row("All topics are as specified.")
			return
		}
		w.row("TOPIC", "SETTING", "WANTED", "FOUND", "NOW")
		for _, d := range result.Changed {
			w.row(d.Topic, d.Setting, d.Want, d.Have, "corrected")
		}
		for _, d := range result.Remaining {
			w.row(d.Topic, d.Setting, d.Want, d.Have, "differs")
		}
	})
	if err != nil {
		return err
	}
	if len(result.Remaining) > 0 {
		return fmt.Errorf("topics: %w", errDiffers)
	}
	return nil
}

func without(all, taken []topics.Difference) []topics.Difference {
	gone := map[topics.Difference]bool{}
	for _, d := range taken {
		gone[d] = true
	}
	var left []topics.Difference
	for _, d := range all {
		if !gone[d] {
			left = append(left, d)
		}
	}
	return left
}
