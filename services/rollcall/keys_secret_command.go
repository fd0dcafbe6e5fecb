package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"rollcall/pkg/keystore"
)

type keysSecretCommand struct {
	keystoreSections
	Holder    string `arg:"" help:"Whose keys: gateway, anonymizer, steward or licences." enum:"gateway,anonymizer,steward,licences"`
	Name      string `help:"Name of the Secret." required:""`
	Namespace string `help:"Namespace of the Secret; empty: whichever kubectl uses."`
}

func (keysSecretCommand) Help() string {
	return page("Writes the manifest to standard output, which must not be a terminal: but for the gateway's it holds private "+
		"keys. Apply it on the server's side: otherwise kubectl writes a copy of the keys into an annotation. etcd's history "+
		"and backups outlive a key that is destroyed: keep keys on volumes where that matters.", []string{
		"rollcall keys secret gateway --name rollcall-keys-gateway | kubectl apply --server-side --force-conflicts -f -",
		"rollcall keys secret anonymizer --name rollcall-keys-anonymizer --namespace rollcall > secret.json",
	}, "")
}

func (c *keysSecretCommand) Run(_ context.Context, a *app) error {
	if isTerminal(a.stdout) {
		return usage(errors.New("keys are not shown on a terminal: pipe them into kubectl apply --server-side -f -"))
	}
	flat, err := keystore.Flatten(c.Keystore.Dir, keystore.Holder(c.Holder))
	if err != nil {
		return err
	}
	type metadata struct {
		Name      string            `json:"name"`
		Namespace string            `json:"namespace,omitempty"`
		Labels    map[string]string `json:"labels"`
	}
	manifest := struct {
		APIVersion string            `json:"apiVersion"`
		Kind       string            `json:"kind"`
		Metadata   metadata          `json:"metadata"`
		Type       string            `json:"type"`
		Data       map[string][]byte `json:"data"`
	}{
		"v1", "Secret", metadata{c.Name, c.Namespace, map[string]string{
			"app.kubernetes.io/part-of": "rollcall", "app.kubernetes.io/component": "keys-" + c.Holder,
		}},
		"Opaque", flat,
	}
	for name, content := range manifest.Data {
		if content == nil { // null is no value of a Secret
			manifest.Data[name] = []byte{}
		}
	}
	encoder := json.NewEncoder(a.stdout)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(manifest); err != nil {
		return fmt.Errorf("write the manifest: %w", err)
	}
	return nil
}

func isTerminal(w io.Writer) bool {
	file, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := file.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

type keysUnpackCommand struct {
	output
	Holder string        `arg:"" help:"Whose keys: gateway, anonymizer, steward or licences." enum:"gateway,anonymizer,steward,licences"`
	From   string        `help:"Directory where the Secret is mounted." required:"" placeholder:"DIR"`
	To     string        `help:"Directory of the holder's keys; made where missing." required:"" placeholder:"DIR"`
	Follow bool          `help:"Stay, and do it again whenever the Secret changes."`
	Every  time.Duration `help:"With --follow: how often to look." default:"2s"`
}

func (keysUnpackCommand) Help() string {
	return page("Lays out the keys of a Secret that rollcall keys secret made, with the modes that a keystore must have: a "+
		"Secret's own files belong to root, and may be read by a group. Keys that have gone from the Secret are removed. A "+
		"Secret without keys, or with another holder's, is refused, and nothing changes. Memory is the place for DIR.", []string{
		"rollcall keys unpack gateway --from /etc/rollcall/keys --to /run/rollcall/keys",
		"rollcall keys unpack anonymizer --from /etc/rollcall/keys --to /run/rollcall/keys --follow",
	}, "")
}

func (c *keysUnpackCommand) Run(ctx context.Context, a *app) error {
	if c.Every <= 0 {
		return usage(errors.New("--every must be above 0"))
	}
	if err := c.unpack(a); err != nil || !c.Follow {
		return err
	}
	ticker := time.NewTicker(c.Every)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil // it was asked to end
		case <-ticker.C:
		}
		if err := c.unpack(a); err != nil {
			return err // whoever started it starts it again; the keys that are there stay
		}
	}
}

// unpack does it once, and tells of what changed.
func (c *keysUnpackCommand) unpack(a *app) error {
	report, err := keystore.Unpack(c.From, c.To, keystore.Holder(c.Holder))
	if err != nil {
		return err
	}
	if c.Follow && len(report.Copied)+len(report.Removed) == 0 {
		return nil
	}
	return c.showExported(a, report)
}
