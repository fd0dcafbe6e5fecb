package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"rollcall/scripts/testbed"
)

// imageUser is who runs in the image.
const imageUser = 65532

// composedRun is what came of the containers.
type composedRun struct {
	jobs, services []string
	confined       int    // processes without root, capabilities and new privileges
	end            string // of the report
	stopped        int    // services that ended in order
	refused        bool   // a container that may not write was caught writing nothing
}

func (r composedRun) good() bool {
	return len(r.services) == 4 && r.confined == len(r.services) && r.stopped == len(r.services) && r.end == "landed" && r.refused
}

func (r composedRun) String() string {
	return fmt.Sprintf("of deploy/compose.yaml %d jobs and %d services ran from the layer as user %d on a read-only file system (%d without capabilities and new privileges; writing refused: %v): the report %s, %d services ended in order",
		len(r.jobs), len(r.services), imageUser, r.confined, r.refused, r.end, r.stopped)
}

// engine stands in for a container engine: the composition's containers, out of the
// unpacked layer, by scripts/testbed/jail.
type engine struct {
	env          *Environment
	jail         string
	files        unpacked
	volumes      volumes
	replacements *strings.Replacer // of other containers' addresses
	own          map[string]string // variables that give a container its own ports
}

// runComposed runs the composition's containers and sends a report through them.
func runComposed(ctx context.Context, env *Environment, p ociPlatform) (composedRun, error) {
	var run composedRun
	e, ours, err := newEngine(ctx, env, p)
	if err != nil {
		return run, err
	}
	order, jobs, err := startOrder(ours)
	if err != nil {
		return run, err
	}
	services := map[string]*testbed.Process{}
	for _, name := range order {
		env.Say("container %s", name)
		if jobs[name] {
			if _, err := e.job(ctx, name, ours[name], nil); err != nil {
				return run, err
			}
			run.jobs = append(run.jobs, name)
			continue
		}
		if services[name], err = e.start(ctx, name, ours[name]); err != nil {
			return run, err
		}
		run.services = append(run.services, name)
	}
	for _, name := range run.services {
		if err := confined(services[name].PID()); err != nil {
			return run, fmt.Errorf("%s: %w", name, err)
		}
		run.confined++
	}
	if err := e.knowsItself(ctx); err != nil {
		return run, err
	}
	if run.refused, err = e.writesNothing(ctx, ours["keys"]); err != nil {
		return run, err
	}
	if run.end, err = e.report(ctx, ours); err != nil {
		return run, err
	}
	for _, name := range run.services {
		if err := services[name].Stop(ctx); err != nil {
			return run, err
		}
		run.stopped++
	}
	return run, nil
}

// newEngine starts Kafka and ClickHouse in place of the composition's, unpacks the
// layer and builds the jail.
func newEngine(ctx context.Context, env *Environment, p ociPlatform) (*engine, map[string]composedContainer, error) {
	e := &engine{env: env, own: map[string]string{}}
	tool := imageTool{sources: env.Path("image-a"), binary: env.Path("image-a", "bin", "image-tool")}
	content, err := tool.composed(ctx)
	if err != nil {
		return nil, nil, err
	}
	ours, err := readComposition(content)
	if err != nil {
		return nil, nil, err
	}
	if e.files, err = p.unpack(env.Path("container")); err != nil {
		return nil, nil, err
	}
	e.volumes = volumes{env.Path("volumes"), e.files}
	if err := errors.Join(os.Mkdir(e.volumes.directory, 0o755), e.volumes.point("/proc"), e.volumes.point("/report")); err != nil {
		return nil, nil, fmt.Errorf("make the containers' directories: %w", err)
	}
	if e.jail, err = testbed.Build(ctx, testbed.BuildOptions{Dir: env.Dir, Package: "./scripts/testbed/jail", Static: true}); err != nil {
		return nil, nil, err
	}
	kafka, err := env.Kafka(ctx, "kafka", testbed.KafkaOptions{})
	if err != nil {
		return nil, nil, err
	}
	clickhouse, err := env.ClickHouse(ctx, "clickhouse", testbed.ClickHouseOptions{})
	if err != nil {
		return nil, nil, err
	}
	e.replacements = strings.NewReplacer("kafka:9092", kafka.Brokers()[0], "clickhouse:9000", clickhouse.Address())
	return e, ours, nil
}

