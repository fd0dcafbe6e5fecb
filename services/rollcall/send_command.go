package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"rollcall/pkg/client"
)

// maxSendBytes is above what a gateway takes, so that its refusal can be seen.
const maxSendBytes = 16 << 20

type sendCommand struct {
	output
	File    string        `arg:"" help:"File with one report, in Avro single-object encoding or JSON; - is standard input."`
	URL     string        `name:"url" help:"Base URL of the gateway." default:"http://127.0.0.1:8080"`
	Gzip    bool          `help:"Compress the body with gzip." xor:"encoding"`
	Zstd    bool          `help:"Compress the body with zstd." xor:"encoding"`
	CAFile  string        `name:"ca-file" help:"PEM file of the authorities that the gateway is checked against; the system's where empty."`
	Timeout time.Duration `help:"Longest wait for the answer." default:"30s"`
}

func (sendCommand) Help() string {
	return page("Posts one report, once, and prints the answer. The body's type is told by its content: Avro begins "+
		"with the bytes C3 01; else by the file's extension, .avro or .json. A product would send again after "+
		"anything but 202, and 400, 413, 415 with a problem.", []string{
		"rollcall send report.json",
		"rollcall send --zstd --url https://rollcall.example.org report.avro",
		"rollcall send - < report.json",
	}, "")
}

// sendResult is the answer as JSON.
type sendResult struct {
	Outcome           string          `json:"outcome"` // accepted, drop or retry
	Status            int             `json:"status"`
	ReportID          string          `json:"report_id,omitempty"`
	RetryAfterSeconds float64         `json:"retry_after_seconds,omitempty"`
	Problem           *client.Problem `json:"problem,omitempty"`
	// Deprecations are the features that the report used and that are on their way out.
	Deprecations []client.Deprecation `json:"deprecations,omitempty"`
}

func (c *sendCommand) Run(ctx context.Context, a *app) error {
	base, err := url.Parse(c.URL)
	if err != nil || base.Host == "" || base.Scheme != "http" && base.Scheme != "https" {
		return usage(errors.New("--url must be as https://rollcall.example.org"))
	}
	content, err := c.read(a.stdin)
	if err != nil {
		return err
	}
	media, err := mediaType(c.File, content)
	if err != nil {
		return usage(err)
	}
	encoding := client.Identity
	switch {
	case c.Gzip:
		encoding = client.Gzip
	case c.Zstd:
		encoding = client.Zstd
	}
	body, err := client.Compress(encoding, content)
	if err != nil {
		return err
	}
	transport, err := gatewayTransport(c.CAFile, "")
	if err != nil {
		return err
	}
	defer transport.CloseIdleConnections()
	sender := client.Client{HTTP: &http.Client{Timeout: c.Timeout, Transport: transport}}
	answer, err := sender.Send(ctx, client.Request{
		Gateway: strings.TrimSuffix(c.URL, "/"), ContentType: media, ContentEncoding: encoding, Body: body,
	})
	if err != nil {
		return fmt.Errorf("no answer (the report may have arrived; sending it again is harmless): %w", err)
	}
	return c.print(a, answer)
}

func (c *sendCommand) read(stdin io.Reader) ([]byte, error) {
	from := stdin
	if c.File != "-" {
		file, err := os.Open(c.File)
		if err != nil {
			return nil, fmt.Errorf("read report: %w", err)
		}
		defer func() { _ = file.Close() }()
		from = file
	}
	content, err := io.ReadAll(io.LimitReader(from, maxSendBytes+1))
	if err != nil {
		return nil, fmt.Errorf("read report: %w", err)
	}
	if len(content) > maxSendBytes {
		return nil, fmt.Errorf("read report: %s is larger than %d MiB, far beyond any report", c.File, maxSendBytes>>20)
	}
	return content, nil
}

func mediaType(name string, content []byte) (string, error) {
	switch {
	case bytes.HasPrefix(content, []byte{0xC3, 0x01}):
		return client.Avro, nil
	case bytes.HasPrefix(bytes.TrimLeft(content, " \t\r\n"), []byte("{")):
		return client.JSON, nil
	}
	switch filepath.Ext(name) {
	case ".avro":
		return client.Avro, nil
	case ".json":
		return client.JSON, nil
	}
	return "", fmt.Errorf("%s is neither Avro single-object encoding (it would begin with C3 01) nor a JSON object", name)
}

// gatewayTransport checks a gateway against the authorities of a file, where one is
// named, and under another name than its address, where one is given.
func gatewayTransport(caFile, serverName string) (*http.Transport, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: serverName}
	if caFile != "" {
		pem, err := os.ReadFile(caFile)
		if err != nil {
			return nil, fmt.Errorf("read --ca-file: %w", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("--ca-file %s holds no certificate", caFile)
		}
	}
	return &http.Transport{TLSClientConfig: config, Proxy: http.ProxyFromEnvironment}, nil
}

// deprecationLine says what becomes of a legacy feature.
func deprecationLine(d client.Deprecation) string {
	line := d.Metric
	for _, part := range [][2]string{{"deprecated in ", d.DeprecatedIn}, {"removed in ", d.RemovedIn}, {"replaced by ", d.ReplacedBy}} {
		if part[1] != "" {
			line += ", " + part[0] + part[1]
		}
	}
	return line
}

func (c *sendCommand) print(a *app, answer client.Answer) error {
	result := sendResult{
		Outcome: answer.Outcome.String(), Status: answer.Status, ReportID: answer.ReportID,
		RetryAfterSeconds: answer.RetryAfter.Seconds(), Deprecations: answer.Deprecations,
	}
	if answer.Problem != (client.Problem{}) {
		result.Problem = &answer.Problem
	}
	err := c.show(a.stdout, result, func(w *columns) {
		w.row("outcome", map[client.Outcome]string{
			client.Accepted: "accepted: the broker holds the report",
			client.Drop:     "refused: this report can never pass",
			client.Retry:    "not accepted now: try again later",
		}[answer.Outcome])
		w.row("status", answer.Status)
		for _, line := range [][2]string{
			{"report", answer.ReportID}, {"reason", answer.Problem.Reason}, {"field", answer.Problem.Field}, {"detail", answer.Problem.Detail},
		} {
			if line[1] != "" {
				w.row(line[0], line[1])
			}
		}
		for _, d := range answer.Deprecations {
			w.row("deprecated", deprecationLine(d))
		}
		if answer.RetryAfter > 0 {
			w.row("retry after", answer.RetryAfter)
		}
	})
	if err != nil {
		return err
	}
	if answer.Outcome != client.Accepted {
		return fmt.Errorf("the gateway answered %d, not 202", answer.Status)
	}
	return nil
}
