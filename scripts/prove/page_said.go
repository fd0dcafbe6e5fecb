package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"

	"rollcall/pkg/staticpage"
	"rollcall/scripts/testbed"
)

// saidFaults tells which sections have nothing to say of a fleet that has something
// for each: an empty plot is beautiful, too.
func saidFaults(c *staticpage.Content) []string {
	var faults []string
	for section, rows := range map[string]int{
		"coverage": len(c.Coverage), "installations": len(c.Installations), "features": len(c.Metrics), "segments": len(c.Segments), "retirement": len(c.Retirement.Features),
		"findings": len(c.Compliance.Findings), "signs": len(c.Compliance.Signs), "uptake": len(c.Uptake), "quality": len(c.Quality.Days), "implausible": len(c.Quality.Implausible), "unknown": len(c.Quality.Unknown),
	} {
		if rows == 0 {
			faults = append(faults, "the page has nothing in "+section)
		}
	}
	if !slices.ContainsFunc(c.Metrics, func(m staticpage.Metric) bool { return len(m.Weeks) > 1 }) {
		faults = append(faults, "no feature has two weeks to compare")
	}
	slices.Sort(faults)
	return faults
}

// bundleFaults bundles the library that draws the plots again, at full size, and tells
// where that is not what is checked in: nobody can read 270 KB of it.
func bundleFaults(ctx context.Context, env *Environment) ([]string, error) {
	if env.Size != Full {
		return nil, nil
	}
	root, err := testbed.Root(ctx)
	if err != nil {
		return nil, err
	}
	path := env.Path("plot.min.js")
	output, err := exec.CommandContext(ctx, filepath.Join(root, "scripts", "plot", "build.sh"), path).CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("bundle the plots: %w: %s", err, output)
	}
	made, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the bundle: %w", err)
	}
	kept, err := os.ReadFile(filepath.Join(root, "pkg", "staticpage", "assets", "plot.min.js"))
	if err != nil {
		return nil, fmt.Errorf("read the bundle: %w", err)
	}
	if !bytes.Equal(made, kept) {
		return []string{"the bundle of the plots is not what npm's packages give"}, nil
	}
	env.Say("the bundle of the plots, made again, is the same to the byte")
	return nil, nil
}

// addedFaults tells where parts do not add up to the whole that another view tells:
// installations by release, and use by any dimension.
func addedFaults(c *staticpage.Content) []string {
	var faults []string
	for _, i := range c.Installations {
		var sum uint64
		for _, u := range c.Uptake {
			if u.Dimension == "version" && u.Day == i.Day && u.Application == i.Application {
				sum += u.Installations
			}
		}
		if sum != i.Active {
			faults = append(faults, fmt.Sprintf("%d installations of %s by release, %d active", sum, i.Application, i.Active))
		}
	}
	type part struct{ dimension, metric, application string }
	sums := map[part][2]uint64{}
	for _, s := range c.Segments {
		of := part{s.Dimension, s.Metric, s.Application}
		sums[of] = [2]uint64{sums[of][0] + s.Covered, sums[of][1] + s.Used}
	}
	last := ""
	for _, m := range c.Metrics {
		last = max(last, m.Weeks[len(m.Weeks)-1].Week)
	}
	compared := 0
	for _, m := range c.Metrics {
		week := m.Weeks[len(m.Weeks)-1]
		for _, dimension := range []string{"edition_sold", "industry", "version", "os"} {
			if got := sums[part{dimension, m.Metric, m.Application}]; week.Week == last {
				compared++
				if got != [2]uint64{week.Covered, week.Used} {
					faults = append(faults, fmt.Sprintf("%s of %s by %s: %v, %d covered and %d used in all", m.Metric, m.Application, dimension, got, week.Covered, week.Used))
				}
			}
		}
	}
	if compared == 0 {
		faults = append(faults, "no use by segment was compared")
	}
	return faults
}
