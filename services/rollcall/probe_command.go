package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/google/uuid"

	"rollcall/pkg/clickhouse"
	"rollcall/pkg/client"
	"rollcall/pkg/telemetry"
)

const (
	// probeLicence is under which probes report where no other key is given. It is in
	// no registry, so probes are told from customers by the flag UNKNOWN_LICENCE.
	probeLicence = "ROLLCALL-PROBE"
	probeMetric  = "robots_executed"
	probePause   = 500 * time.Millisecond
	// probeSlack is how much earlier than its context the driver may run out of time.
	probeSlack = 100 * time.Millisecond
)

type probeCommand struct {
	clickhouseSections
	output
	URL            string        `name:"url" help:"Base URL of the gateway." default:"http://127.0.0.1:8080"`
	CAFile         string        `name:"ca-file" help:"PEM file of the authorities that the gateway is checked against; the system's where empty."`
	ServerName     string        `name:"server-name" help:"Name that the gateway's certificate must have; the URL's host where empty."`
	LicenceKeyFile string        `name:"licence-key-file" help:"File that holds the licence key to report under; empty: ROLLCALL-PROBE." placeholder:"FILE"`
	Timeout        time.Duration `help:"Longest wait for the report to be found." default:"5m"`
}

func (probeCommand) Help() string {
	return page("Posts a report with one robot executed, under a release of its own (0.0.N.N, N by chance), and asks the "+
		"analysts' view v1_feature_usage for that release until it is there: some seconds, or some minutes where the view was computed just before. It needs no key and no right but an analyst's. The "+
		"report stays: one installation of a licence that no registry has, counted like any other.", []string{
		"rollcall probe --url http://gateway:80 --clickhouse.addresses ch-1:9000 --clickhouse.user analyst",
		"rollcall probe --timeout 2m --output json",
	}, "the report was not found in time")
}

// probeResult says how far a report came, and when.
type probeResult struct {
	ReportID     uuid.UUID `json:"report_id"`
	Release      string    `json:"release"`
	Found        bool      `json:"found"`
	AcceptedSecs float64   `json:"accepted_seconds"` // from the first try to the 202
	FoundSecs    float64   `json:"found_seconds"`    // from the 202 until ClickHouse had it, or until it was given up
}

func (c *probeCommand) Run(ctx context.Context, a *app) error {
	base, err := url.Parse(c.URL)
	if err != nil || base.Host == "" || base.Scheme != "http" && base.Scheme != "https" {
		return usage(errors.New("--url must be as https://rollcall.example.org"))
	}
	if err := c.ClickHouse.Validate(); err != nil {
		return usage(err)
	}
	report, err := c.report(time.Now())
	if err != nil {
		return err
	}
	limited, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	result := probeResult{ReportID: report.ReportID, Release: report.Application.Version}
	begun := time.Now()
	if err := c.post(limited, report); err != nil {
		return err
	}
	accepted := time.Now()
	result.AcceptedSecs = accepted.Sub(begun).Seconds()
	conn, err := clickhouse.Open(limited, c.ClickHouse, telemetry.Discard())
	if err != nil {
		return err
	}
	result.Found, err = found(limited, conn, report)
	if err := errors.Join(err, conn.Close()); err != nil {
		return err
	}
	result.FoundSecs = time.Since(accepted).Seconds()
	return c.print(a, result)
}

// report is a start of an installation that was never seen before and never will be again.
func (c *probeCommand) report(now time.Time) (*client.Report, error) {
	key := probeLicence
	if c.LicenceKeyFile != "" {
		content, err := os.ReadFile(c.LicenceKeyFile)
		if err != nil {
			return nil, fmt.Errorf("read licence key: %w", err)
		}
		if key = strings.TrimSpace(string(content)); key == "" {
			return nil, fmt.Errorf("read licence key: %s is empty", c.LicenceKeyFile)
		}
	}
	part := func() int { return 100_000 + rand.IntN(900_000) } // six digits: a release keeps four numbers of up to that many
	return &client.Report{
		ReportID: uuid.New(), Kind: client.Startup, SentAt: now.UnixMilli(), Day: int32(now.Unix() / (24 * 60 * 60)),
		InstallationID: uuid.New(), HostID: uuid.New(), SessionID: uuid.New(), SessionStartedAt: now.UnixMilli(), Sequence: 1,
		Consent: client.ConsentRequired, PolicyVersion: 1,
		Customer:    client.Customer{CompanyName: "Probe", Email: "probe@example.org", LicenceKey: key},
		Application: client.Application{Name: "roboserver", Version: fmt.Sprintf("0.0.%d.%d", part(), part()), Edition: "internal"},
		Host:        client.Host{OSName: "linux", OSVersion: "1.0", Architecture: "amd64", CPUCount: 1},
		Counters:    map[string]int64{probeMetric: 1}, Gauges: map[string]int64{}, Distincts: map[string]int64{},
	}, nil
}

// post sends the report until the gateway takes it, as a product would.
func (c *probeCommand) post(ctx context.Context, report *client.Report) error {
	transport, err := gatewayTransport(c.CAFile, c.ServerName)
	if err != nil {
		return err
	}
	defer transport.CloseIdleConnections()
	body, err := client.Encode(report, client.Avro, client.Identity)
	if err != nil {
		return err
	}
	sender := client.Client{HTTP: &http.Client{Transport: transport}}
	request := client.Request{Gateway: strings.TrimSuffix(c.URL, "/"), ContentType: client.Avro, Body: body}
	for {
		answer, err := sender.Send(ctx, request)
		switch {
		case err == nil && answer.Outcome == client.Accepted:
			return nil
		case err == nil && answer.Outcome == client.Drop:
			return fmt.Errorf("the gateway refused the probe's report with %d (%s)", answer.Status, answer.Problem.Reason)
		case err == nil:
			err = fmt.Errorf("the gateway answered %d", answer.Status)
		}
		if rest(ctx, max(probePause, answer.RetryAfter)) != nil {
			return fmt.Errorf("no 202 in time; last: %w", err)
		}
	}
}

// found asks for the report's release until it is there; false where ctx ends first.
func found(ctx context.Context, conn driver.Conn, report *client.Report) (bool, error) {
	day := time.Unix(int64(report.Day)*24*60*60, 0).UTC()
	for {
		var total uint64
		err := conn.QueryRow(ctx, `SELECT toUInt64(sum(total)) FROM v1_feature_usage WHERE day = ? AND metric = ? AND app_version = ?`,
			day, probeMetric, report.Application.Version).Scan(&total)
		switch {
		case err != nil && rest(ctx, probeSlack) != nil:
			return false, nil
		case err != nil:
			return false, fmt.Errorf("ask v1_feature_usage: %w", err)
		case total == 1:
			return true, nil
		case total > 1:
			return false, fmt.Errorf("the probe's one robot was counted %d times", total)
		}
		if rest(ctx, probePause) != nil {
			return false, nil
		}
	}
}

func (c *probeCommand) print(a *app, result probeResult) error {
	err := c.show(a.stdout, result, func(w *columns) {
		w.row("report", result.ReportID)
		w.row("release", result.Release)
		w.row("accepted after", fmt.Sprintf("%.1f s", result.AcceptedSecs))
		if result.Found {
			w.row("found after", fmt.Sprintf("%.1f s more", result.FoundSecs))
		} else {
			w.row("not found within", fmt.Sprintf("%.1f s more", result.FoundSecs))
		}
	})
	if err != nil {
		return err
	}
	if !result.Found {
		return fmt.Errorf("probe: %w", errDiffers)
	}
	return nil
}
