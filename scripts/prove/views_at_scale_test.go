package main

import (
	"strings"
	"testing"
	"time"
)

const scaleExample = `-- About the file.

-- steps: v1_licence_day, analyst, whole
-- How many steps?
SELECT sum(value) FROM v1_licence_day;

-- one: v1_licence_day, partner, licence
-- Of one licence?
SELECT sum(value) FROM v1_licence_day WHERE licence_id = {licence:UUID};
`

func TestScaleQuestionsAreRead(t *testing.T) {
	questions, err := parseScaleQuestions(scaleExample)
	if err != nil {
		t.Fatal(err)
	}
	if len(questions) != 2 || questions[0].name != "steps" || questions[0].ofLicence || questions[1].asker != "partner" || !questions[1].ofLicence ||
		questions[0].sql != "SELECT sum(value) FROM v1_licence_day" || questions[0].title != "How many steps?" {
		t.Errorf("got %+v", questions)
	}
	for name, text := range map[string]string{
		"twice":            strings.ReplaceAll(scaleExample, "-- one:", "-- steps:"),
		"another view":     strings.ReplaceAll(scaleExample, "FROM v1_licence_day;", "FROM v1_licence_day_live;"),
		"no licence named": strings.ReplaceAll(scaleExample, "{licence:UUID}", "toUUID('')"),
		"no head":          scaleExample + "\nSELECT 1;\n",
		"unknown asker":    strings.ReplaceAll(scaleExample, "partner,", "director,"),
	} {
		if _, err := parseScaleQuestions(text); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

func TestQuestionsAndRawAnswersOfTheRepositoryAreRead(t *testing.T) {
	if questions, err := readScaleQuestions("../../" + scaleFile); err != nil || len(questions) < 50 {
		t.Errorf("%d questions, error %v", len(questions), err)
	}
	answers, err := readRawAnswers("../../" + scaleRawFile)
	if err != nil || len(answers) < 12 {
		t.Errorf("%d answers, error %v", len(answers), err)
	}
	for _, a := range answers {
		// Sessions are computed when asked, from session-days.
		raw := strings.NewReplacer("FROM v1_sessions", "FROM session_days FINAL", "FROM session_spans_of(", "FROM session_days FINAL(").Replace(a.raw)
		if strings.Contains(raw, "v1_") || strings.Contains(raw, "(counted") || !strings.Contains(raw, "FROM session_days FINAL") {
			t.Errorf("%s is not computed from session-days alone: %s", a.name, a.raw)
		}
	}
}

func TestMedianAgainstItsLimit(t *testing.T) {
	whole := measurement{median: 500 * time.Millisecond}
	licence := measurement{median: 500 * time.Millisecond, question: scaleQuestion{ofLicence: true}}
	if whole.share() != 0.5 || licence.share() != 5 {
		t.Errorf("shares %v and %v, want 0.5 and 5", whole.share(), licence.share())
	}
}
