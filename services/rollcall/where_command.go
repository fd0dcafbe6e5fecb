package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/google/uuid"

	"rollcall/pkg/audit"
	"rollcall/pkg/clickhouse"
	"rollcall/pkg/keystore"
	"rollcall/pkg/pseudonym"
	"rollcall/pkg/telemetry"
)

type whereCommand struct {
	clickhouseSections
	keystoreSections
	output
	ReportID       string `arg:"" name:"report-id" help:"Id of the report, as its client made it."`
	LicenceKeyFile string `name:"licence-key-file" help:"File that holds the licence key of the report." required:"" placeholder:"FILE"`
}

func (whereCommand) Help() string {
	return page("Says where a report ended: landed, dead_lettered with its reason, suppressed or erased; or pending, "+
		"where no receipt has been written yet (or none is kept any more: receipts live 31 days). Reports stand in "+
		"ClickHouse under a pseudonym that the pepper and the licence key lead to, so both are needed. A report "+
		"whose bytes nobody could read has no pseudonym: it cannot be found by its id.", []string{
		"rollcall where 7b2f0c3e-98a1-4c0e-9d6f-0d3c6a1e5b11 --licence-key-file licence.txt",
		"rollcall where $ID --licence-key-file licence.txt --output json",
	}, "pending: the report has no end yet")
}

type whereResult struct {
	ReportID uuid.UUID `json:"report_id"` // the pseudonym, as ClickHouse has it
	audit.Whereabouts
}

func (c *whereCommand) Run(ctx context.Context, a *app) error {
	id, err := uuid.Parse(c.ReportID)
	if err != nil {
		return usage(fmt.Errorf("report id: %w", err))
	}
	if err := c.ClickHouse.Validate(); err != nil {
		return usage(err)
	}
	licences, err := c.pseudonyms()
	if err != nil {
		return err
	}
	content, err := os.ReadFile(c.LicenceKeyFile)
	if err != nil {
		return fmt.Errorf("read licence key: %w", err)
	}
	key := strings.TrimSpace(string(content))
	if key == "" {
		return fmt.Errorf("read licence key: %s is empty", c.LicenceKeyFile)
	}
	result := whereResult{ReportID: licences.Scoped(licences.LicenceID(key), "report", id)}
	conn, err := clickhouse.Open(ctx, c.ClickHouse, telemetry.Discard())
	if err != nil {
		return err
	}
	result.Whereabouts, err = audit.Where(ctx, conn, result.ReportID)
	if err := errors.Join(err, conn.Close()); err != nil {
		return err
	}
	return c.print(a, result)
}

// pseudonyms opens the keystore for what only the pepper can tell.
func (s keystoreSections) pseudonyms() (*pseudonym.Licences, error) {
	keys, err := keystore.Open(s.Keystore.Dir)
	if err != nil {
		return nil, err
	}
	pepper, err := keys.Key(keystore.Pepper, keystore.PepperEpoch)
	if err != nil {
		return nil, fmt.Errorf("read the pepper: %w", err)
	}
	return pseudonym.New(pepper), nil
}

func (c *whereCommand) print(a *app, result whereResult) error {
	err := c.show(a.stdout, result, func(w *columns) {
		end := result.End
		if result.Superseded {
			end += ", and a later report of its session and day counts instead"
		}
		w.row("end", end)
		w.row("report", result.ReportID)
		for _, line := range [][2]string{{"reason", result.Reason}, {"stage", strings.ToLower(result.Stage)}, {"field", result.Field}, {"day", result.Day}} {
			if line[1] != "" {
				w.row(line[0], line[1])
			}
		}
		if result.LicenceID != nil {
			w.row("licence", result.LicenceID)
		}
		if result.Offset >= 0 {
			w.row("stands in", fmt.Sprintf("reports.raw, partition %d, offset %d", result.Partition, result.Offset))
		}
		if result.Copies > 1 {
			w.row("copies", result.Copies)
		}
		if !result.At.IsZero() {
			w.row("since", result.At.UTC().Format(time.RFC3339))
		}
	})
	if err != nil {
		return err
	}
	if result.End == audit.Pending {
		return fmt.Errorf("report: %w", errDiffers)
	}
	return nil
}
