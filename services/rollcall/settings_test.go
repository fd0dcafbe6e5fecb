package main

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
	"github.com/google/go-cmp/cmp"
)

func TestDistance(t *testing.T) {
	for _, test := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"abc", "", 3}, {"", "abc", 3}, {"kitten", "sitting", 3}, {"kafka.broker", "kafka.brokers", 1}} {
		if got := distance(test.a, test.b); got != test.want {
			t.Errorf("distance(%q, %q) = %d, want %d", test.a, test.b, got, test.want)
		}
	}
}

func TestSuggestionIsNearOrNone(t *testing.T) {
	candidates := []string{"gateway.listen", "private.listen", "kafka.brokers"}
	if got := suggestion("gatway.listen", candidates); !strings.Contains(got, "gateway.listen") {
		t.Errorf("suggestion = %q", got)
	}
	if got := suggestion("something.else.entirely", candidates); got != "" {
		t.Errorf("suggestion for a far word = %q", got)
	}
}

// docs/configuration.md lists every key, generated from the grammar.
func TestGeneratedConfiguration(t *testing.T) {
	want := configurationPage(model(t))
	compare(t, "../../docs/configuration.md", want)
}

func configurationPage(application *kong.Application) []byte {
	var b bytes.Buffer
	b.WriteString(`# Configuration

<!-- Generated from the command line's grammar: go test ./services/rollcall -run Generated -update -->

Values come from a YAML file (` + "`--config FILE` or `ROLLCALL_CONFIG`" + `), the environment and flags; the later wins.
A key that nothing knows is refused, in the file and in the environment, with the nearest known one.
The key ` + "`kafka.client_id`" + ` is the flag ` + "`--kafka.client-id`" + ` and the variable ` + "`ROLLCALL_KAFKA_CLIENT_ID`" + `; lists are
comma-separated in flags and variables. Secrets are never values, only files that hold them.
Files of certificates, authorities and passwords are read anew once they change ([operations.md](operations.md#renew-certificates-and-passwords)).
` + "`rollcall config`" + ` shows what is in force and where each value comes from; ` + "`rollcall COMMAND --help`" + ` shows what a command reads.

Memory: a service collects garbage at ` + "`GOGC=400`" + ` below a soft limit of ` + "`GOMEMLIMIT=460MiB`" + `, unless the environment sets these
variables of the Go runtime. Give a container's limit a tenth more than ` + "`GOMEMLIMIT`" + `.
`)
	section := ""
	for _, command := range application.Children {
		if command.Name != configCommand {
			continue
		}
		for _, flag := range command.Flags {
			key := keyOf(flag.Name)
			if key == "" {
				continue
			}
			if name, _, _ := strings.Cut(key, delimiter); name != section {
				section = name
				fmt.Fprintf(&b, "\n## %s\n\n| key | default | meaning |\n|---|---|---|\n", section)
			}
			value := "none"
			if flag.HasDefault && flag.Default != "" {
				value = "`" + flag.Default + "`"
			}
			fmt.Fprintf(&b, "| `%s` | %s | %s |\n", key, value, strings.ReplaceAll(flag.Help, "|", `\|`))
		}
	}
	return b.Bytes()
}

// compare compares a checked-in file with what it should hold, or writes it.
func compare(t *testing.T, path string, want []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, want, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	have, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(have)); diff != "" {
		t.Errorf("%s is stale (make generate): %s", path, diff)
	}
}

// What rollcall config shows by default is part of what operators rely on.
func TestGoldenConfig(t *testing.T) {
	a, stdout, stderr := newApp()
	if code := run(t.Context(), a, []string{"config"}); code != exitDone {
		t.Fatalf("exit %d: %s", code, stderr)
	}
	compare(t, "testdata/config.golden.yaml", stdout.Bytes())
}
