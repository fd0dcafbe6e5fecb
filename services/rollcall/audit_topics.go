package main

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"

	"rollcall/pkg/health"
	"rollcall/pkg/pause"
	"rollcall/pkg/topics"
)

const (
	// topicsInterval is how often the settings of the topics are looked at: as often as a
	// gateway looks at those of reports.raw.
	topicsInterval = 30 * time.Second
	topicsTimeout  = 10 * time.Second
	// conditionDurability is the class of conditions that gateways fail for reports.raw, too.
	conditionDurability = "durability"
)

// topicsJudge keeps a condition for each topic: no setting of it would let an acknowledged
// record be lost. None of them ends readiness: the auditor is not what is at fault.
type topicsJudge struct {
	admin  *kadm.Client
	wanted topics.Options
	checks *health.Checks
	log    *slog.Logger
	denied map[string]bool // topics of which it was said that their settings may not be read
}

func newTopicsJudge(admin *kadm.Client, wanted topics.Options, checks *health.Checks, log *slog.Logger) *topicsJudge {
	return &topicsJudge{admin: admin, wanted: wanted, checks: checks, log: log, denied: map[string]bool{}}
}

// run judges at once and then every so often, until ctx ends.
func (j *topicsJudge) run(ctx context.Context) {
	j.look(ctx)
	for pause.For(ctx, topicsInterval) {
		j.look(ctx)
	}
}

// look judges each topic. One whose settings cannot be read is as it was; whether a topic
// is there at all its services say.
func (j *topicsJudge) look(ctx context.Context) {
	for _, spec := range topics.Specs(j.wanted) {
		why, err := j.weakness(ctx, spec.Name)
		condition := conditionDurability + "/" + spec.Name
		switch {
		case errors.Is(err, kerr.TopicAuthorizationFailed):
			if !j.denied[spec.Name] {
				j.denied[spec.Name] = true
				j.log.WarnContext(ctx, "a topic is not watched for settings that could lose records: rollcall topics acls --apply lets the auditor read them", "topic", spec.Name)
			}
		case err != nil:
			j.log.DebugContext(ctx, "the settings of a topic cannot be read", "topic", spec.Name, "error", err)
		case why == "":
			j.checks.Pass(condition)
		default:
			j.checks.Tell(condition, why)
		}
	}
}

// weakness returns which setting would let an acknowledged record be lost, or nothing.
func (j *topicsJudge) weakness(ctx context.Context, topic string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, topicsTimeout)
	defer cancel()
	differences, err := topics.Differences(ctx, j.admin, j.wanted, topic)
	if err != nil {
		return "", err
	}
	for _, d := range differences {
		if d.Weakens() {
			return d.String(), nil
		}
	}
	return "", nil
}
