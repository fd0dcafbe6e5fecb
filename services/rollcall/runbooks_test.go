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
	if commands := commandsOf("Run `rollcall keys mantain` or\n```\nrollcall audit | jq .  # why\nkubectl exec x -- /rollcall config | grep x\n```\n"); len(commands) != 3 || commands[2] != "config" {
		t.Errorf("the search finds %q", commands)
	}
}

// commandsOf returns the arguments of each command of Rollcall in backquotes, at the
// beginning of a line of code, or run in a pod by one.
func commandsOf(page string) (commands []string) {
	inline := regexp.MustCompile("`rollcall ([^`]+)`")
	code := false
	for line := range strings.Lines(page) {
		switch {
		case strings.HasPrefix(line, "```"):
			code = !code
		case code:
			command, ok := strings.CutPrefix(line, "rollcall ")
			if _, inPod, found := strings.Cut(line, " -- /rollcall "); found {
				command, ok = strings.Replace(inPod, " --config /etc/rollcall/config/rollcall.yaml", "", 1), true // a pod's own file
			}
			if !ok {
				continue
			}
			command, _, _ = strings.Cut(command, "#")
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
