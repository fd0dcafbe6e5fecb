package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"rollcall/scripts/testbed"
)

const (
	// demoLimit is what the demonstration may take after its downloads.
	demoLimit = 3 * time.Minute
	// demoPatience bounds the whole, downloads and a cold build included.
	demoPatience = 20 * time.Minute
)

// demoTools is everything that the demonstration finds on its PATH: Go and Node, the
// two that fetch and drive (git, make), and what every system has. No compiler of C,
// no Java, no Maven, no Python.
func demoTools() []string {
	return []string{"go", "node", "npm", "git", "make", "bash", "sh", "env", "mkdir", "rm", "mv", "cp", "cat", "ls", "uname", "dirname", "basename"}
}

func proveDemoExact(ctx context.Context, env *Environment) (string, bool, error) {
	ctx, cancel := context.WithTimeout(ctx, demoPatience)
	defer cancel()
	d, err := newDemoCheckout(ctx, env)
	if err != nil {
		return "", false, err
	}
	env.Say("make demo EXIT=1 in a fresh clone")
	run, err := d.run(ctx, "make", "demo", "EXIT=1")
	if err != nil {
		return "", false, err
	}
	found, err := run.read(env.Size == Full)
	if err != nil {
		return found.String(), false, err
	}
	env.Say("%s; now without --exit", found)
	if err := d.staysUp(ctx); err != nil {
		return found.String(), false, fmt.Errorf("without EXIT=1: %w", err)
	}
	return found.String() + "; without EXIT=1 it stays up and its web page answers", found.hold(), nil
}

// demoCheckout is a fresh clone with a home and caches of its own.
type demoCheckout struct {
	dir         string
	environment []string
	log         string
}

func newDemoCheckout(ctx context.Context, env *Environment) (*demoCheckout, error) {
	root, err := testbed.Root(ctx)
	if err != nil {
		return nil, err
	}
	d := &demoCheckout{dir: env.Path("clone"), log: env.Path("demo.log")}
	clone := exec.CommandContext(ctx, "git", "clone", "--quiet", "--no-hardlinks", root, d.dir)
	if output, err := clone.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("clone the repository: %w: %s", err, output)
	}
	tools := env.Path("tools")
	if err := linkTools(tools); err != nil {
		return nil, err
	}
	own := []string{"PATH=" + tools, "TMPDIR=" + env.Path("tmp")}
	dirs := []string{"tmp"}
	if env.Size == Full { // small uses the user's caches: it is about the demonstration alone
		for name, dir := range map[string]string{
			"HOME": "home", "XDG_CACHE_HOME": "cache", "ROLLCALL_CACHE": "rollcall-cache",
			"GOCACHE": "go-build", "GOPATH": "go", "GOMODCACHE": "go-modules",
		} {
			own = append(own, name+"="+env.Path(dir))
			dirs = append(dirs, dir)
		}
	}
	for _, dir := range dirs {
		if err := os.MkdirAll(env.Path(dir), 0o755); err != nil {
			return nil, fmt.Errorf("make an empty directory: %w", err)
		}
	}
	// Module directories are made read-only unless told otherwise, and could not be removed.
	d.environment = append(inherited(own), "GOFLAGS=-modcacherw")
	return d, nil
}

// inherited returns our environment with own in place of what goes by those names.
func inherited(own []string) []string {
	replaced := []string{"GOFLAGS", "MAKEFLAGS", "MAKELEVEL", "MFLAGS", "EXIT", "NAME", "SIZE"} // make's own would reach down
	for _, variable := range own {
		name, _, _ := strings.Cut(variable, "=")
		replaced = append(replaced, name)
	}
	kept := slices.DeleteFunc(os.Environ(), func(variable string) bool {
		name, _, _ := strings.Cut(variable, "=")
		return slices.Contains(replaced, name) || strings.HasPrefix(name, "ROLLCALL_") && name != "ROLLCALL_CACHE"
	})
	return append(kept, own...)
}

// linkTools fills a directory with links to the tools, and nothing else.
func linkTools(dir string) error {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return fmt.Errorf("make the directory of tools: %w", err)
	}
	for _, tool := range demoTools() {
		path, err := exec.LookPath(tool)
		if err != nil {
			return fmt.Errorf("the demonstration needs %s: %w", tool, err)
		}
		if path, err = filepath.EvalSymlinks(path); err != nil {
			return fmt.Errorf("find %s: %w", tool, err)
		}
		if err := os.Symlink(path, filepath.Join(dir, tool)); err != nil {
			return fmt.Errorf("link %s: %w", tool, err)
		}
	}
	return nil
}

// command returns a command of the clone, whose whole group ends with ctx.
func (d *demoCheckout) command(ctx context.Context, name string, arguments ...string) *exec.Cmd {
	command := exec.CommandContext(ctx, name, arguments...)
	for _, variable := range d.environment {
		if tools, ok := strings.CutPrefix(variable, "PATH="); ok && !strings.Contains(name, "/") {
			command.Path, command.Err = filepath.Join(tools, name), nil // as its own PATH has it, not as ours does
		}
	}
	command.Dir, command.Env = d.dir, d.environment
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	command.Cancel = func() error { return syscall.Kill(-command.Process.Pid, syscall.SIGTERM) }
	command.WaitDelay = 30 * time.Second
	return command
}

// run carries a command out to its end.
func (d *demoCheckout) run(ctx context.Context, name string, arguments ...string) (*demoRun, error) {
	return d.interrupted(ctx, "", nil, name, arguments...)
}

