package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// At three in the morning nobody looks up how a command is spelt: each one in the
// runbooks is one that this build takes.
func TestCommandsOfRunbooksExist(t *testing.T) {
	pages, err := filepath.Glob("../../docs/runbooks/*.md")
	if err != nil || len(pages) == 0 {
		t.Fatalf("%d runbooks: %v", len(pages), err)
	}
	found := 0
	for _, path := range append(pages, "../../docs/observability.md", "../../docs/operations.md") {
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, command := range commandsOf(string(content)) {
			found++
			var out strings.Builder
			a := &app{stdin: strings.NewReader(""), stdout: &out, stderr: &out}
			parser, err := newParser(t.Context(), a, func(int) {})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := parser.Parse(strings.Fields(command)); err != nil {
				t.Errorf("%s: rollcall %s: %v", filepath.Base(path), command, err)
			}
		}
	}
	if found < 40 {
		t.Errorf("only %d commands were found", found)
	}
	if commands := commandsOf("Run `rollcall keys mantain` or\n```\nrollcall audit | jq .  # why\n```\n"); len(commands) != 2 {
		t.Errorf("the search finds %q", commands)
	}
}

// commandsOf returns the arguments of each command of Rollcall in backquotes or at the
// beginning of a line of code.
func commandsOf(page string) (commands []string) {
	inline := regexp.MustCompile("`rollcall ([^`]+)`")
	code := false
	for line := range strings.Lines(page) {
		switch {
		case strings.HasPrefix(line, "```"):
			code = !code
		case code && strings.HasPrefix(line, "rollcall "):
			command, _, _ := strings.Cut(strings.TrimPrefix(line, "rollcall "), "#")
			command, _, _ = strings.Cut(command, "|")
			commands = append(commands, strings.TrimSpace(command))
		default:
			for _, m := range inline.FindAllStringSubmatch(line, -1) {
				commands = append(commands, m[1])
			}
		}
	}
	return commands
}
