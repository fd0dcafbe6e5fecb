package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/uuid"
)

// WindowDays is how long after its day a gateway's pipeline still takes a report.
const WindowDays = 8

// Outbox keeps reports on disk until they are acknowledged, so that a closing state
// outlives its process. One process uses a directory at a time.
type Outbox struct{ dir string }

// pending is a report as it waits on disk: the very bytes, because a report sent
// again must be the same one.
type pending struct {
	Day             int32  `json:"day"` // days since 1970-01-01
	ContentType     string `json:"content_type"`
	ContentEncoding string `json:"content_encoding"`
	Body            []byte `json:"body"`
}

const pendingSuffix = ".report"

// OpenOutbox opens the outbox in that directory, and makes it where there is none.
// Reports name a customer: only their owner may read them.
func OpenOutbox(dir string) (*Outbox, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("open outbox: %w", err)
	}
	return &Outbox{dir: dir}, nil
}

// Add puts an encoded report for that day into the outbox. A report that waits
// already under that id is replaced.
func (o *Outbox) Add(id uuid.UUID, day int32, contentType, contentEncoding string, body []byte) error {
	content, err := json.Marshal(pending{Day: day, ContentType: contentType, ContentEncoding: contentEncoding, Body: body})
	if err != nil {
		return fmt.Errorf("add to outbox: %w", err)
	}
	// Whole or not at all: a crash between the two leaves a file that Flush passes over.
	// The name begins with the time, so that reports go out in the order they came.
	name := fmt.Sprintf("%019d-%s%s", time.Now().UnixNano(), id, pendingSuffix)
	if old, err := filepath.Glob(filepath.Join(o.dir, "*-"+id.String()+pendingSuffix)); err == nil && len(old) > 0 {
		name = filepath.Base(old[0])
	}
	path := filepath.Join(o.dir, name)
	if err := writeSynced(path+".new", content); err != nil {
		return fmt.Errorf("add to outbox: %w", err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		return fmt.Errorf("add to outbox: %w", err)
	}
	return nil
}

func writeSynced(path string, content []byte) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(content)
	return errors.Join(err, file.Sync(), file.Close())
}

// Flush sends what waits, oldest first, up to the first report that must wait. It
// returns how many still wait and how long the gateway asked to wait (0: it did not
// say). Reports whose day has left the window before today are given up. An
// error is about the disk or the context; no answer from the gateway is none.
func (o *Outbox) Flush(ctx context.Context, c *Client, gateway string, today int32) (left int, wait time.Duration, err error) {
	entries, err := os.ReadDir(o.dir) // sorted by name
	if err != nil {
		return 0, 0, fmt.Errorf("flush outbox: %w", err)
	}
	blocked := false
	for _, entry := range entries {
		if !strings.HasSuffix(entry.Name(), pendingSuffix) {
			continue
		}
		if blocked {
			left++
			continue
		}
		done, after, err := o.flushOne(ctx, c, gateway, today, filepath.Join(o.dir, entry.Name()))
		if err != nil {
			return 0, 0, fmt.Errorf("flush outbox: %w", err)
		}
		if !done {
			blocked, wait = true, after
			left++
		}
	}
	return left, wait, nil
}

func (o *Outbox) flushOne(ctx context.Context, c *Client, gateway string, today int32, path string) (done bool, wait time.Duration, err error) {
	content, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return true, 0, nil
	}
	if err != nil {
		return false, 0, err
	}
	var p pending
	if err := json.Unmarshal(content, &p); err != nil {
		return false, 0, fmt.Errorf("%s: %w", filepath.Base(path), err)
	}
	if today-p.Day <= WindowDays {
		answer, err := c.Send(ctx, Request{Gateway: gateway, ContentType: p.ContentType, ContentEncoding: p.ContentEncoding, Body: p.Body})
		if ctx.Err() != nil {
			return false, 0, context.Cause(ctx)
		}
		if err != nil || answer.Outcome == Retry {
			return false, answer.RetryAfter, nil
		}
	}
	return true, 0, os.Remove(path)
}
