package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"rollcall/pkg/access"
)

// scaleFile has the questions, from the root of the repository.
const scaleFile = "docs/scale.sql"

// scaleQuestion is a question that a view is for.
type scaleQuestion struct {
	name, view, asker string
	ofLicence         bool // it names a licence; else it is about all that the view keeps
	title, sql        string
}

var scaleHead = regexp.MustCompile(`^-- ([a-z-]+): (v1_[a-z_]+), (analyst|steward|partner), (whole|licence)\n-- (.+)\n`)

func readScaleQuestions(path string) ([]scaleQuestion, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the questions: %w", err)
	}
	return parseScaleQuestions(string(content))
}

// parseScaleQuestions reads questions that are parted by empty lines. What does not begin
// as a question is an error, but for the first part, which is about the file.
func parseScaleQuestions(text string) ([]scaleQuestion, error) {
	var questions []scaleQuestion
	for _, part := range strings.Split(strings.TrimSpace(text), "\n\n")[1:] {
		head := scaleHead.FindStringSubmatch(part)
		if head == nil {
			return nil, fmt.Errorf("not a question: %.80q", part)
		}
		q := scaleQuestion{
			name: head[1], view: head[2], asker: head[3], ofLicence: head[4] == "licence", title: head[5],
			sql: strings.TrimSuffix(strings.TrimSpace(part[len(head[0]):]), ";"),
		}
		switch {
		case slices.ContainsFunc(questions, func(other scaleQuestion) bool { return other.name == q.name }):
			return nil, fmt.Errorf("two questions are named %s", q.name)
		case !regexp.MustCompile(`\b` + q.view + `\b`).MatchString(q.sql):
			return nil, fmt.Errorf("%s does not ask %s", q.name, q.view)
		case q.ofLicence != strings.Contains(q.sql, "{licence:UUID}"):
			return nil, fmt.Errorf("%s is about a licence and names none, or the other way round", q.name)
		}
		questions = append(questions, q)
	}
	return questions, nil
}

// scaleReader is somebody who reads views.
type scaleReader struct{ name, role string }

func scaleReaders() []scaleReader {
	return []scaleReader{{"analyst", access.RoleAnalyst}, {"steward", access.RoleSteward}, {"partner", access.RolePartner}}
}

// unasked says which views somebody may read and no question of theirs asks: of the
// whole, and where the view has licences, of one. The views are those that stand in the
// database, so that a new one is missed.
func unasked(ctx context.Context, conn driver.Conn, questions []scaleQuestion) error {
	var views []struct {
		Name        string `ch:"name"`
		HasLicences bool   `ch:"has_licences"`
	}
	const standing = `SELECT name, name IN (SELECT table FROM system.columns WHERE database = currentDatabase() AND name = 'licence_id') AS has_licences
		FROM system.tables WHERE database = currentDatabase() AND startsWith(name, 'v1_')`
	if err := conn.Select(ctx, &views, standing); err != nil {
		return fmt.Errorf("list the views: %w", err)
	}
	var missing []error
	for _, view := range views {
		readers := 0
		for _, reader := range scaleReaders() {
			if !mayRead(reader.role, view.Name) {
				continue
			}
			readers++
			asks := func(ofLicence bool) bool {
				return slices.ContainsFunc(questions, func(q scaleQuestion) bool {
					return q.view == view.Name && q.asker == reader.name && q.ofLicence == ofLicence
				})
			}
			if !asks(false) || view.HasLicences && !asks(true) {
				missing = append(missing, fmt.Errorf("%s has no question of the %s for %s", scaleFile, reader.name, view.Name))
			}
		}
		if readers == 0 {
			missing = append(missing, fmt.Errorf("nobody may read %s", view.Name))
		}
	}
	if len(views) == 0 {
		missing = append(missing, errors.New("there are no views"))
	}
	return errors.Join(missing...)
}

// mayRead says whether a role has the right to select from an object of the main database.
func mayRead(role, object string) bool {
	return slices.ContainsFunc(access.Roles(), func(r access.Role) bool {
		return r.Name == role && slices.ContainsFunc(r.Grants, func(g access.Grant) bool {
			return g.Scope == access.Main && g.Object == object && slices.Contains(g.Privileges, access.Select)
		})
	})
}
