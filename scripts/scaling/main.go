// Command scaling computes what a deployment of Rollcall asks for, by the number of
// installations, from what proofs have measured, and writes it into docs/scaling.md.
//
//	go run ./scripts/scaling
//	go run ./scripts/scaling -check
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

func main() {
	check := flag.Bool("check", false, "fail where the page is stale, and write nothing")
	root := flag.String("root", ".", "the repository")
	flag.Parse()
	if err := run(*root, *check); err != nil {
		fmt.Fprintln(os.Stderr, "scaling:", err)
		os.Exit(1)
	}
}

// Between these the page is computed.
const (
	begins = "<!-- Computed: go run ./scripts/scaling -->\n"
	ends   = "<!-- End of what is computed -->\n"
)

var errStale = errors.New("docs/scaling.md is stale: go run ./scripts/scaling")

func run(root string, check bool) error {
	texts := map[string]string{}
	for _, name := range []string{"proofs.md", "rollup.md", "scaling.md"} {
		content, err := os.ReadFile(filepath.Join(root, "docs", name))
		if err != nil {
			return fmt.Errorf("read what is known: %w", err)
		}
		texts[name] = string(content)
	}
	m, err := read(texts["proofs.md"], texts["rollup.md"])
	if err != nil {
		return err
	}
	before, rest, ok := strings.Cut(texts["scaling.md"], begins)
	_, after, ended := strings.Cut(rest, ends)
	if !ok || !ended {
		return errors.New("docs/scaling.md lacks the marks of what is computed")
	}
	text := before + begins + page(m, assumptions()) + ends + after
	switch {
	case text == texts["scaling.md"]:
		return nil
	case check:
		return errStale
	}
	if err := os.WriteFile(filepath.Join(root, "docs", "scaling.md"), []byte(text), 0o644); err != nil {
		return fmt.Errorf("write the page: %w", err)
	}
	return nil
}
