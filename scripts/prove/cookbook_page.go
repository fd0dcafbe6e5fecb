package main

import (
	"fmt"
	"math/big"
	"os"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
)

// cookbookPage is the page of questions, from the root of the repository.
const cookbookPage = "docs/analytics.md"

// pageBegins is the first day of the page's answers, a Monday. The fleet lives just
// before the proof runs; in answers its first day is this one.
func pageBegins() time.Time { return time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC) }

// question of the page: a name, SQL, and the table below it.
type question struct {
	name, title, sql string
	answer           []string // rows, their cells parted by " | ", without the header
}

var (
	questionHead = regexp.MustCompile(`(?m)^### (.+)$`)
	questionBody = regexp.MustCompile("(?s)```sql\n-- ([a-z-]+)\n(.+?)```\n(.*)")
)

// readQuestions reads the questions of a page. Each section of the third level that has
// a block of SQL is one.
func readQuestions(path string) ([]question, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the questions: %w", err)
	}
	return parseQuestions(string(content))
}

func parseQuestions(page string) ([]question, error) {
	var questions []question
	heads := questionHead.FindAllStringSubmatchIndex(page, -1)
	for i, head := range heads {
		end := len(page)
		if i+1 < len(heads) {
			end = heads[i+1][0]
		}
		body := questionBody.FindStringSubmatch(page[head[1]:end])
		if body == nil {
			continue
		}
		q := question{title: page[head[2]:head[3]], name: body[1], sql: strings.TrimSpace(body[2])}
		rows := 0
		for _, line := range strings.Split(body[3], "\n") {
			line = strings.TrimSpace(line)
			if !strings.HasPrefix(line, "|") {
				if rows > 0 {
					break
				}
				continue
			}
			if rows++; rows > 2 { // header and rule
				q.answer = append(q.answer, strings.TrimSpace(strings.TrimSuffix(strings.TrimPrefix(line, "|"), "|")))
			}
		}
		for _, other := range questions {
			if other.name == q.name {
				return nil, fmt.Errorf("the page has two questions named %s", q.name)
			}
		}
		questions = append(questions, q)
	}
	return questions, nil
}

// table renders values of ClickHouse and of the truth alike: days as those of the page,
// licences by their number in the fleet, numbers with at most three decimals.
type table struct {
	first    int32 // the fleet's
	licences map[uuid.UUID]int
}

func (t table) row(values []any) string {
	cells := make([]string, len(values))
	for i, v := range values {
		cells[i] = t.cell(v)
	}
	return strings.Join(cells, " | ")
}

func (t table) cell(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case dayCell:
		return t.day(int32(v))
	case time.Time:
		return t.day(int32(v.Unix() / (dayMillis / 1000)))
	case licenceCell:
		return licenceName(int(v))
	case uuid.UUID:
		if n, known := t.licences[v]; known {
			return licenceName(n)
		}
		return v.String()
	case big.Int:
		return v.String()
	case *big.Int:
		return v.String()
	case float64:
		return decimal(v)
	case string:
		return v
	}
	if pointer := reflect.ValueOf(v); pointer.Kind() == reflect.Pointer {
		if pointer.IsNil() {
			return ""
		}
		return t.cell(pointer.Elem().Interface())
	}
	return fmt.Sprint(v)
}

func (t table) day(day int32) string {
	return pageBegins().AddDate(0, 0, int(day-t.first)).Format(time.DateOnly)
}

func licenceName(n int) string { return fmt.Sprintf("licence %03d", n+1) }

// decimal writes at most three decimals, and no zero at the end.
func decimal(v float64) string {
	text := strings.TrimRight(strings.TrimRight(strconv.FormatFloat(v, 'f', 3, 64), "0"), ".")
	if text == "-0" {
		return "0"
	}
	return text
}