// command is a container's process. Containers share this machine's network, so each
// gets listening ports of its own; all else is as the composition says.
func (e *engine) command(name string, c composedContainer, arguments, extra []string) ([]string, error) {
	binds, err := e.volumes.mount(c)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	line := []string{
		"unshare", "--user", "--map-user=" + strconv.Itoa(imageUser), "--map-group=" + strconv.Itoa(imageUser), "--mount", "--keep-caps", "--",
		e.jail, "-root", e.files.directory, "-user", strconv.Itoa(imageUser), "-bind", "/proc:/proc",
		"-env", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "-env", "HOME=/", "-env", "HOSTNAME=" + name,
	}
	if os.Geteuid() == 0 { // a real other user, not only one by that name
		id := strconv.Itoa(imageUser)
		line = append([]string{"setpriv", "--reuid=" + id, "--regid=" + id, "--clear-groups", "--"}, line...)
	}
	line = append(append(line, binds...), extra...)
	for _, key := range slices.Sorted(maps.Keys(c.Environment)) {
		value := c.Environment[key]
		if value == nil {
			return nil, fmt.Errorf("%s: variable %s is the engine's, which has none", name, key)
		}
		text := e.replacements.Replace(*value)
		if strings.HasSuffix(key, "_LISTEN") {
			if text, err = e.listen(name, key, text); err != nil {
				return nil, err
			}
		}
		line = append(line, "-env", key+"="+text)
	}
	return append(append(line, "/rollcall"), arguments...), nil
}

// listen returns a port of this machine for one of the container, the same each time.
func (e *engine) listen(name, key, address string) (string, error) {
	if !strings.HasPrefix(address, ":") {
		return "", fmt.Errorf("%s listens on %s: other containers could not reach it", name, address)
	}
	if known, ok := e.own[name+key]; ok {
		return known, nil
	}
	port, err := testbed.FreePort()
	if err != nil {
		return "", err
	}
	e.own[name+key] = net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	return e.own[name+key], nil
}

// job runs a container to its end and returns its output; extra is for the jail.
func (e *engine) job(ctx context.Context, name string, c composedContainer, extra []string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	line, err := e.command(name, c, c.Command, extra)
	if err != nil {
		return "", err
	}
	var problems strings.Builder
	command := exec.CommandContext(ctx, line[0], line[1:]...)
	command.Stderr = &problems
	said, err := command.Output()
	if err != nil {
		return string(said), fmt.Errorf("container %s: %w: %s", name, err, problems.String())
	}
	return string(said), nil
}

// start starts a service and waits until it says that it is ready.
func (e *engine) start(ctx context.Context, name string, c composedContainer) (*testbed.Process, error) {
	line, err := e.command(name, c, c.Command, nil)
	if err != nil {
		return nil, err
	}
	private, ok := e.own[name+"ROLLCALL_PRIVATE_LISTEN"]
	if !ok {
		return nil, fmt.Errorf("%s has no private listener to ask", name)
	}
	process := testbed.NewProcess(testbed.ProcessOptions{
		Name: name, Binary: line[0], Args: line[1:], LogPath: e.env.Path(name + ".log"), ReadyURL: "http://" + private + "/readyz",
	})
	e.env.OnClose(func(context.Context) error { process.Kill(); return nil })
	return process, process.Start(ctx)
}

