package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"rollcall/scripts/testbed"
)

func TestMain(m *testing.M) { testbed.Main(m) }

// proofLimit bounds one small proof: each has its own, so that one that hangs is named.
const proofLimit = 20 * time.Minute

// TestProofs runs, small, every proof of correctness.
func TestProofs(t *testing.T) {
	for _, proof := range proofs() {
		if !proof.Tested {
			continue
		}
		t.Run(proof.Name, func(t *testing.T) {
			env, err := newEnvironment(Small, os.Stderr)
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), proofLimit)
			defer cancel()
			verdict := proof.carryOut(ctx, env)
			if err := env.close(!verdict.Holds); err != nil {
				t.Error(err)
			}
			t.Log(verdict.line(proof.Name))
			if !verdict.Holds {
				t.Errorf("falls short; logs and data: %s", env.Dir)
			}
		})
	}
}

func TestTableIsWellFormed(t *testing.T) {
	seen := map[string]bool{}
	for _, proof := range proofs() {
		if proof.Name == "" || proof.Claim == "" || proof.Run == nil || seen[proof.Name] {
			t.Errorf("%q: named twice, or without a claim or a run", proof.Name)
		}
		seen[proof.Name] = true
	}
}

func TestVerdictLine(t *testing.T) {
	outcome := func(figure string, holds bool, err error) string {
		proof := Proof{Name: "some", Run: func(context.Context, *Environment) (string, bool, error) { return figure, holds, err }}
		return proof.carryOut(t.Context(), nil).line(proof.Name)
	}
	for _, test := range []struct{ got, want string }{
		{outcome("12 cells,\n0 differ", true, nil), "some: holds: 12 cells, 0 differ"},
		{outcome("0.6 of the peer", false, nil), "some: falls short: 0.6 of the peer"},
		{outcome("half", true, errors.New("no broker")), "some: falls short: half (no broker)"},
		{outcome("", true, errors.New("no broker")), "some: falls short: (no broker)"},
	} {
		if test.got != test.want {
			t.Errorf("got %q, want %q", test.got, test.want)
		}
	}
}

func TestUnknownProofIsRefused(t *testing.T) {
	var out bytes.Buffer
	if _, err := run(t.Context(), []string{"-name", "nothing"}, &out, &out); err == nil || strings.Contains(out.String(), "holds") {
		t.Errorf("error %v, output %q", err, out.String())
	}
	if _, err := run(t.Context(), []string{"-name", "nothing", "-size", "huge"}, &out, &out); err == nil {
		t.Error("an unknown size was taken")
	}
}

func TestEnvironmentClosesInReverseAndTidiesUp(t *testing.T) {
	env, err := newEnvironment(Small, &bytes.Buffer{})
	if err != nil {
		t.Fatal(err)
	}
	var order []int
	for i := range 3 {
		env.OnClose(func(context.Context) error { order = append(order, i); return nil })
	}
	if err := env.close(false); err != nil {
		t.Fatal(err)
	}
	if len(order) != 3 || order[0] != 2 || order[2] != 0 {
		t.Errorf("closed in the order %v", order)
	}
	if _, err := os.Stat(env.Dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the directory is left: %v", err)
	}
	if Choose(env, 1, 2) != 1 || Choose(&Environment{Size: Full}, 1, 2) != 2 {
		t.Error("Choose ignores the size")
	}
}
