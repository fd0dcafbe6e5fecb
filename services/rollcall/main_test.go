package main

import (
	"bytes"
	"context"
	"debug/elf"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"
	"github.com/rogpeppe/go-internal/testscript"
	"github.com/twmb/franz-go/pkg/kfake"

	"rollcall/pkg/localclickhouse"
)

var update = flag.Bool("update", false, "write generated and golden files again")

func TestMain(m *testing.M) {
	if localclickhouse.Main() {
		return // this process was the embedded ClickHouse of a test
	}
	testscript.Main(m, map[string]func(){"rollcall": main})
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{Dir: "testdata/script"})
}

// newApp returns an app whose output goes to the buffers.
func newApp(environ ...string) (a *app, stdout, stderr *bytes.Buffer) {
	stdout, stderr = &bytes.Buffer{}, &bytes.Buffer{}
	return &app{stdin: strings.NewReader(""), stdout: stdout, stderr: stderr, environ: environ}, stdout, stderr
}

func TestExitCodes(t *testing.T) {
	for _, test := range []struct {
		args []string
		env  string
		want int
	}{
		{args: []string{"version"}, want: exitDone},
		{args: []string{"gateway", "--help"}, want: exitDone},
		{args: []string{"nonsense"}, want: exitUsage},
		{args: []string{"config", "--nonsense"}, want: exitUsage},
		{args: []string{"config"}, env: "ROLLCALL_NONSENSE=1", want: exitUsage},
		{args: []string{"config", "--config", "/absent"}, want: exitUsage},
		{args: []string{"gateway", "--gateway.ack-timeout=-1s"}, want: exitUsage},
		{args: []string{"send", "/absent.json"}, want: exitFailed},
		{args: []string{"verify", "--truth", "/absent"}, want: exitFailed},
		{args: []string{"verify"}, want: exitUsage},
		{args: []string{"topics", "check", "--kafka.brokers", "nobody"}, want: exitUsage},
	} {
		a, _, stderr := newApp(test.env)
		if code := run(t.Context(), a, test.args); code != test.want {
			t.Errorf("rollcall %s (%s) exits with %d, want %d: %s", strings.Join(test.args, " "), test.env, code, test.want, stderr)
		}
	}
}

func model(t *testing.T) *kong.Application {
	t.Helper()
	a, _, _ := newApp()
	parser, err := newParser(context.Background(), a, func(int) {})
	if err != nil {
		t.Fatal(err)
	}
	return parser.Model
}

// What sends reports waits for as long as docs/http.md asks for: until the gateway's body
// and the broker's acknowledgement are late.
func TestSendOutwaitsTheGateway(t *testing.T) {
	defaults := map[string]time.Duration{}
	for _, command := range model(t).Children {
		for _, flag := range command.Flags {
			if d, err := time.ParseDuration(flag.Default); err == nil {
				defaults[command.Name+" "+flag.Name] = d
			}
		}
	}
	send, body, ack := defaults["send timeout"], defaults["gateway gateway.body-timeout"], defaults["gateway gateway.ack-timeout"]
	if body == 0 || ack == 0 || send < body+ack {
		t.Errorf("rollcall send waits %v, the gateway %v and %v", send, body, ack)
	}
}

// Every command says what it does, shows an example that this grammar takes, and
// lists its exit codes.
func TestHelp(t *testing.T) {
	var visit func(node *kong.Node)
	visit = func(node *kong.Node) {
		for _, child := range node.Children {
			if child.Hidden {
				continue
			}
			name := child.FullPath()
			if child.Help == "" {
				t.Errorf("%s: no help", name)
			}
			if !strings.Contains(child.Detail, "\n    "+name) && !strings.Contains(child.Detail, " "+name) {
				t.Errorf("%s: no example in its help", name)
			}
			if !strings.Contains(child.Detail, "Exit codes:") {
				t.Errorf("%s: its help lists no exit codes", name)
			}
			for _, flag := range child.Flags {
				if flag.Help == "" && !flag.Hidden {
					t.Errorf("%s: --%s has no help", name, flag.Name)
				}
			}
			visit(child)
		}
	}
	visit(model(t).Node)
}

// A configuration key or its variable must mean one thing: a dash and a dot would
// meet in a variable's underscore.
func TestKeysAreDistinct(t *testing.T) {
	known := knownKeys(model(t))
	if len(known) < 50 {
		t.Fatalf("only %d keys are known", len(known))
	}
	variables := map[string]string{}
	for _, key := range known {
		if other, ok := variables[variableOf(key)]; ok {
			t.Errorf("%s and %s share %s", key, other, variableOf(key))
		}
		variables[variableOf(key)] = key
	}
}

// Every section that a command reads is known to the command that shows them all.
func TestEveryFlagInASectionIsKnown(t *testing.T) {
	application := model(t)
	known := map[string]bool{}
	for _, key := range knownKeys(application) {
		known[key] = true
	}
	var visit func(node *kong.Node)
	visit = func(node *kong.Node) {
		for _, flag := range node.Flags {
			if key := keyOf(flag.Name); key != "" && !known[key] {
				t.Errorf("%s: --%s is no known key", node.FullPath(), flag.Name)
			}
		}
		for _, child := range node.Children {
			visit(child)
		}
	}
	visit(application.Node)
}

// The build for servers links nothing dynamically: it runs in an empty image.
func TestStatic(t *testing.T) {
	binary := filepath.Join(t.TempDir(), "rollcall")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", binary, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOFLAGS=")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	file, err := elf.Open(binary)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	for _, program := range file.Progs {
		if program.Type == elf.PT_INTERP || program.Type == elf.PT_DYNAMIC {
			t.Errorf("the binary has a %v: it is linked dynamically", program.Type)
		}
	}
}

// Against a broker: differences are told by the exit code, and gone once applied.
func TestTopics(t *testing.T) {
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		t.Fatal(err)
	}
	defer cluster.Close()
	flags := []string{"--kafka.brokers", cluster.ListenAddrs()[0], "--topics.replication-factor", "1", "--topics.min-in-sync", "1"}
	for _, step := range []struct {
		verb string
		want int
		says string
	}{
		{"check", exitDiffers, "absent"},
		{"apply", exitDone, "corrected"},
		{"apply", exitDone, "as specified"},
		{"check", exitDone, "as specified"},
	} {
		a, stdout, stderr := newApp()
		code := run(t.Context(), a, append([]string{"topics", step.verb}, flags...))
		if code != step.want || !strings.Contains(stdout.String(), step.says) {
			t.Errorf("topics %s: exit %d, want %d and %q: %s%s", step.verb, code, step.want, step.says, stdout, stderr)
		}
	}
}
