package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/sync/errgroup"
)

// attempt is one access by somebody to something.
type attempt struct {
	System string // Kafka or ClickHouse
	Who    string
	What   string
	// Rightful: the table of who may do what has it.
	Rightful bool
	// Do tries, and returns nil where it was let through.
	Do func(ctx context.Context) error
}

// refusalError is an answer that says that somebody may not do that; any other error
// is none, but a sign that the attempt itself was wrong.
type refusalError struct{ answer string }

func (e *refusalError) Error() string { return e.answer }

// verdictOn is what came of an attempt.
type verdictOn struct {
	attempt
	answer string
	right  bool // refused where it was wrong, let through where it was rightful
}

// attemptAll tries all of them, some at a time, and returns them in their order.
func attemptAll(ctx context.Context, attempts []attempt) ([]verdictOn, error) {
	verdicts := make([]verdictOn, len(attempts))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(8)
	for i, a := range attempts {
		group.Go(func() error {
			err := a.Do(ctx)
			v := verdictOn{attempt: a, answer: "done"}
			var refusal *refusalError
			switch {
			case err == nil:
				v.right = a.Rightful
			case errors.As(err, &refusal):
				v.answer, v.right = refusal.answer, !a.Rightful
			default:
				v.answer = "neither done nor refused: " + err.Error()
			}
			verdicts[i] = v
			return ctx.Err()
		})
	}
	return verdicts, group.Wait()
}

// tally counts verdicts by system.
type tally struct {
	refused, rightful map[string]int
	wrong             []verdictOn
}

func tallyOf(verdicts []verdictOn) tally {
	t := tally{refused: map[string]int{}, rightful: map[string]int{}}
	for _, v := range verdicts {
		switch {
		case !v.right:
			t.wrong = append(t.wrong, v)
		case v.Rightful:
			t.rightful[v.System]++
		default:
			t.refused[v.System]++
		}
	}
	return t
}

func (t tally) String() string {
	return fmt.Sprintf("%d wrong accesses refused (%d by ClickHouse, %d by Kafka), %d rightful ones done (%d, %d), %d otherwise",
		t.refused["ClickHouse"]+t.refused["Kafka"], t.refused["ClickHouse"], t.refused["Kafka"],
		t.rightful["ClickHouse"]+t.rightful["Kafka"], t.rightful["ClickHouse"], t.rightful["Kafka"], len(t.wrong))
}

// show prints the verdicts: what did not come as it should first, then the table.
func show(env *Environment, verdicts []verdictOn) {
	for _, v := range verdicts {
		if !v.right {
			env.Say("NOT AS IT SHOULD BE: %s: %s: %s → %s", v.System, v.Who, v.What, v.answer)
		}
	}
	for _, v := range verdicts {
		kind := "wrong   "
		if v.Rightful {
			kind = "rightful"
		}
		env.Say("%-10s %s %-16s %-60s %s", v.System, kind, v.Who, clip(v.What, 60), clip(v.answer, 90))
	}
}

// clip keeps a line to its column.
func clip(text string, length int) string {
	text = strings.Join(strings.Fields(text), " ")
	if len(text) > length {
		return text[:length-1] + "…"
	}
	return text
}
