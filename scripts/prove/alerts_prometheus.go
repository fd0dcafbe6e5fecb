package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml"

	"rollcall/scripts/testbed"
)

// prometheus is a real server that scrapes the services and evaluates rules.
type prometheus struct {
	process *testbed.Process
	url     string
}

// scrapePeriod is short beside the shortened rules.
const scrapePeriod = 500 * time.Millisecond

// startPrometheus starts a server with the rules over the addresses of each job.
func startPrometheus(ctx context.Context, env *Environment, bin string, rules ruleFile, jobs map[string][]string) (*prometheus, error) {
	content, err := yaml.Marshal(rules)
	if err != nil {
		return nil, fmt.Errorf("write the rules: %w", err)
	}
	if err := os.WriteFile(env.Path("rules.yaml"), content, 0o600); err != nil {
		return nil, fmt.Errorf("write the rules: %w", err)
	}
	type target struct {
		Targets []string `yaml:"targets"`
	}
	type job struct {
		Name    string   `yaml:"job_name"`
		Targets []target `yaml:"static_configs"`
	}
	config := struct {
		Global map[string]string `yaml:"global"`
		Files  []string          `yaml:"rule_files"`
		Jobs   []job             `yaml:"scrape_configs"`
	}{
		Global: map[string]string{"scrape_interval": scrapePeriod.String(), "scrape_timeout": scrapePeriod.String(), "evaluation_interval": "1s"},
		Files:  []string{"rules.yaml"},
	}
	for name, addresses := range jobs {
		config.Jobs = append(config.Jobs, job{name, []target{{addresses}}})
	}
	if content, err = yaml.Marshal(config); err != nil {
		return nil, fmt.Errorf("write the configuration of Prometheus: %w", err)
	}
	if err := os.WriteFile(env.Path("prometheus.yaml"), content, 0o600); err != nil {
		return nil, fmt.Errorf("write the configuration of Prometheus: %w", err)
	}
	port, err := testbed.FreePort()
	if err != nil {
		return nil, err
	}
	address := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	process := testbed.NewProcess(testbed.ProcessOptions{
		Name: "prometheus", Binary: filepath.Join(bin, "prometheus"), LogPath: env.Path("prometheus.log"),
		Args: []string{
			"--config.file=" + env.Path("prometheus.yaml"), "--storage.tsdb.path=" + env.Path("prometheus"), "--web.listen-address=" + address,
			"--query.lookback-delta=5s", // a process that is gone is gone in a second, as in minutes at full length
		},
		ReadyURL: "http://" + address + "/-/ready",
	})
	env.OnClose(func(context.Context) error { process.Kill(); return nil })
	return &prometheus{process, "http://" + address}, process.Start(ctx)
}

// promAlert is an alert as Prometheus tells of it.
type promAlert struct {
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations"`
	State       string            `json:"state"`
}

// firing returns the alerts that fire, by id.
func (p *prometheus) firing(ctx context.Context) (map[string]promAlert, error) {
	var answer struct{ Alerts []promAlert }
	if err := p.ask(ctx, "/api/v1/alerts", nil, &answer); err != nil {
		return nil, err
	}
	firing := map[string]promAlert{}
	for _, alert := range answer.Alerts {
		if alert.State == "firing" {
			firing[alert.Labels["alertname"]+"/"+alert.Labels["severity"]] = alert
		}
	}
	return firing, nil
}

// matches returns how many series a selector has had since the start.
func (p *prometheus) matches(ctx context.Context, selector string) (int, error) {
	var series []map[string]string
	err := p.ask(ctx, "/api/v1/series", url.Values{"match[]": {selector}, "limit": {"100"}}, &series)
	return len(series), err
}

func (p *prometheus) ask(ctx context.Context, path string, query url.Values, data any) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, p.url+path+"?"+query.Encode(), nil)
	if err != nil {
		return fmt.Errorf("ask Prometheus: %w", err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return fmt.Errorf("ask Prometheus: %w", err)
	}
	defer response.Body.Close()
	answer := struct {
		Status, Error string
		Data          any
	}{Data: data}
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
		return fmt.Errorf("ask Prometheus for %s: status %d: %w", path, response.StatusCode, err)
	}
	if answer.Status != "success" {
		return fmt.Errorf("ask Prometheus for %s: %s", path, answer.Error)
	}
	return nil
}

// jobs returns the private listeners of the cluster's processes and of others, by service.
func jobs(cluster *testbed.Cluster, others ...*testbed.Process) map[string][]string {
	all := map[string][]string{}
	for _, process := range slices.Concat(cluster.All(), others) {
		service, _, _ := strings.Cut(process.Name(), "-")
		all["rollcall-"+service] = append(all["rollcall-"+service], strings.TrimPrefix(process.URL(""), "http://"))
	}
	return all
}