// confined looks at a process from outside.
func confined(pid int) error {
	path := filepath.Join("/proc", strconv.Itoa(pid), "status")
	wants := map[string]string{"CapPrm": "0000000000000000", "CapEff": "0000000000000000", "CapAmb": "0000000000000000", "NoNewPrivs": "1"}
	if os.Geteuid() == 0 {
		id := strconv.Itoa(imageUser)
		wants["Uid"], wants["Gid"] = strings.Join([]string{id, id, id, id}, "\t"), strings.Join([]string{id, id, id, id}, "\t")
	}
	for key, want := range wants {
		if got := procField(path, key); got != want {
			return fmt.Errorf("it has %s %s, not %s", key, got, want)
		}
	}
	return nil
}

// knowsItself asks the image what it is: the linker drops a name that it does not find,
// and says nothing.
func (e *engine) knowsItself(ctx context.Context) error {
	said, err := e.job(ctx, "version", composedContainer{Command: []string{"version", "--output", "json"}}, nil)
	if err != nil {
		return err
	}
	var told struct{ Version, Revision string }
	if err := json.Unmarshal([]byte(said), &told); err != nil {
		return fmt.Errorf("read the version: %w", err)
	}
	o, err := originOfSources(ctx)
	if err != nil {
		return err
	}
	if told.Version != imageVersion || told.Revision != o.revision {
		return fmt.Errorf("the image says that it is %s of %s, not %s of %s", told.Version, told.Revision, imageVersion, o.revision)
	}
	return nil
}

// writesNothing has a container write into its own file system: a keystore where no
// volume is.
func (e *engine) writesNothing(ctx context.Context, keys composedContainer) (bool, error) {
	keys.Volumes, keys.Command = nil, []string{"keys", "maintain", "--keystore.dir", "/written"}
	_, err := e.job(ctx, "writer", keys, nil)
	if err == nil {
		return false, errors.New("a container wrote into the image's file system")
	}
	return strings.Contains(err.Error(), "read-only file system"), nil
}

// report registers a licence, sends a report through the gateway's container and asks
// where it ended, all with commands of the image.
func (e *engine) report(ctx context.Context, ours map[string]composedContainer) (string, error) {
	const licence = "IMAGE-00001"
	report := dailyReport(licence)
	directory := e.env.Path("report")
	err := errors.Join(os.Mkdir(directory, 0o755),
		os.WriteFile(filepath.Join(directory, "report.avro"), encoded(report), 0o644),
		os.WriteFile(filepath.Join(directory, "licence"), []byte(licence), 0o644),
		os.WriteFile(filepath.Join(directory, "licences.csv"), []byte("licence_key,valid_from,edition\n"+licence+",2020-01-01,enterprise\n"), 0o644))
	if err != nil {
		return "", fmt.Errorf("write the report: %w", err)
	}
	seen := []string{"-bind", directory + ":/report"}
	licences := ours["licences"]
	licences.Command = []string{"licences", "apply", "/report/licences.csv"}
	if _, err := e.job(ctx, "licences", licences, seen); err != nil {
		return "", err
	}
	send := composedContainer{Command: []string{"send", "/report/report.avro", "--url", "http://" + e.own["gatewayROLLCALL_GATEWAY_LISTEN"]}}
	if _, err := e.job(ctx, "send", send, seen); err != nil {
		return "", err
	}
	where := ours["sink"]
	where.Volumes = ours["keys"].Volumes
	where.Command = []string{"where", report.ReportID.String(), "--licence-key-file", "/report/licence", "--keystore.dir", "/var/lib/rollcall/keys", "--output", "json"}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var found struct{ End string }
	err = until(ctx, 500*time.Millisecond, func() (bool, error) {
		said, failed := e.job(ctx, "where", where, seen)
		var exit *exec.ExitError
		pending := errors.As(failed, &exit) && exit.ExitCode() == 3
		if failed != nil && !pending {
			return false, failed
		}
		if err := json.Unmarshal([]byte(said), &found); err != nil {
			return false, fmt.Errorf("read where the report ended: %w", err)
		}
		return failed == nil, nil
	})
	if err != nil {
		return found.End, fmt.Errorf("the report is %s: %w", found.End, err)
	}
	return found.End, nil
}
