package partstore

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
)

// Programs that judge the chart. The path of each is the program itself.
const (
	// Helm renders, checks and installs the chart.
	Helm = "helm"
	// Kubeconform checks manifests against JSON schemas.
	Kubeconform = "kubeconform"
	// HelmDocs writes the chart's README.
	HelmDocs = "helm-docs"
)

// chartTools are main packages at one version each, whose own go.mod and go.sum say
// what they are built from.
func chartTools() []part {
	var made []part
	for _, t := range []struct{ name, program, version string }{
		{Helm, "helm.sh/helm/v4/cmd/helm", "v4.3.1"},
		{Kubeconform, "github.com/yannh/kubeconform/cmd/kubeconform", "v0.8.0"},
		{HelmDocs, "github.com/norwoodj/helm-docs/cmd/helm-docs", "v1.14.2"},
	} {
		made = append(made, part{
			name: t.name, version: t.version, entry: path.Base(t.program), tools: []tool{golang},
			about: t.name + " " + t.version + ", built from Go modules (some minutes)", fetch: fetchInstall(t.program + "@" + t.version),
		})
	}
	return made
}

// fetchInstall returns what builds a main package of somebody else's module.
func fetchInstall(program string) func(ctx context.Context, j job) error {
	return func(ctx context.Context, j job) error {
		bin, err := filepath.Abs(j.content)
		if err != nil {
			return fmt.Errorf("find the part's directory: %w", err)
		}
		install := exec.CommandContext(ctx, "go", "install", program)
		install.Dir = j.work // within no module of ours
		install.Env = append(os.Environ(), "GOBIN="+bin, "GOFLAGS=", "CGO_ENABLED=0")
		if err := run(install, func() { j.say("still building") }); err != nil {
			return fmt.Errorf("build %s: %w", program, err)
		}
		return nil
	}
}
