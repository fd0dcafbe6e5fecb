package testbed

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/goccy/go-yaml"
	"golang.org/x/sync/errgroup"
)

// The services, in the order of a report's way; each is a subcommand of rollcall.
const (
	Gateway    = "gateway"
	Anonymizer = "anonymizer"
	Enricher   = "enricher"
	Sink       = "sink"
)

// ServiceNames returns the services in the order of a report's way.
func ServiceNames() []string { return []string{Gateway, Anonymizer, Enricher, Sink} }

// Settings are configuration by dotted key, as "sink.flush_rows".
type Settings map[string]any

// ClusterOptions describe the services that run as processes.
type ClusterOptions struct {
	// Binary is rollcall, as Build makes it; Binaries overrides it for services by name.
	Binary   string
	Binaries map[string]string
	// Dir keeps configuration, keys and logs; it is made when absent.
	Dir string
	// Brokers are Kafka's addresses, ClickHouse the native protocol's host:port.
	Brokers    []string
	ClickHouse string
	// Copies is the number of processes of each service, 1 where absent; 0 leaves a
	// service out.
	Copies map[string]int
	// Partitions of the topics, 0 means 6; Replicas and MinInSync of Kafka, 0 means 1.
	Partitions, Replicas, MinInSync int
	// KeysSince is the first day for which keys are made; zero: today.
	KeysSince time.Time
	// GeoIPDir is the part geoip's path; empty: no country and no network is known.
	GeoIPDir string
	// Settings apply to every process and command, ServiceSettings to one service.
	Settings        Settings
	ServiceSettings map[string]Settings
}

// Cluster is the four services, each as processes, over real Kafka and ClickHouse.
type Cluster struct {
	options   ClusterOptions
	processes map[string][]*Process
	gateways  []string            // base URLs
	own       map[string]Settings // of each process, by name

	mu     sync.Mutex
	binary string // of commands
}

// NewCluster writes the configuration, makes keys, topics and tables, and returns the
// processes, not started.
func NewCluster(ctx context.Context, o ClusterOptions) (*Cluster, error) {
	if err := o.complete(); err != nil {
		return nil, err
	}
	c := &Cluster{options: o, processes: map[string][]*Process{}, own: map[string]Settings{}, binary: o.Binary}
	if err := writeConfig(c.configPath("rollcall"), o.common(), o.Settings); err != nil {
		return nil, err
	}
	if err := c.prepare(ctx); err != nil {
		return nil, fmt.Errorf("prepare the cluster: %w", err)
	}
	for _, service := range ServiceNames() {
		copies, ok := o.Copies[service]
		if !ok {
			copies = 1
		}
		for i := range copies {
			process, err := c.newProcess(service, i+1)
			if err != nil {
				return nil, err
			}
			c.processes[service] = append(c.processes[service], process)
		}
	}
	return c, nil
}

// complete fills in what was left out.
func (o *ClusterOptions) complete() error {
	if o.Binary == "" || o.Dir == "" || len(o.Brokers) == 0 || o.ClickHouse == "" {
		return errors.New("cluster: binary, directory, brokers and ClickHouse are required")
	}
	o.Partitions = max(o.Partitions, 0)
	if o.Partitions == 0 {
		o.Partitions = 6
	}
	o.Replicas, o.MinInSync = max(o.Replicas, 1), max(o.MinInSync, 1)
	if o.KeysSince.IsZero() {
		o.KeysSince = time.Now()
	}
	absolute, err := filepath.Abs(o.Dir)
	if err != nil {
		return fmt.Errorf("cluster: %w", err)
	}
	o.Dir = absolute
	if err := os.MkdirAll(filepath.Join(absolute, "logs"), 0o755); err != nil {
		return fmt.Errorf("cluster: %w", err)
	}
	return nil
}

// common is the configuration that all processes and commands share.
func (o *ClusterOptions) common() Settings {
	settings := Settings{
		"kafka.brokers":             o.Brokers,
		"clickhouse.addresses":      []string{o.ClickHouse},
		"keystore.dir":              o.keysDir(""),
		"topics.partitions":         o.Partitions,
		"topics.replication_factor": o.Replicas,
		"topics.min_in_sync":        o.MinInSync,
	}
	if o.GeoIPDir != "" {
		settings["geoip.country_file"] = filepath.Join(o.GeoIPDir, "country.mmdb")
		settings["geoip.asn_files"] = []string{filepath.Join(o.GeoIPDir, "asn.csv")}
	}
	return settings
}

func (c *Cluster) configPath(name string) string {
	return filepath.Join(c.options.Dir, name+".yaml")
}

