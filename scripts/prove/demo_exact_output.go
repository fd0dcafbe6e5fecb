package main

import (
	"bufio"
	"io"
	"regexp"
	"strings"
	"time"
)

// demoRun is what a command printed, with the time of each line.
type demoRun struct {
	lines []timedLine
	cpu   time.Duration // of the command and all that it started, once it has ended
}

type timedLine struct {
	at   time.Time
	text string
}

// follow takes lines until the end, each told to see.
func (r *demoRun) follow(from io.Reader, see func(line string)) {
	scanner := bufio.NewScanner(from)
	scanner.Buffer(nil, 1<<20)
	for scanner.Scan() {
		r.lines = append(r.lines, timedLine{time.Now(), scanner.Text()})
		see(scanner.Text())
	}
	_, _ = io.Copy(io.Discard, from) // after a line beyond all measure the writer must not hang
}

// match returns the groups of the first line that matches, nil where none does.
func (r *demoRun) match(pattern string) []string {
	expression := regexp.MustCompile(pattern)
	for _, line := range r.lines {
		if groups := expression.FindStringSubmatch(line.text); groups != nil {
			return groups
		}
	}
	return nil
}

// lastAt returns when the last matching line came.
func (r *demoRun) lastAt(expression *regexp.Regexp) (at time.Time, ok bool) {
	for _, line := range r.lines {
		if expression.MatchString(line.text) {
			at, ok = line.at, true
		}
	}
	return at, ok
}

// table counts the rows of the table under a title: after an empty line and the
// columns' names, to the next empty line.
func (r *demoRun) table(title string) int {
	for i, line := range r.lines {
		if !strings.HasPrefix(line.text, title) {
			continue
		}
		rows := -1 // the names
		for _, row := range r.lines[min(i+2, len(r.lines)):] {
			if strings.TrimSpace(row.text) == "" {
				break
			}
			rows++
		}
		return rows
	}
	return 0
}

// tail returns the last lines.
func (r *demoRun) tail(n int) string {
	var b strings.Builder
	for _, line := range r.lines[max(0, len(r.lines)-n):] {
		b.WriteString(line.text + "\n")
	}
	return b.String()
}
