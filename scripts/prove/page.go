package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"rollcall/pkg/access"
	"rollcall/pkg/fleet"
	"rollcall/pkg/staticpage"
	catalogue "rollcall/schemas/metrics"
	"rollcall/scripts/parts/partstore"
	"rollcall/scripts/testbed"
)

// screenshotsVariable names a directory that gets what the browser saw: how the images
// of docs/report.md are made.
const screenshotsVariable = "PROVE_SCREENSHOTS"

// pageLook is what scripts/page/check.mjs saw.
type pageLook struct {
	Browser  string `json:"browser"`
	Views    []pageView
	Keyboard struct {
		Controls, Reached int
		Unseen            []string // controls whose focus cannot be seen
		First, Skipped    string
		Opened            bool
		Scrolled          *bool // null: no table is too wide
		Chosen            string
	}
	WithoutScript struct {
		Tables, Heat, PlotsShown int
		Console                  []string
	}
	Print struct {
		Closed, Bytes   int
		Background, Ink string
	}
}

type pageView struct {
	Width, Plots, Drawn, Tables, Sideways int
	Theme, Background                     string
	Empty, Violations, Console, Requests  []string
}

// provePage plays a fleet through the pipeline, writes its report as the analyst, and
// looks at it in Chromium: two widths, two themes, with keys alone, without a script,
// and on paper. Then it looks at a page that is spoilt on purpose, at an empty one, and
// at what happens without the server.
func provePage(ctx context.Context, env *Environment) (string, bool, error) {
	tools, err := pageTools(ctx, env)
	if err != nil {
		return "", false, err
	}
	p, password, err := startPagePipeline(ctx, env)
	if err != nil {
		return "", false, err
	}
	dir := env.Path("report")
	started := time.Now()
	written, content, err := p.report(ctx, dir, password)
	if err != nil {
		return "", false, err
	}
	took := time.Since(started)
	look, err := tools.look(ctx, filepath.Join(dir, "index.html"), Choose(env, halfLook, wholeLook), os.Getenv(screenshotsVariable))
	if err != nil {
		return "", false, err
	}
	faults := slices.Concat(look.faults(), saidFaults(content), addedFaults(content))
	for _, more := range []func() ([]string, error){
		func() ([]string, error) { return spoiltPage(ctx, tools, dir) },
		func() ([]string, error) { return p.emptyPage(ctx, tools, password) },
		func() ([]string, error) { return p.pageWithoutServer(ctx, password), nil },
		func() ([]string, error) { return bundleFaults(ctx, env) },
	} {
		found, err := more()
		if err != nil {
			return "", false, err
		}
		faults = append(faults, found...)
	}
	for _, fault := range faults {
		env.Say("NOT AS IT SHOULD BE: %s", fault)
	}
	violations, requests := 0, 0
	for _, v := range look.Views {
		violations, requests = violations+len(v.Violations), requests+len(v.Requests)-1
	}
	return fmt.Sprintf("Chromium %s: %d views (390 and 1440 px, light and dark), each with %d plots and %d tables: axe finds %d violations, %d requests leave the page, nothing overflows; %d of %d controls reached by keys, each seen; %d tables without a script; a page of %d KB made in %.1f s, as the analyst; a page spoilt on purpose is found out, an empty one says so; %d faults",
		look.Browser, len(look.Views), look.Views[0].Plots, look.Views[0].Tables, violations, requests, look.Keyboard.Reached, look.Keyboard.Controls, look.WithoutScript.Tables, written.Bytes/1000, took.Seconds(), len(faults)), len(faults) == 0, nil
}

// startPagePipeline plays some weeks of a fleet, so that there are weeks to compare.
func startPagePipeline(ctx context.Context, env *Environment) (*pipeline, string, error) {
	now := time.Now()
	plan, err := fleet.New(fleet.Options{
		Seed: 7, Licences: Choose(env, 40, 180), Installations: Choose(env, 90, 600), Days: Choose(env, 23, 28), End: now.UTC().Truncate(24 * time.Hour).Add(-time.Millisecond),
		ReportsPerDay: 1, Loss: 0.02, Duplicates: 0.05, Late: 0.05, LateDays: 2, Shuffle: 2 * time.Hour, JSON: 0.05,
	}, fleet.MetricsOf(catalogue.Embedded()))
	if err != nil {
		return nil, "", err
	}
	password := "analyst-" + plan.Licences()[0].Key // of a server that ends with the proof
	p, err := startPipeline(ctx, env, pipelineOptions{
		Name: "page", Simulated: true, Cluster: testbed.ClusterOptions{ServiceSettings: eagerRollup()},
		ClickHouse: testbed.ClickHouseOptions{Users: []access.User{{Name: "analyst", Role: access.RoleAnalyst, Password: password}}},
	})
	if err != nil {
		return nil, "", err
	}
	if _, err := p.play(ctx, plan, nil); err != nil {
		return nil, "", err
	}
	if err := p.answered(ctx, Choose(env, exactSettleLimit, 2*exactSettleLimit)); err != nil {
		return nil, "", err
	}
	path := env.Path("analyst.password")
	return p, path, os.WriteFile(path, []byte(password), 0o600)
}

