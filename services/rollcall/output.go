package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

const outputJSON = "json"

// output is how a command shows its result.
type output struct {
	Output string `help:"Form of the result: table or json." default:"table" enum:"table,json" short:"o" group:"Output"`
}

// show writes value as JSON, or lets table write it for people.
func (o output) show(to io.Writer, value any, table func(w *columns)) error {
	if o.Output == outputJSON {
		encoder := json.NewEncoder(to)
		encoder.SetIndent("", "  ")
		if err := encoder.Encode(value); err != nil {
			return fmt.Errorf("write result: %w", err)
		}
		return nil
	}
	w := &columns{tabwriter.NewWriter(to, 0, 0, 2, ' ', 0)}
	table(w)
	if err := w.Flush(); err != nil {
		return fmt.Errorf("write result: %w", err)
	}
	return nil
}

// columns aligns the cells of rows; its errors appear at Flush.
type columns struct{ *tabwriter.Writer }

func (c *columns) row(cells ...any) {
	texts := make([]string, len(cells))
	for i, cell := range cells {
		texts[i] = fmt.Sprint(cell)
	}
	_, _ = fmt.Fprintln(c.Writer, strings.Join(texts, "\t"))
}
