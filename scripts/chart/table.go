package main

import (
	"errors"
	"fmt"
	"os"
	"strings"
)

// The lines between which a page's table of allowed connections stands.
const (
	tableBegin = "<!-- Allowed connections: compared with the policies by make prove NAME=network-policy -->"
	tableEnd   = "<!-- End of the allowed connections -->"
)

// readTable reads rows of from, to, port and why. From, to and port may be lists with
// commas; each combination is a connection.
func readTable(page string) (map[connection]bool, error) {
	content, err := os.ReadFile(page)
	if err != nil {
		return nil, err
	}
	_, rest, begun := strings.Cut(string(content), tableBegin)
	table, _, ended := strings.Cut(rest, tableEnd)
	if !begun || !ended {
		return nil, fmt.Errorf("%s has no table of allowed connections", page)
	}
	want := map[connection]bool{}
	for line := range strings.Lines(table) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		if len(cells) != 4 || strings.Contains(cells[0], "---") || strings.TrimSpace(cells[0]) == "from" {
			continue
		}
		for _, from := range list(cells[0]) {
			for _, to := range list(cells[1]) {
				for _, port := range list(cells[2]) {
					c := connection{from, to, port}
					if want[c] {
						return nil, fmt.Errorf("%s lists %s twice", page, c)
					}
					want[c] = true
				}
			}
		}
	}
	if len(want) == 0 {
		return nil, errors.New(page + ": its table of allowed connections is empty")
	}
	return want, nil
}

func list(cell string) []string {
	items := strings.Split(cell, ",")
	for i, item := range items {
		items[i] = strings.Trim(strings.TrimSpace(item), "`")
	}
	return items
}
