package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/google/uuid"

	"rollcall/pkg/audit"
	"rollcall/pkg/client"
	"rollcall/pkg/pseudonym"
)

// dayMillis is a day in the unit of a report's timestamps.
const dayMillis = int64(24 * time.Hour / time.Millisecond)

// dailyReport returns a report of today, of an installation and session of its own.
func dailyReport(licenceKey string) client.Report {
	now := time.Now().UnixMilli()
	return client.Report{
		ReportID: uuid.New(), Kind: client.Daily, SentAt: now, Day: int32(now / dayMillis),
		InstallationID: uuid.New(), HostID: uuid.New(), SessionID: uuid.New(), SessionStartedAt: now - 1000, Sequence: 1,
		Consent: client.ConsentFull, PolicyVersion: 3,
		Customer:    client.Customer{CompanyName: "Customer 0045", Email: "admin@example.org", LicenceKey: licenceKey},
		Application: client.Application{Name: "roboserver", Version: "11.5.0.2", Edition: "enterprise"},
		Host:        client.Host{OSName: "linux", OSVersion: "6.1", Architecture: "amd64", CPUCount: 8},
		Counters:    map[string]int64{"steps_executed": 112},
		Gauges:      map[string]int64{"cpus": 8},
		Distincts:   map[string]int64{"domains_accessed": 3},
	}
}

// encoded returns the report's single-object encoding; one that has none is a defect
// of the proof.
func encoded(r client.Report) []byte {
	body, err := r.AppendAvro(nil)
	if err != nil {
		panic(err)
	}
	return body
}

// post sends one request to the first gateway. An answer is no error, whatever it says.
func (p *pipeline) post(ctx context.Context, r client.Request) (client.Answer, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	r.Gateway = p.cluster.Gateways()[0]
	if r.ContentType == "" {
		r.ContentType = client.Avro
	}
	return (&client.Client{}).Send(ctx, r)
}

// from returns the header of a client at that address, for gateways that trust this machine.
func from(address string) http.Header { return http.Header{"X-Forwarded-For": {address}} }

// where looks up how a report of that licence ended.
func (p *pipeline) where(ctx context.Context, licenceKey string, report uuid.UUID) (audit.Whereabouts, error) {
	return audit.Where(ctx, p.conn, p.scoped(licenceKey, pseudonym.Report, report))
}

func (p *pipeline) scoped(licenceKey, purpose string, id uuid.UUID) uuid.UUID {
	return p.pseudonyms.Scoped(p.licenceID(licenceKey), purpose, id)
}

// awaitEnd waits until each report of the licence has an end.
func (p *pipeline) awaitEnd(ctx context.Context, limit time.Duration, licenceKey string, reports ...uuid.UUID) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for _, report := range reports {
		err := until(ctx, 100*time.Millisecond, func() (bool, error) {
			found, err := p.where(ctx, licenceKey, report)
			return found.End != audit.Pending, err
		})
		if err != nil {
			return fmt.Errorf("a report has no end within %v: %w", limit, err)
		}
	}
	return nil
}

// registerKeys gives licences open, unlimited terms, and returns once the services know them.
func (p *pipeline) registerKeys(ctx context.Context, keys ...string) error {
	path := p.dir + "/licences.csv"
	content := "licence_key,valid_from,edition\n"
	for _, key := range keys {
		content += key + ",2020-01-01,enterprise\n"
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		return fmt.Errorf("write licences: %w", err)
	}
	if _, err := p.cluster.Command(ctx, "licences", "apply", path); err != nil {
		return err
	}
	return p.registered(ctx, len(keys))
}

// texts returns the rows of a query of one column of text.
func (p *pipeline) texts(ctx context.Context, query string, arguments ...any) (out []string, err error) {
	rows, err := p.conn.Query(ctx, query, arguments...)
	if err != nil {
		return nil, fmt.Errorf("query %.60s…: %w", strings.TrimSpace(query), err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var text string
		if err := rows.Scan(&text); err != nil {
			return nil, fmt.Errorf("read a row: %w", err)
		}
		out = append(out, text)
	}
	return out, rows.Err()
}

// count returns the number that a query answers.
func (p *pipeline) count(ctx context.Context, query string, arguments ...any) (n uint64, err error) {
	if err := p.conn.QueryRow(ctx, query, arguments...).Scan(&n); err != nil {
		return 0, fmt.Errorf("query %.60s…: %w", strings.TrimSpace(query), err)
	}
	return n, nil
}
