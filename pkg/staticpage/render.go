package staticpage

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"io"
	"strings"
	"time"
)

//go:embed assets
var files embed.FS

// assets are what the page carries with it, so that it asks nobody for anything.
type assets struct {
	Style   template.CSS
	Library template.JS // Observable Plot, see scripts/plot
	Script  template.JS
}

func loadAssets() (assets, error) {
	var texts []string
	for _, name := range []string{"style.css", "plot.min.js", "page.js"} {
		content, err := files.ReadFile("assets/" + name)
		if err != nil {
			return assets{}, fmt.Errorf("read the page's %s: %w", name, err)
		}
		texts = append(texts, strings.TrimSpace(string(content)))
	}
	return assets{Style: template.CSS(texts[0]), Library: template.JS(texts[1]), Script: template.JS(texts[2])}, nil
}

// policy allows the page's own style and scripts, by their hashes, and nothing else: no
// request to anywhere, no style or script that a value might smuggle in.
func (a assets) policy() string {
	hash := func(text string) string {
		sum := sha256.Sum256([]byte(text))
		return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
	}
	return fmt.Sprintf("default-src 'none'; script-src %s %s; style-src %s; img-src data:; base-uri 'none'; form-action 'none'",
		hash(string(a.Library)), hash(string(a.Script)), hash(string(a.Style)))
}

// Render writes the page. Every value is escaped where it stands.
func Render(w io.Writer, c *Content) error {
	own, err := loadAssets()
	if err != nil {
		return err
	}
	parsed, err := template.New("page.html").Funcs(functions()).ParseFS(files, "assets/*.html")
	if err != nil {
		return fmt.Errorf("parse the page's template: %w", err)
	}
	v := newView(c)
	v.Assets, v.Policy = own, own.policy()
	var page bytes.Buffer // whole or not at all
	if err := parsed.Execute(&page, v); err != nil {
		return fmt.Errorf("fill in the page: %w", err)
	}
	if _, err := w.Write(page.Bytes()); err != nil {
		return fmt.Errorf("write the page: %w", err)
	}
	return nil
}

func functions() template.FuncMap {
	return template.FuncMap{
		"int": count[int], "count": count[uint64], "percent": percent, "share": maybePercent, "points": points, "seconds": seconds, "words": words, "segment": segmentName,
		"longDay": longDay, "bracket": bracket, "entitled": entitled, "dead": deadLetters, "short": shortID, "lower": strings.ToLower,
		"moment": func(t time.Time) string { return t.UTC().Format("2 January 2006, 15:04 UTC") },
		"rfc":    func(t time.Time) string { return t.UTC().Format(time.RFC3339) },
		"slug":   func(text string) string { return strings.ReplaceAll(strings.ToLower(text), " ", "-") },
		"reasons": func(m map[string]int) string {
			var texts []string
			for _, reason := range sortedBy(m, strings.Compare) {
				texts = append(texts, count(m[reason])+" "+words(reason))
			}
			return strings.Join(texts, ", ")
		},
	}
}
