package main

import (
	"context"
	"fmt"
	"strings"
)

// notesWarn holds the notes that Helm shows after an install to what they must warn of,
// and must not. It returns how many warnings it saw.
func (c *chart) notesWarn(ctx context.Context) (int, error) {
	const (
		clear     = "CLICKHOUSE'S PASSWORDS GO OVER THE NETWORK IN THE CLEAR"
		principal = "KAFKA CANNOT TELL gateway, anonymizer, enricher, sink, topics APART"
		nobody    = "KAFKA CANNOT TELL"
		audit     = "audit.enabled is false"
		policies  = "NETWORK POLICIES ARE OFF"
	)
	seen := 0
	for _, test := range []struct {
		values    string
		want, not []string
	}{
		{"minimal", []string{principal, audit}, []string{clear, policies}},
		{"clickhouse-plaintext", []string{clear, principal, audit}, []string{policies}},
		{"sasl-scram", []string{audit}, []string{clear, nobody, policies}},
		{"kafka-certificates", []string{audit}, []string{clear, nobody, policies}},
		{"no-network-policy", []string{policies}, nil},
		{"everything", nil, []string{clear, nobody, audit, policies}},
	} {
		notes, err := c.command(ctx, c.helm, "install", "rollcall", c.dir, "--dry-run=client", "--namespace", chartNamespace, "-f", c.minimal(), "-f", c.valuesFile(test.values))
		if err != nil {
			return 0, err
		}
		_, notes, shown := strings.Cut(notes, "\nNOTES:\n")
		if !shown {
			return 0, fmt.Errorf("an install with the values of %s shows no notes", test.values)
		}
		for _, want := range test.want {
			if !strings.Contains(notes, want) {
				return 0, fmt.Errorf("the notes of %s do not say %q: %s", test.values, want, notes)
			}
			seen++
		}
		for _, not := range test.not {
			if strings.Contains(notes, not) {
				return 0, fmt.Errorf("the notes of %s say %q: %s", test.values, not, notes)
			}
		}
	}
	return seen, nil
}
