package main

import (
	"regexp"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

func TestPasswordsInSightAreRefused(t *testing.T) {
	for _, test := range []struct {
		args, environ []string
		refused       bool
	}{
		{args: []string{"send", "--url", "http://gateway:8080"}},
		{args: []string{"send", "--url", "http://me:hunter2@gateway:8080"}, refused: true},
		{args: []string{"send", "--url=http://:hunter2@gateway"}, refused: true},
		{args: []string{"gateway", "--kafka.brokers", "a:1,b:2"}},
		{environ: []string{"ROLLCALL_GEOIP_COUNTRY_FILE=https://me:hunter2@example.org/x"}, refused: true},
		{environ: []string{"HTTPS_PROXY=http://me:hunter2@proxy"}}, // not ours to read
	} {
		if err := inSight(test.args, test.environ); (err != nil) != test.refused || err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%v %v: %v", test.args, test.environ, err)
		}
	}
	a, _, stderr := newApp()
	if code := run(t.Context(), a, []string{"send", "--url", "http://me:hunter2@gateway", "x"}); code != exitUsage || strings.Contains(stderr.String(), "hunter2") {
		t.Errorf("exit %d, %s", code, stderr)
	}
}

// TestNoFlagTakesASecret: what is secret or personal comes from a file, whose name alone
// stands in arguments, environment and configuration.
func TestNoFlagTakesASecret(t *testing.T) {
	secret := regexp.MustCompile(`password|passphrase|secret|token|pepper|credential|key|email|e-mail|company`)
	seen := 0
	var visit func(node *kong.Node)
	visit = func(node *kong.Node) {
		for _, flag := range node.Flags {
			name := flag.Name
			if !secret.MatchString(name) || strings.HasPrefix(name, "keystore.") {
				continue
			}
			if seen++; !strings.HasSuffix(name, "-file") && flag.PlaceHolder != "DIR" {
				t.Errorf("%s: --%s takes a secret itself", node.FullPath(), name)
			}
		}
		for _, argument := range node.Positional {
			if secret.MatchString(argument.Name) {
				t.Errorf("%s: the argument %s is a secret", node.FullPath(), argument.Name)
			}
		}
		for _, child := range node.Children {
			visit(child)
		}
	}
	visit(model(t).Node)
	if seen < 5 {
		t.Errorf("only %d flags name a file of secrets", seen)
	}
}
