package main

import (
	"context"
	"path/filepath"
	"strings"
)

// proveNetworkPolicy evaluates the NetworkPolicies of the values with everything on
// over every pair of pods and strangers, compares what is allowed with the table of
// docs/kubernetes.md, and breaks each policy to see that the comparison finds it. Then
// it evaluates every other file of values for what must never be allowed.
func proveNetworkPolicy(ctx context.Context, env *Environment) (string, bool, error) {
	c, err := openChart(ctx, env)
	if err != nil {
		return "", false, err
	}
	everything, err := c.render(ctx, filepath.Join(c.dir, "ci", "everything-values.yaml"))
	if err != nil {
		return "", false, err
	}
	table, err := c.command(ctx, c.judge, "policies", "-table", filepath.Join(c.root, "docs", "kubernetes.md"), everything)
	if err != nil {
		return "", false, err
	}
	rendered, err := c.renderAll(ctx)
	if err != nil {
		return "", false, err
	}
	never, err := c.command(ctx, c.judge, append([]string{"policies"}, rendered...)...)
	if err != nil {
		return "", false, err
	}
	return strings.TrimSpace(table) + "; " + strings.TrimSpace(never), true, nil
}
