package datamap

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"

	chgo "github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// Store returns the tables and views of migrated databases as places, as the engine
// itself describes them: what a migration says is not read, what it did is.
func Store(ctx context.Context, conn driver.Conn, databases ...string) (places []Place, err error) {
	rows, err := conn.Query(ctx, `SELECT database, name, engine, comment, formatQuery(create_table_query)
		FROM system.tables WHERE has({databases:Array(String)}, database) AND NOT is_temporary
		ORDER BY indexOf({databases:Array(String)}, database), engine LIKE '%View', name`, chgo.Named("databases", "['"+strings.Join(databases, "','")+"']"))
	if err != nil {
		return nil, fmt.Errorf("data map: list tables: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	ttls := map[string]map[string]string{}
	for rows.Next() {
		var (
			place          Place
			engine, create string
		)
		if err := rows.Scan(&place.Database, &place.Name, &engine, &place.About, &create); err != nil {
			return nil, fmt.Errorf("data map: read a table: %w", err)
		}
		place.Kind = Table
		if strings.HasSuffix(engine, "View") {
			place.Kind = View
		}
		if match := tableTTL.FindStringSubmatch(create); match != nil {
			if place.Retention, err = lifetime(match[1]); err != nil {
				return nil, fmt.Errorf("data map: %s: %w", place.ID(), err)
			}
		}
		ttls[place.ID()] = map[string]string{}
		for _, match := range columnTTL.FindAllStringSubmatch(create, -1) {
			if ttls[place.ID()][match[1]], err = lifetime(match[2]); err != nil {
				return nil, fmt.Errorf("data map: %s.%s: %w", place.ID(), match[1], err)
			}
		}
		places = append(places, place)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("data map: list tables: %w", err)
	}
	return places, addColumns(ctx, conn, places, ttls)
}

func addColumns(ctx context.Context, conn driver.Conn, places []Place, ttls map[string]map[string]string) (err error) {
	for i := range places {
		place := &places[i]
		rows, err := conn.Query(ctx, `SELECT name, type, comment FROM system.columns
			WHERE database = {database:String} AND table = {table:String} ORDER BY position`,
			chgo.Named("database", place.Database), chgo.Named("table", place.Name))
		if err != nil {
			return fmt.Errorf("data map: list columns: %w", err)
		}
		for rows.Next() {
			var field Field
			if err := rows.Scan(&field.Name, &field.Type, &field.About); err != nil {
				return errors.Join(fmt.Errorf("data map: read a column: %w", err), rows.Close())
			}
			field.Retention = ttls[place.ID()][field.Name]
			place.Fields = append(place.Fields, field)
		}
		if err := errors.Join(rows.Err(), rows.Close()); err != nil {
			return fmt.Errorf("data map: list columns: %w", err)
		}
	}
	return nil
}

// How formatQuery writes them: a line for the table, and the end of a column's line.
var (
	tableTTL  = regexp.MustCompile(`(?m)^TTL (.+)$`)
	columnTTL = regexp.MustCompile("(?m)^ +`?([a-z_]+)`? .* TTL (.+?),?$")
	interval  = regexp.MustCompile(`^(?:toDateTime\()?([a-z_]+)\)? \+ toInterval(Day|Month)\((\d+)\)$`)
)

// lifetime puts a TTL in words; one that it cannot read is an error, not silence.
func lifetime(ttl string) (string, error) {
	match := interval.FindStringSubmatch(ttl)
	if match == nil {
		return "", fmt.Errorf("the lifetime %q is of no known form", ttl)
	}
	return fmt.Sprintf("%s %ss after `%s`", match[3], strings.ToLower(match[2]), match[1]), nil
}
