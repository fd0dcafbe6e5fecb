package gateway

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"
)

// unavailable returns the reasons that the code of this package answers 503 with.
func unavailable(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	values, with := map[string]string{}, map[string]bool{}
	answers, named := 0, 0
	is503 := func(e ast.Expr) bool {
		selector, ok := e.(*ast.SelectorExpr)
		return ok && selector.Sel.Name == "StatusServiceUnavailable"
	}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.ValueSpec:
				for i, value := range n.Values {
					if text, ok := value.(*ast.BasicLit); ok && text.Kind == token.STRING {
						values[n.Names[i].Name], _ = strconv.Unquote(text.Value)
					}
				}
			case *ast.CallExpr:
				if len(n.Args) >= 2 && is503(n.Args[0]) {
					reason, ok := n.Args[1].(*ast.Ident)
					if !ok {
						t.Fatalf("%s: a 503 whose reason is no constant", name)
					}
					with[reason.Name] = true
					answers++
				}
			case *ast.SelectorExpr:
				if is503(n) {
					named++
				}
			}
			return true
		})
	}
	// The one beside the answers is the attributes of the status, in newInstruments.
	if answers == 0 || named != answers+1 {
		t.Fatalf("503 stands %d times in the code, %d times with a reason: this test has to know of each", named, answers)
	}
	var reasons []string
	for name := range with {
		if values[name] == "" {
			t.Fatalf("the reason %s is no constant of this package", name)
		}
		reasons = append(reasons, values[name])
	}
	slices.Sort(reasons)
	return reasons
}

// The table of docs/http.md has the 503s of the code.
func TestUnavailableIsDocumented(t *testing.T) {
	page, err := os.ReadFile("../../docs/http.md")
	if err != nil {
		t.Fatal(err)
	}
	var documented []string
	for _, row := range regexp.MustCompile("(?m)^\\| 503 \\| `([a-z_]+)` \\|").FindAllStringSubmatch(string(page), -1) {
		documented = append(documented, row[1])
	}
	slices.Sort(documented)
	if d := cmp.Diff(unavailable(t), documented); d != "" {
		t.Errorf("503 (-code +docs/http.md):\n%s", d)
	}
}

var reasonMatcher = regexp.MustCompile(`(rollcall_gateway_reports_total|rollcall:reports:rate5m)\{[^}]*rollcall_reason(=~|!~|=|!=)"([^"]*)"`)

// matchers returns the lists of reasons that an expression of Prometheus chooses the
// gateway's reports by, each with its operator.
func matchers(expr string) (operators []string, lists [][]string) {
	for _, found := range reasonMatcher.FindAllStringSubmatch(strings.ReplaceAll(expr, `\"`, `"`), -1) {
		operators = append(operators, found[2])
		list := strings.Split(found[3], "|")
		slices.Sort(list)
		lists = append(lists, list)
	}
	return operators, lists
}

// A valid report that got no 202 is in each share of those, below and above the line, and
// nothing else is; it is nowhere taken for one that was refused for what it holds.
func TestRulesKnowEveryReason(t *testing.T) {
	unacknowledged := append(unavailable(t), reasonClientGone)
	slices.Sort(unacknowledged)
	content, err := os.ReadFile("../../deploy/telemetry/rules.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var rules struct {
		Groups []struct {
			Rules []struct {
				Record string `yaml:"record"`
				Alert  string `yaml:"alert"`
				Expr   string `yaml:"expr"`
			} `yaml:"rules"`
		} `yaml:"groups"`
	}
	if err := yaml.Unmarshal(content, &rules); err != nil {
		t.Fatal(err)
	}
	expressions, shares := map[string]string{}, 0
	for _, group := range rules.Groups {
		for _, rule := range group.Rules {
			expressions[rule.Record+rule.Alert] += "\n" + rule.Expr
			if !strings.HasPrefix(rule.Record, "rollcall:unacknowledged:") {
				continue
			}
			shares++
			_, lists := matchers(rule.Expr)
			if d := cmp.Diff([][]string{unacknowledged, append([]string{""}, unacknowledged...)}, lists); d != "" {
				t.Errorf("%s (-code +rule):\n%s", rule.Record, d)
			}
		}
	}
	if shares != 5 {
		t.Errorf("%d shares of unacknowledged reports, want 5", shares)
	}
	boards, err := filepath.Glob("../../deploy/telemetry/dashboards/*.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range boards {
		board, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		expressions[filepath.Base(path)] = string(board)
	}
	excluding := 0
	for _, name := range slices.Sorted(maps.Keys(expressions)) {
		operators, lists := matchers(expressions[name])
		for i, list := range lists {
			for _, reason := range list {
				if reason != "" && !slices.Contains(reasons(), reason) {
					t.Errorf("%s speaks of %q, which is no reason of the gateway", name, reason)
				}
			}
			if operators[i] != "!~" {
				continue
			}
			excluding++
			for _, reason := range unacknowledged {
				if !slices.Contains(list, reason) {
					t.Errorf("%s takes %s for refused for what the report holds", name, reason)
				}
			}
		}
	}
	if excluding != 2 { // RollcallReportsRefused and its panel
		t.Errorf("%d expressions leave reasons out, want 2", excluding)
	}
}