// report runs the command as the analyst.
func (p *pipeline) report(ctx context.Context, dir, password string, more ...string) (*staticpage.Written, *staticpage.Content, error) {
	text, err := p.cluster.Command(ctx, append([]string{"report", "--out", dir, "--output", "json", "--clickhouse.user", "analyst", "--clickhouse.password-file", password}, more...)...)
	if err != nil {
		return nil, nil, err
	}
	var written staticpage.Written
	if err := json.Unmarshal([]byte(text), &written); err != nil {
		return nil, nil, fmt.Errorf("read what rollcall report says: %w", err)
	}
	data, err := os.ReadFile(filepath.Join(dir, "data.json"))
	if err != nil {
		return nil, nil, fmt.Errorf("read the page's data: %w", err)
	}
	var content staticpage.Content
	if err := json.Unmarshal(data, &content); err != nil {
		return nil, nil, fmt.Errorf("read the page's data: %w", err)
	}
	return &written, &content, nil
}

// spoiltPage takes a copy of the page, without its policy and with a wide, nameless
// picture from elsewhere: the look has to see that each of these is wrong.
func spoiltPage(ctx context.Context, tools *pageChecker, dir string) ([]string, error) {
	page, err := os.ReadFile(filepath.Join(dir, "index.html"))
	if err != nil {
		return nil, fmt.Errorf("read the page: %w", err)
	}
	page = bytes.Replace(page, []byte("Content-Security-Policy"), []byte("X-No-Policy"), 1)
	page = bytes.Replace(page, []byte("<main "), []byte(`<img src="http://127.0.0.1:9/elsewhere.png" width="3000" height="9"><main `), 1)
	path := filepath.Join(dir, "spoilt.html")
	if err := os.WriteFile(path, page, 0o600); err != nil {
		return nil, fmt.Errorf("write the spoilt page: %w", err)
	}
	look, err := tools.look(ctx, path, briefLook, "")
	if err != nil {
		return nil, err
	}
	var faults []string
	for _, v := range look.Views {
		if len(v.Violations) == 0 || len(v.Console) == 0 || len(v.Requests) < 2 || v.Sideways == 0 {
			faults = append(faults, fmt.Sprintf("the look does not see what is wrong with a spoilt page: %+v", v))
		}
	}
	return faults, nil
}

// emptyPage writes the page of a window in which nobody reported, over nothing and then
// into a directory that is somebody else's.
func (p *pipeline) emptyPage(ctx context.Context, tools *pageChecker, password string) ([]string, error) {
	dir := p.env.Path("empty")
	until := time.Now().UTC().AddDate(0, 0, -60).Format(time.DateOnly)
	_, content, err := p.report(ctx, dir, password, "--days", "30", "--until", until)
	if err != nil {
		return nil, err
	}
	look, err := tools.look(ctx, filepath.Join(dir, "index.html"), briefLook, "")
	if err != nil {
		return nil, err
	}
	faults := look.everyView()
	page, err := os.ReadFile(filepath.Join(dir, "index.html"))
	if err != nil {
		return nil, fmt.Errorf("read the empty page: %w", err)
	}
	if !content.Empty() || !bytes.Contains(page, []byte("Nothing was reported for these days.")) {
		faults = append(faults, "an empty page does not say that it is")
	}
	foreign := p.env.Path("foreign")
	if err := errors.Join(os.MkdirAll(foreign, 0o755), os.WriteFile(filepath.Join(foreign, "mine.txt"), []byte("mine"), 0o600)); err != nil {
		return nil, fmt.Errorf("make a directory of somebody else: %w", err)
	}
	if _, _, err := p.report(ctx, foreign, password); err == nil || !strings.Contains(err.Error(), "--force") {
		faults = append(faults, fmt.Sprintf("a directory of somebody else was not refused: %v", err))
	}
	return faults, nil
}