// writeConfig writes settings as nested YAML; later ones win.
func writeConfig(path string, layers ...Settings) error {
	tree := map[string]any{}
	for _, layer := range layers {
		for _, key := range slices.Sorted(maps.Keys(layer)) {
			sections := strings.Split(key, ".")
			node := tree
			for _, section := range sections[:len(sections)-1] {
				below, ok := node[section].(map[string]any)
				if !ok {
					below = map[string]any{}
					node[section] = below
				}
				node = below
			}
			node[sections[len(sections)-1]] = layer[key]
		}
	}
	content, err := yaml.Marshal(tree)
	if err != nil {
		return fmt.Errorf("write %s: %w", filepath.Base(path), err)
	}
	// Whole at any time: a command may read it at this moment.
	if err := os.WriteFile(path+".new", content, 0o600); err != nil {
		return fmt.Errorf("write the configuration: %w", err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		return fmt.Errorf("write the configuration: %w", err)
	}
	return nil
}

// prepare runs what an operator runs before the services.
func (c *Cluster) prepare(ctx context.Context) error {
	for _, command := range [][]string{
		{"keys", "maintain", "--since", c.options.KeysSince.UTC().Format(time.DateOnly)},
		{"topics", "apply"},
		{"migrate", "up"},
	} {
		if _, err := c.Command(ctx, command...); err != nil {
			return err
		}
	}
	return c.ExportKeys(ctx)
}

// exports are the services that have a directory of keys of their own.
func exports() []string { return []string{Gateway, Anonymizer} }

// KeysDir returns the directory of keys: the keystore, where service is empty, or what
// a service has of it.
func (c *Cluster) KeysDir(service string) string { return c.options.keysDir(service) }

func (o *ClusterOptions) keysDir(service string) string {
	if !slices.Contains(exports(), service) {
		return filepath.Join(o.Dir, "keys")
	}
	return filepath.Join(o.Dir, "keys-"+service)
}

// ExportKeys brings the services' directories in step with the keystore, as an
// operator does after every change to it.
func (c *Cluster) ExportKeys(ctx context.Context) error {
	for _, service := range exports() {
		if _, err := c.Command(ctx, "keys", "export", service, "--to", c.KeysDir(service)); err != nil {
			return err
		}
	}
	return nil
}

// Command runs a rollcall command with the cluster's configuration and returns its
// standard output; the error quotes its standard error. errors.As finds *exec.ExitError.
func (c *Cluster) Command(ctx context.Context, arguments ...string) (string, error) {
	c.mu.Lock()
	binary := c.binary
	c.mu.Unlock()
	command := exec.CommandContext(ctx, binary, append([]string{"--config", c.configPath("rollcall")}, arguments...)...)
	var problems strings.Builder
	command.Stderr = &problems
	output, err := command.Output()
	if err != nil {
		return string(output), fmt.Errorf("rollcall %s: %w: %s", strings.Join(arguments, " "), err, problems.String())
	}
	return string(output), nil
}

// newProcess gives one copy of a service its ports and its configuration.
func (c *Cluster) newProcess(service string, number int) (*Process, error) {
	name := fmt.Sprintf("%s-%d", service, number)
	private, err := FreePort()
	if err != nil {
		return nil, err
	}
	own := Settings{"private.listen": loopback(private), "kafka.client_id": name, "keystore.dir": c.KeysDir(service)}
	if service == Gateway {
		public, err := FreePort()
		if err != nil {
			return nil, err
		}
		own["gateway.listen"] = loopback(public)
		c.gateways = append(c.gateways, "http://"+loopback(public))
	}
	c.own[name] = own
	if err := c.configure(service, name); err != nil {
		return nil, err
	}
	binary := c.options.Binary
	if other, ok := c.options.Binaries[service]; ok {
		binary = other
	}
	return NewProcess(ProcessOptions{
		Name: name, Binary: binary, Args: []string{"--config", c.configPath(name), service},
		LogPath:  filepath.Join(c.options.Dir, "logs", name+".log"),
		ReadyURL: "http://" + loopback(private) + "/readyz",
	}), nil
}

// configure writes the configuration of one process.
func (c *Cluster) configure(service, name string) error {
	return writeConfig(c.configPath(name), c.options.common(), c.own[name], c.options.Settings, c.options.ServiceSettings[service])
}

// Configure adds settings to those of every process and command: a process heeds them
// once it is started again.
func (c *Cluster) Configure(settings Settings) error {
	all := maps.Clone(c.options.Settings)
	if all == nil {
		all = Settings{}
	}
	maps.Copy(all, settings)
	c.options.Settings = all
	if err := writeConfig(c.configPath("rollcall"), c.options.common(), all); err != nil {
		return err
	}
	for service, processes := range c.processes {
		for _, process := range processes {
			if err := c.configure(service, process.Name()); err != nil {
				return err
			}
		}
	}
	return nil
}

// Use makes later commands run another binary.
func (c *Cluster) Use(binary string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.binary = binary
}

// ConfigPath returns the file that Command configures with.
func (c *Cluster) ConfigPath() string { return c.configPath("rollcall") }

// Gateways returns the base URLs of the gateways, without a slash at the end.
func (c *Cluster) Gateways() []string { return c.gateways }

// Service returns the processes of one service.
func (c *Cluster) Service(name string) []*Process { return c.processes[name] }

// All returns every process, in the order of a report's way.
func (c *Cluster) All() []*Process {
	var all []*Process
	for _, service := range ServiceNames() {
		all = append(all, c.processes[service]...)
	}
	return all
}

// Start starts every process that does not run, and returns when all are ready.
func (c *Cluster) Start(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	for _, process := range c.All() {
		if process.Running() {
			continue
		}
		group.Go(func() error { return process.Start(ctx) })
	}
	return group.Wait()
}

// Stop ends every process in order, gateways first, so that what they took arrives.
func (c *Cluster) Stop(ctx context.Context) error {
	var errs []error
	for _, service := range ServiceNames() {
		var group errgroup.Group
		for _, process := range c.processes[service] {
			group.Go(func() error { return process.Stop(ctx) })
		}
		errs = append(errs, group.Wait())
	}
	return errors.Join(errs...)
}

// Kill ends every process at once (SIGKILL).
func (c *Cluster) Kill() {
	for _, process := range c.All() {
		process.Kill()
	}
}

// Usage returns what each service used, all its processes and their lives together.
func (c *Cluster) Usage() (map[string]Usage, error) {
	used := map[string]Usage{}
	for _, service := range ServiceNames() {
		for _, process := range c.processes[service] {
			usage, err := process.Usage()
			if err != nil {
				return nil, fmt.Errorf("usage of %s: %w", process.Name(), err)
			}
			used[service] = used[service].Add(usage)
		}
	}
	return used, nil
}
