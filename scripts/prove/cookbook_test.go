package main

import (
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"rollcall/pkg/fleet"
	"rollcall/pkg/geoip"
	catalogue "rollcall/schemas/metrics"
)

func TestQuestionsAreReadFromThePage(t *testing.T) {
	page := "# Page\n### First?\nSome words.\n```sql\n-- first\nSELECT 1,\n 2\n```\n| a | b |\n|---|---|\n| 1 | 2 |\n| 3 |  |\n\nMore.\n| not | it |\n" +
		"### No question\nWords.\n### Second?\n```sql\n-- second-one\nSELECT 3\n```\n"
	got, err := parseQuestions(page)
	if err != nil {
		t.Fatal(err)
	}
	want := []question{
		{name: "first", title: "First?", sql: "SELECT 1,\n 2", answer: []string{"1 | 2", "3 |"}},
		{name: "second-one", title: "Second?", sql: "SELECT 3"},
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(question{})); diff != "" {
		t.Error(diff)
	}
	if _, err := parseQuestions(page + page); err == nil {
		t.Error("two questions of one name were taken")
	}
}

func TestAnswersOfClickHouseAndOfTheTruthLookAlike(t *testing.T) {
	id := uuid.New()
	shown := table{first: 20_000, licences: map[uuid.UUID]int{id: 6}}
	third := 1.0 / 3
	var nothing *float64
	got := shown.row([]any{time.Unix(20_001*24*60*60, 0), *big.NewInt(12), &third, nothing, id, uint64(5)})
	want := shown.row([]any{dayCell(20_001), 12, third, nil, licenceCell(6), 5})
	if got != want || got != "2026-03-03 | 12 | 0.333 |  | licence 007 | 5" {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestDifferencesOfSortedLists(t *testing.T) {
	got := symmetricDifference([]string{"a", "b", "b", "d"}, []string{"b", "c", "d", "e"})
	if diff := cmp.Diff([]string{"-a", "-b", "+c", "+e"}, got); diff != "" {
		t.Error(diff)
	}
}

func TestEveryAnswerHasAQuestion(t *testing.T) {
	questions, err := readQuestions("../../" + cookbookPage)
	if err != nil {
		t.Fatal(err)
	}
	asked := map[string]bool{}
	for _, q := range questions {
		asked[q.name] = true
		if answers()[q.name] == nil || len(q.answer) == 0 {
			t.Errorf("%s: no truth behind it, or no answer below it", q.name)
		}
	}
	if len(asked) < cookbookQuestions || len(asked) != len(answers()) {
		t.Errorf("%d questions, %d answers", len(asked), len(answers()))
	}
}

// The page's answers are those of the fleet whenever it is played: its days are counted
// from its first, and nothing of it depends on the date.
func TestThePagesAnswersHoldInEveryWeek(t *testing.T) {
	questions, err := readQuestions("../../" + cookbookPage)
	if err != nil {
		t.Fatal(err)
	}
	for _, now := range []time.Time{time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC), time.Date(2027, 1, 3, 23, 59, 59, 0, time.UTC), time.Date(2028, 3, 6, 0, 0, 0, 0, time.UTC)} {
		plan, err := fleet.New(cookbookFleet(now), fleet.MetricsOf(catalogue.Embedded()))
		if err != nil {
			t.Fatal(err)
		}
		known, err := learn(plan, &geoip.DB{})
		if err != nil {
			t.Fatal(err)
		}
		if weekday := plan.Start().Weekday(); weekday != time.Monday || plan.Options().End.After(now) {
			t.Fatalf("the fleet begins on a %s and ends at %s", weekday, plan.Options().End)
		}
		shown := table{first: known.from}
		for _, q := range questions {
			var want []string
			for _, row := range answers()[q.name](known) {
				want = append(want, strings.TrimSpace(shown.row(row)))
			}
			if diff := cmp.Diff(want, q.answer); diff != "" {
				t.Errorf("%s, played on %s (-truth +page):\n%s", q.name, now.Format(time.DateOnly), diff)
			}
		}
	}
}