// pageWithoutServer asks for a page when ClickHouse is gone: an error, and no directory.
func (p *pipeline) pageWithoutServer(ctx context.Context, password string) []string {
	p.clickhouse.Kill()
	dir := p.env.Path("gone")
	_, _, err := p.report(ctx, dir, password)
	if _, missing := os.Stat(dir); err == nil || !os.IsNotExist(missing) {
		return []string{fmt.Sprintf("without ClickHouse: error %v, directory %v", err, missing)}
	}
	return nil
}

// faults are all that the browser saw and should not have.
func (l *pageLook) faults() []string {
	faults := l.everyView()
	if len(l.Views) != 4 {
		faults = append(faults, fmt.Sprintf("%d views", len(l.Views)))
	}
	for _, v := range l.Views {
		if v.Plots < 9 || v.Drawn < v.Plots || len(v.Empty) > 0 || v.Tables < 10 {
			faults = append(faults, fmt.Sprintf("%d px, %s: %d plots, %d drawn, empty %v, %d tables", v.Width, v.Theme, v.Plots, v.Drawn, v.Empty, v.Tables))
		}
	}
	k := l.Keyboard
	if k.Controls < 15 || k.Reached != k.Controls || len(k.Unseen) > 0 {
		faults = append(faults, fmt.Sprintf("keys reach %d of %d controls; not seen: %v", k.Reached, k.Controls, k.Unseen))
	}
	if k.First != "Skip to the report" || k.Skipped != "main" || !k.Opened || k.Scrolled == nil || !*k.Scrolled || !strings.HasPrefix(k.Chosen, "heat-") || strings.Contains(k.Chosen, " ") {
		faults = append(faults, fmt.Sprintf("what keys do: %+v", k))
	}
	if w := l.WithoutScript; w.Tables != l.Views[0].Tables || w.Heat == 0 || w.PlotsShown != 0 || len(w.Console) > 0 {
		faults = append(faults, fmt.Sprintf("without a script: %+v", w))
	}
	if p := l.Print; p.Closed != 0 || p.Bytes == 0 || p.Background != "rgb(255, 255, 255)" || p.Ink != "rgb(0, 0, 0)" {
		faults = append(faults, fmt.Sprintf("on paper: %+v", p))
	}
	return faults
}

// everyView are the faults that no page may have, an empty one neither.
func (l *pageLook) everyView() []string {
	var faults []string
	backgrounds := map[string]bool{}
	for _, v := range l.Views {
		backgrounds[v.Background] = true
		for _, fault := range slices.Concat(v.Violations, v.Console) {
			faults = append(faults, fmt.Sprintf("%d px, %s: %s", v.Width, v.Theme, fault))
		}
		if len(v.Requests) != 1 || v.Sideways > 0 {
			faults = append(faults, fmt.Sprintf("%d px, %s: requests %v, %d px too wide", v.Width, v.Theme, v.Requests, v.Sideways))
		}
	}
	if len(backgrounds) != 2 {
		faults = append(faults, fmt.Sprintf("%d backgrounds: light and dark are wanted", len(backgrounds)))
	}
	return faults
}

// pageChecker is what looks at pages.
type pageChecker struct{ node, script, browser, modules string }

func pageTools(ctx context.Context, env *Environment) (*pageChecker, error) {
	node, err := exec.LookPath("node")
	if err != nil {
		return nil, fmt.Errorf("look for Node.js, which brings npm too: %w", err)
	}
	root, err := testbed.Root(ctx)
	if err != nil {
		return nil, err
	}
	browser, err := env.Part(ctx, partstore.Browser)
	if err != nil {
		return nil, err
	}
	modules, err := env.Part(ctx, partstore.PageCheck)
	if err != nil {
		return nil, err
	}
	return &pageChecker{node: node, script: filepath.Join(root, "scripts", "page", "check.mjs"), browser: browser, modules: modules}, nil
}

// How far a look at a page goes.
const (
	wholeLook = "whole"
	halfLook  = "half"
	briefLook = "brief"
)

// look lets the browser look at a page; screenshots, where not empty, gets pictures.
func (c *pageChecker) look(ctx context.Context, page, extent, screenshots string) (*pageLook, error) {
	if screenshots != "" {
		if err := os.MkdirAll(screenshots, 0o755); err != nil {
			return nil, fmt.Errorf("make the directory of screenshots: %w", err)
		}
	}
	command := exec.CommandContext(ctx, c.node, c.script, c.browser, c.modules, page, extent, screenshots)
	var stderr bytes.Buffer
	command.Stderr = &stderr
	output, err := command.Output()
	if err != nil {
		return nil, fmt.Errorf("look at the page: %w: %s", err, stderr.String())
	}
	var look pageLook
	if err := json.Unmarshal(output, &look); err != nil {
		return nil, fmt.Errorf("read what the browser saw: %w", err)
	}
	return &look, nil
}
