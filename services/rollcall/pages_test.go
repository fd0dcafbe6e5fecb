package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// fenced are examples, in which brackets are no links.
var (
	fenced  = regexp.MustCompile("(?ms)^```.*?^```|`[^`\n]*`")
	link    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading = regexp.MustCompile(`(?m)^#+ +(.*)$`)
	noSlug  = regexp.MustCompile(`[^\p{L}\p{N} _-]`)
)

// anchors are the places of a page that a link can name, as GitHub makes them of headings.
func anchors(page string) (names []string) {
	for _, found := range heading.FindAllStringSubmatch(page, -1) {
		text := noSlug.ReplaceAllString(strings.ToLower(found[1]), "")
		names = append(names, strings.ReplaceAll(strings.TrimSpace(text), " ", "-"))
	}
	return names
}

// TestEveryPageIsFound: whoever begins at the README finds each page, no link leads
// nowhere, and the index of docs names each page itself.
func TestEveryPageIsFound(t *testing.T) {
	const root = "../.."
	read := func(path string) string {
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return string(content)
	}
	found := map[string]bool{}
	queue := []string{filepath.Join(root, "README.md")}
	for len(queue) > 0 {
		page := queue[0]
		queue = queue[1:]
		if found[page] {
			continue
		}
		found[page] = true
		for _, match := range link.FindAllStringSubmatch(fenced.ReplaceAllString(read(page), ""), -1) {
			path, anchor, _ := strings.Cut(match[1], "#")
			if strings.Contains(path, "://") {
				continue
			}
			target := page
			if path != "" {
				target = filepath.Join(filepath.Dir(page), path)
			}
			if _, err := os.Stat(target); err != nil {
				t.Errorf("%s leads to %s, which is not there", page, match[1])
				continue
			}
			if filepath.Ext(target) != ".md" {
				continue
			}
			if anchor != "" && !slices.Contains(anchors(read(target)), anchor) {
				t.Errorf("%s leads to %s, a heading that is not there", page, match[1])
			}
			queue = append(queue, target)
		}
	}
	index := read(filepath.Join(root, "docs", "README.md"))
	for _, pattern := range []string{"*.md", "docs/*.md", "docs/decisions/*.md"} {
		pages, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil || len(pages) == 0 {
			t.Fatal(pattern, err)
		}
		for _, page := range pages {
			if !found[page] && filepath.Base(page) != "CHANGELOG.md" {
				t.Errorf("no way leads from README.md to %s", page)
			}
			if name := filepath.Base(page); pattern == "docs/*.md" && name != "README.md" && !strings.Contains(index, "]("+name+")") {
				t.Errorf("docs/README.md does not list %s", name)
			}
		}
	}
}
