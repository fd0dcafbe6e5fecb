package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"rollcall/pkg/access"
)

// clickhouseRefusals are the exceptions that say that somebody may not do that. 344 is
// the answer to EXECUTE AS where impersonation is off for everybody.
var clickhouseRefusals = map[int]string{
	164: "READONLY", 344: "SUPPORT_IS_DISABLED", 452: "SETTING_CONSTRAINT_VIOLATION", 497: "ACCESS_DENIED", 512: "SET_NON_GRANTED_ROLE", 516: "AUTHENTICATION_FAILED",
}

// query runs a statement over HTTP as the user, in the database of Rollcall's tables.
func (g *guarded) query(ctx context.Context, user, password, statement string) (string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, g.clickhouse.HTTPURL()+"/?database=rollcall", strings.NewReader(statement))
	if err != nil {
		return "", err
	}
	request.Header.Set("X-ClickHouse-User", user)
	request.Header.Set("X-ClickHouse-Key", password)
	response, err := g.http.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return "", err
	}
	if response.StatusCode == http.StatusOK {
		return strings.TrimSpace(string(body)), nil
	}
	code, _ := strconv.Atoi(response.Header.Get("X-ClickHouse-Exception-Code")) // 0: no exception of the server's
	if name, ok := clickhouseRefusals[code]; ok {
		return "", &refusalError{fmt.Sprintf("%d %s", code, name)}
	}
	return "", fmt.Errorf("%d: %.300s", response.StatusCode, body)
}

// object is a table or view of the two databases.
type object struct {
	scope  access.Scope
	name   string
	isView bool
	// ofDays: a view that takes parameters, the first day and the last.
	ofDays bool
}

func (o object) String() string { return o.qualified() }

func (o object) qualified() string {
	if o.scope == access.Restricted {
		return access.RestrictedDatabase(access.DefaultDatabase) + "." + o.name
	}
	return access.DefaultDatabase + "." + o.name
}

// source is what a query reads the object as.
func (o object) source() string {
	if o.ofDays {
		return o.qualified() + "(first = today() - 1, last = today())"
	}
	return o.qualified()
}

// objects are those that the server has.
func (g *guarded) objects(ctx context.Context) ([]object, error) {
	var all []object
	for _, scope := range []access.Scope{access.Main, access.Restricted} {
		database := access.DefaultDatabase
		if scope == access.Restricted {
			database = access.RestrictedDatabase(database)
		}
		names, err := g.texts(ctx, "SELECT concat(name, ' ', engine, if(position(create_table_query, 'first:Date') > 0, ' of days', '')) FROM system.tables WHERE database = ? AND NOT startsWith(name, 'licence_day_staging_') ORDER BY name", database)
		if err != nil {
			return nil, err
		}
		for _, text := range names {
			name, engine, _ := strings.Cut(text, " ")
			engine, _, ofDays := strings.Cut(engine, " ")
			all = append(all, object{scope, name, engine == "View", ofDays})
		}
	}
	if len(all) < 15 {
		return nil, fmt.Errorf("only %d tables and views: %v", len(all), all)
	}
	return all, nil
}

// clickhouseMatrix are all users with all tables and views, reading and writing:
// rightful where the table has it, wrong everywhere else.
func (g *guarded) clickhouseMatrix(objects []object) []attempt {
	var all []attempt
	for _, user := range g.users {
		role, _ := access.FindRole(user.Role)
		add := func(what string, rightful bool, statement string) {
			all = append(all, g.asks(user.Name, what, rightful, statement))
		}
		for _, o := range objects {
			reads, columns := rights(role, o, access.Select)
			add("read "+o.name, reads && len(columns) == 0, "SELECT * FROM "+o.source()+" LIMIT 1 FORMAT Null")
			if reads && len(columns) > 0 {
				add("read columns of "+o.name, true, "SELECT "+strings.Join(columns, ", ")+" FROM "+o.qualified()+" LIMIT 1 FORMAT Null")
			}
			if o.isView {
				continue // nothing can be inserted into one
			}
			writes, _ := rights(role, o, access.Insert)
			add("write "+o.name, writes, "INSERT INTO "+o.qualified()+" FORMAT JSONEachRow")
		}
	}
	return all
}

// rights says whether the role has the privilege on the object, and on which columns;
// none: on all.
func rights(role access.Role, o object, privilege string) (has bool, columns []string) {
	index := slices.IndexFunc(role.Grants, func(g access.Grant) bool { return g.Has(privilege) && g.Covers(o.scope, o.name) })
	if index < 0 {
		return false, nil
	}
	return true, role.Grants[index].Columns
}

// asks is an attempt with a statement.
func (g *guarded) asks(user, what string, rightful bool, statement string) attempt {
	return attempt{"ClickHouse", user, what, rightful, func(ctx context.Context) error {
		_, err := g.query(ctx, user, g.passwords[user], statement)
		return err
	}}
}

// partnerRows are the partners' own rows, which each sees, and those of others, which
// neither an answer nor an error shows. What it returns is what went wrong.
func (g *guarded) partnerRows(ctx context.Context) (seen uint64, problems []string, err error) {
	for _, p := range g.partners {
		user := "partner_" + p.Name
		want, err := g.texts(ctx, `SELECT concat(toString(u.licence_id), toString(u.day), u.metric, toString(u.value)) FROM v1_licence_day AS u
			ASOF INNER JOIN (SELECT licence_id, valid_from, partner FROM v1_licences) AS t ON u.licence_id = t.licence_id AND u.day >= t.valid_from
			WHERE t.partner = ? ORDER BY 1`, p.Value)
		if err != nil {
			return 0, nil, err
		}
		answer, err := g.query(ctx, user, g.passwords[user], "SELECT concat(toString(licence_id), toString(day), metric, toString(value)) FROM v1_partner_licence_day ORDER BY 1")
		if err != nil {
			return 0, nil, fmt.Errorf("read as %s: %w", user, err)
		}
		have := strings.Split(answer, "\n")
		if len(want) == 0 || !slices.Equal(want, have) {
			problems = append(problems, fmt.Sprintf("%s sees %d rows, not its own %d", user, len(have), len(want)))
		}
		seen += uint64(len(have))
		problems = append(problems, g.partnerErrors(ctx, user, p)...)
	}
	return seen, problems, nil
}

// partnerErrors asks for what fails on a row of another partner, and only there.
func (g *guarded) partnerErrors(ctx context.Context, user string, p access.Partner) []string {
	var problems []string
	condition := "throwIf(partner != '" + p.Value + "')"
	for _, query := range []string{
		"SELECT count() FROM v1_partner_licence_day WHERE " + condition + " = 0 FORMAT Null",
		"SELECT sum(" + condition + ") FROM v1_partner_licence_day FORMAT Null",
		"SELECT count() FROM v1_partner_licences WHERE " + condition + " = 0 FORMAT Null",
		"SELECT count() FROM (SELECT * FROM v1_partner_licences ORDER BY " + condition + " LIMIT 1) FORMAT Null",
	} {
		if _, err := g.query(ctx, user, g.passwords[user], query); err != nil {
			problems = append(problems, fmt.Sprintf("%s: %s → %v", user, query, err))
		}
		if _, err := g.query(ctx, "default", "", query); err == nil {
			problems = append(problems, query+" does not fail on others' rows: the question is none")
		}
	}
	return problems
}
