package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"

	"rollcall/scripts/testbed"
)

// eachRecord calls visit with every record that the topic has now.
func (p *pipeline) eachRecord(ctx context.Context, topic string, visit func(*kgo.Record) error) error {
	return testbed.EachRecord(ctx, p.kafka.Brokers(), topic, visit)
}

// ends returns where each partition of the topic ends now.
func (p *pipeline) ends(ctx context.Context, topic string) (testbed.Ends, error) {
	return testbed.EndOffsets(ctx, p.admin, topic)
}

// everyPartition returns the flags that name each partition of the topic to a command.
func (p *pipeline) everyPartition(ctx context.Context, topic string) (flags []string, err error) {
	ends, err := p.ends(ctx, topic)
	for _, number := range slices.Sorted(maps.Keys(ends)) {
		flags = append(flags, "--partition", strconv.Itoa(int(number)))
	}
	return flags, err
}

// readPage returns what an address of a private listener answers, ready or not.
func readPage(ctx context.Context, url string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path.Base(url), err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path.Base(url), err)
	}
	defer response.Body.Close()
	return io.ReadAll(response.Body)
}

// readMetric returns the sum of a metric's samples on a service's private listener.
func readMetric(ctx context.Context, url, name string) (float64, error) {
	page, err := readPage(ctx, url)
	if err != nil {
		return 0, err
	}
	sum, found := 0.0, false
	for line := range strings.Lines(string(page)) {
		rest, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), name)
		if !ok || rest == "" || (rest[0] != '{' && rest[0] != ' ') {
			continue
		}
		value, err := strconv.ParseFloat(rest[strings.LastIndexByte(rest, ' ')+1:], 64)
		if err != nil {
			return 0, fmt.Errorf("metric %s: %w", name, err)
		}
		sum, found = sum+value, true
	}
	if !found {
		return 0, fmt.Errorf("no metric %s", name)
	}
	return sum, nil
}

// gatewayMetric returns the number in the pattern's group on the gateway's page of metrics.
func (p *pipeline) gatewayMetric(ctx context.Context, pattern *regexp.Regexp) (int, error) {
	page, err := readPage(ctx, p.cluster.Service(testbed.Gateway)[0].URL("/metrics"))
	if err != nil {
		return 0, err
	}
	match := pattern.FindSubmatch(page)
	if match == nil {
		return 0, fmt.Errorf("no metric %s", pattern)
	}
	return strconv.Atoi(string(match[1]))
}
