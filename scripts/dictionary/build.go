package main

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"regexp"
	"slices"

	"github.com/klauspost/compress/zstd"

	"rollcall/pkg/client"
	"rollcall/pkg/fleet"
	catalogue "rollcall/schemas/metrics"
)

const (
	// contentBytes bounds the words: the nearer they all are, the shorter the offsets.
	contentBytes = 4 << 10
	samples      = 4000
	// rarest is how often a word must occur in the samples: one in a hundred.
	rarest = samples / 100
	header = 10 // of the single-object encoding; envelopes hold the body behind it
)

// build returns the dictionary: what reports have in common, the most frequent last,
// with code tables for encoders that use them.
func build(id uint32) ([]byte, error) {
	metrics := fleet.MetricsOf(catalogue.Embedded())
	options := fleet.Demo()
	options.End = end
	plan, err := fleet.New(options, metrics)
	if err != nil {
		return nil, err
	}
	counts := map[string]int{}
	// What is in the catalogue is in the dictionary, even where the samples lack it.
	for _, m := range metrics {
		counts[string(text(m.Name))] += rarest
	}
	random := rand.New(rand.NewPCG(1, 1))
	var bodies [][]byte
	for delivery := range plan.Deliveries() {
		report := delivery.Report()
		if !usual(report) {
			continue
		}
		body, err := encode(report, random)
		if err != nil {
			return nil, err
		}
		bodies = append(bodies, body)
		for _, word := range words(report) {
			counts[word]++
		}
		if len(bodies) == samples {
			break
		}
	}
	dictionary, err := zstd.BuildDict(zstd.BuildDictOptions{
		ID: id, Contents: bodies, History: content(counts), Offsets: [3]int{1, 4, 8}, Level: zstd.SpeedFastest, CompatV155: true,
	})
	if err != nil {
		return nil, fmt.Errorf("build the dictionary: %w", err)
	}
	return dictionary, nil
}

// usual reports whether a report's texts are such as products send. Some simulated
// clients send what their users typed, to be cut: that is nobody's business here.
func usual(r *client.Report) bool {
	name, version := regexp.MustCompile(`^[A-Za-z][A-Za-z0-9 _-]*$`), regexp.MustCompile(`^[0-9][0-9a-z.-]*$`)
	return name.MatchString(r.Application.Name) && version.MatchString(r.Application.Version) && name.MatchString(r.Application.Edition) &&
		name.MatchString(r.Host.OSName) && version.MatchString(r.Host.OSVersion) && name.MatchString(r.Host.Architecture)
}

// encode returns a report's body as an envelope holds it, with the maps in an order of
// chance, as they come, but always the same.
func encode(r *client.Report, random *rand.Rand) ([]byte, error) {
	bare := *r
	bare.Counters, bare.Gauges, bare.Distincts = nil, nil, nil
	body, err := bare.AppendAvro(nil)
	if err != nil {
		return nil, fmt.Errorf("encode a report: %w", err)
	}
	const nulls = "\x00\x00" // key and signature, behind the three maps
	body, found := bytes.CutSuffix(body[header:], []byte("\x00\x00\x00"+nulls))
	if !found {
		return nil, errors.New("a report does not end with its maps: has the schema changed?")
	}
	for _, metrics := range []map[string]int64{r.Counters, r.Gauges, r.Distincts} {
		names := slices.Sorted(maps.Keys(metrics))
		random.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
		if len(names) > 0 {
			body = binary.AppendVarint(body, int64(len(names)))
		}
		for _, name := range names {
			body = binary.AppendVarint(append(body, text(name)...), metrics[name])
		}
		body = append(body, 0)
	}
	return append(body, nulls...), nil
}

// words returns what of a report others may have too, as it stands in the encoding:
// names of metrics, and the texts that follow each other.
func words(r *client.Report) []string {
	const end, one = "\x00", "\x02" // of a map, and before a map of one entry
	var all []string
	for _, word := range []string{r.Application.Name, r.Application.Version, r.Application.Edition, r.Host.OSName, r.Host.OSVersion, r.Host.Architecture} {
		all = append(all, string(text(word)))
	}
	all = append(all,
		string(slices.Concat(text(r.Application.Name), text(r.Application.Version), text(r.Application.Edition))),
		string(slices.Concat(text(r.Host.OSName), text(r.Host.OSVersion), text(r.Host.Architecture))),
	)
	for _, metrics := range []map[string]int64{r.Counters, r.Gauges, r.Distincts} {
		for name := range metrics {
			all = append(all, string(text(name)))
			if len(metrics) == 1 {
				all = append(all, end+one+string(text(name)))
			}
		}
	}
	return all
}

// text returns a string as Avro writes it.
func text(s string) []byte {
	return append(binary.AppendVarint(nil, int64(len(s))), s...)
}

// content puts the words together, the most frequent at the end, each once.
func content(counts map[string]int) []byte {
	var all []string
	for word, n := range counts {
		if n >= rarest {
			all = append(all, word)
		}
	}
	slices.SortFunc(all, func(a, b string) int {
		return cmp.Or(cmp.Compare(counts[b], counts[a]), cmp.Compare(a, b))
	})
	var kept [][]byte
	size := 0
	for _, word := range all {
		if size+len(word) > contentBytes || slices.ContainsFunc(kept, func(k []byte) bool { return bytes.Contains(k, []byte(word)) }) {
			continue
		}
		kept = append(kept, []byte(word))
		size += len(word)
	}
	slices.Reverse(kept)
	return bytes.Join(kept, nil)
}
