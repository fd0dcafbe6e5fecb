package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
)

// showCompose prints a compose file as engines understand it: checked against the
// specification's schema, with variables' defaults, anchors and paths resolved.
func showCompose(ctx context.Context, path string, stdout io.Writer) error {
	project, err := loadCompose(ctx, path)
	if err != nil {
		return err
	}
	encoder := json.NewEncoder(stdout)
	encoder.SetIndent("", "  ")
	return encoder.Encode(project)
}

// loadCompose reads a compose file, services of all profiles included, without the
// environment of whoever runs this.
func loadCompose(ctx context.Context, path string) (*types.Project, error) {
	options, err := cli.NewProjectOptions([]string{path}, cli.WithConsistency(true), cli.WithProfiles([]string{"*"}))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	project, err := options.LoadProject(ctx)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return project, nil
}
