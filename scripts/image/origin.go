package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// origin says which sources an image was made of. It is all that an image knows of
// where and when it was built: not the clock, the machine or the directory.
type origin struct {
	Revision string // git's, in full, with -dirty behind it where files differ from it
	Version  string // also the image's tag
	Created  time.Time

	epoch string // Created as it was given
}

// tagForm is what a registry takes as a tag.
var tagForm = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$`)

// complete fills in from git what was not given.
func (o origin) complete(ctx context.Context, root string) (origin, error) {
	git := func(arguments ...string) (string, error) {
		output, err := exec.CommandContext(ctx, "git", append([]string{"-C", root}, arguments...)...).Output()
		return strings.TrimSpace(string(output)), err
	}
	if o.epoch == "" {
		seconds, err := git("log", "-1", "--format=%ct")
		if err != nil {
			return o, fmt.Errorf("ask git for the commit's time (give -epoch, or SOURCE_DATE_EPOCH, where there is no git): %w", err)
		}
		o.epoch = seconds
	}
	seconds, err := strconv.ParseInt(o.epoch, 10, 64)
	if err != nil || seconds < 0 {
		return o, fmt.Errorf("-epoch %q is no number of seconds since 1970", o.epoch)
	}
	o.Created = time.Unix(seconds, 0).UTC()
	if o.Revision == "" {
		if o.Revision, err = git("rev-parse", "HEAD"); err != nil {
			return o, fmt.Errorf("ask git for the revision (give -revision, or REVISION, where there is no git): %w", err)
		}
		changes, err := git("status", "--porcelain")
		if err != nil {
			return o, fmt.Errorf("ask git for changes: %w", err)
		}
		if changes != "" {
			o.Revision += "-dirty"
		}
	}
	if o.Version == "" {
		o.Version = o.pseudoVersion()
		// An abbreviated hash would depend on how many objects a clone has.
		if tag, err := git("describe", "--tags", "--exact-match", "HEAD"); err == nil && !o.dirty() {
			o.Version = tag
		}
	}
	if !tagForm.MatchString(o.Version) {
		return o, errors.New("-version must do as an image's tag: letters, digits, dots, dashes and underscores")
	}
	return o, nil
}

func (o origin) dirty() bool { return strings.HasSuffix(o.Revision, "-dirty") }

// pseudoVersion names a commit without a tag, as Go does.
func (o origin) pseudoVersion() string {
	hash, _, _ := strings.Cut(o.Revision, "-")
	version := fmt.Sprintf("0.0.0-%s-%s", o.Created.Format("20060102150405"), hash[:min(len(hash), 12)])
	if o.dirty() {
		version += "-dirty"
	}
	return version
}