// interrupted carries a command out and, at the first line that contains at, calls
// between and sends an interrupt, as a terminal does. An empty at is in no line.
func (d *demoCheckout) interrupted(ctx context.Context, at string, between func(*demoRun) error, name string, arguments ...string) (*demoRun, error) {
	log, err := os.OpenFile(d.log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return nil, fmt.Errorf("open the log of the demonstration: %w", err)
	}
	defer log.Close()
	lines, output := io.Pipe()
	command := d.command(ctx, name, arguments...)
	command.Stdout, command.Stderr = output, output
	if err := command.Start(); err != nil {
		return nil, fmt.Errorf("run %s: %w", name, err)
	}
	ended := make(chan error, 1) // room for the one result
	go func() {
		ended <- command.Wait()
		output.Close()
	}()
	run := &demoRun{}
	var problem error
	run.follow(io.TeeReader(lines, log), func(line string) {
		if at != "" && problem == nil && strings.Contains(line, at) {
			problem = errors.Join(between(run), syscall.Kill(-command.Process.Pid, syscall.SIGINT))
		}
	})
	err = errors.Join(<-ended, problem)
	run.cpu = command.ProcessState.UserTime() + command.ProcessState.SystemTime()
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w; it ends with:\n%s", name, strings.Join(arguments, " "), err, run.tail(15))
	}
	return run, nil
}

// staysUp runs the demonstration, with a small fleet, as make demo does it without
// EXIT=1: it must answer where it says until it is interrupted.
func (d *demoCheckout) staysUp(ctx context.Context) error {
	asked := false
	_, err := d.interrupted(ctx, "Stop with Ctrl-C", func(run *demoRun) error {
		asked = true
		page := run.match(`web page +(http://\S+)`)
		if page == nil || run.match(`SQL client +clickhouse client --host \S+ --port \d+`) == nil {
			return errors.New("it does not say where to query")
		}
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, page[1], nil)
		if err != nil {
			return err
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			return fmt.Errorf("open its web page: %w", err)
		}
		defer response.Body.Close()
		content, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
		if err != nil || response.StatusCode != http.StatusOK || !strings.Contains(string(content), "<html") {
			return fmt.Errorf("its web page answers %d (%w)", response.StatusCode, err)
		}
		return nil
	}, filepath.Join(d.dir, "bin", "rollcall"), "demo", "--licences", "10", "--installations", "20", "--days", "3")
	if err == nil && !asked {
		return errors.New("it ended by itself")
	}
	return err
}

// demoFigures are what the demonstration said.
type demoFigures struct {
	licences, installations, days, reports int
	cells, offsets                         int
	took, played                           time.Duration // from the end of the downloads, and of the build
	cpu                                    time.Duration // of everything
}

func (f demoFigures) hold() bool {
	return f.licences >= 200 && f.installations >= 1_000 && f.days >= 14 && f.reports > 20_000 &&
		f.cells > 0 && f.offsets > 0 && f.took < demoLimit
}

func (f demoFigures) String() string {
	return fmt.Sprintf("%d cells compared, 0 differ, %d offsets audited, 0 missing; %d licences, %d installations, %d days, %d reports; %v after the downloads, %v of them after the build (%v of CPU, building included)",
		f.cells, f.offsets, f.licences, f.installations, f.days, f.reports, f.took.Round(time.Second), f.played.Round(time.Second), f.cpu.Round(time.Second))
}

// number reads what a pattern for digits has matched.
func number(digits string) int {
	n, err := strconv.Atoi(digits)
	if err != nil {
		return 0 // then it is less than any that is asked for
	}
	return n
}

// read takes the figures from what was printed. cold says that the parts must have
// been downloaded in this very run.
func (r *demoRun) read(cold bool) (demoFigures, error) {
	var f demoFigures
	fleet := r.match(`(\d+) licences, (\d+) installations, (\d+) days: (\d+) reports`)
	audited := r.match(`(\d+) offsets audited, 0 missing, 0 session-days without their state`)
	verified := r.match(`^(\d+) cells compared, 0 differ$`)
	if fleet == nil || audited == nil || verified == nil {
		return f, fmt.Errorf("the fleet, a clean audit or a clean comparison is not among what it printed:\n%s", r.tail(15))
	}
	f.licences, f.installations, f.days, f.reports = number(fleet[1]), number(fleet[2]), number(fleet[3]), number(fleet[4])
	f.offsets, f.cells = number(audited[1]), number(verified[1])
	for _, title := range []string{"Feature usage: ", "Legacy features: are they", "Licences: "} {
		if rows := r.table(title); rows < 3 {
			return f, fmt.Errorf("%d rows under %q", rows, title)
		}
	}
	// The clock runs from the end of the downloads, of parts and of modules; where
	// there were none, from the start.
	since, downloaded := r.lastAt(regexp.MustCompile(`^go: downloading |^(clickhouse|geoip): ready after`))
	if cold && (!downloaded || r.match(`^clickhouse: ready after`) == nil || r.match(`^go: downloading `) == nil) {
		return f, errors.New("not everything was downloaded: the caches were not empty")
	}
	if !downloaded {
		since = r.lines[0].at
	}
	begin, _ := r.lastAt(regexp.MustCompile(`^Starting broker`))
	end, _ := r.lastAt(regexp.MustCompile(`cells compared`))
	f.took, f.played, f.cpu = end.Sub(since), end.Sub(begin), r.cpu
	return f, nil
}
