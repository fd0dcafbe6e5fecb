package main

import (
	"context"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	chgo "github.com/ClickHouse/clickhouse-go/v2"
	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kgo"

	"rollcall/pkg/client"
	"rollcall/pkg/pseudonym"
	"rollcall/pkg/record"
	"rollcall/pkg/topics"
	"rollcall/scripts/testbed"
)

// consentFinding is what became of the scripted lives.
type consentFinding struct {
	rows, rowsWrong int // session-days
	traces          int // numbers that must not be found…
	places          int // …rows and records that hold one
	cells, wrong    int // of the rollup and the views
	details         []string
}

func (f *consentFinding) compare(what string, want, got []string) {
	slices.Sort(want)
	slices.Sort(got)
	f.cells += len(want)
	if diff := cmp.Diff(want, got); diff != "" {
		f.wrong++
		f.details = append(f.details, fmt.Sprintf("%s (-want +got):\n%s", what, diff))
	}
}

// examine compares what is stored of the products with what truly happened to them.
func (p *pipeline) examine(ctx context.Context, licence string, products []*consentingProduct, a *amounts) (*consentFinding, error) {
	f := &consentFinding{}
	if err := p.examineRows(ctx, f, licence, products); err != nil {
		return nil, err
	}
	if err := p.examineRollup(ctx, f, licence, products); err != nil {
		return nil, err
	}
	return f, p.searchTraces(ctx, f, a.traces())
}

// kept is what the truth says of a session.
func (s *consentSession) kept() string {
	values := map[uint16]int64{idOf(requiredMetric): s.reported[requiredMetric], idOf(cpusMetric): 8}
	for _, metric := range []string{earlyMetric, laterMetric} {
		if amount, used := s.reported[metric]; used && s.covers(metric) {
			values[idOf(metric)] = amount
		}
	}
	var parts []string
	for _, id := range slices.Sorted(maps.Keys(values)) {
		parts = append(parts, fmt.Sprintf("%d:%d", id, values[id]))
	}
	unknown := "[]"
	if amount, used := s.reported[strangerMetric]; used && s.covers(strangerMetric) {
		unknown = fmt.Sprintf("[%d]", amount)
	}
	return fmt.Sprintf("%s to policy %d {%s} suspect {} unknown %s", s.consent, s.policy, strings.Join(parts, ","), unknown)
}

func (p *pipeline) examineRows(ctx context.Context, f *consentFinding, licence string, products []*consentingProduct) error {
	want, got := map[string]string{}, map[string]string{}
	for _, product := range products {
		for _, s := range product.sessions() {
			want[p.scoped(licence, pseudonym.Session, s.id).String()] = s.kept()
		}
	}
	rows, err := p.texts(ctx, `SELECT concat(toString(session_id), '|', toString(consent), ' to policy ', toString(policy_version), ' ', toString(mapSort(values)),
			' suspect ', toString(suspect), ' unknown ', toString(unknown_values))
		FROM session_days FINAL WHERE licence_id = {licence:UUID}`, chgo.Named("licence", p.licenceID(licence).String()))
	if err != nil {
		return err
	}
	for _, row := range rows {
		session, content, _ := strings.Cut(row, "|")
		got[session] = content
	}
	f.rows = len(want)
	for session := range maps.Keys(unionOf(want, got)) {
		if want[session] != got[session] {
			f.rowsWrong++
			f.details = append(f.details, fmt.Sprintf("a session-day is %q, want %q", got[session], want[session]))
		}
	}
	return nil
}

func unionOf(a, b map[string]string) map[string]string {
	all := maps.Clone(a)
	maps.Copy(all, b)
	return all
}

// examineRollup compares the rollup and its live view with the sums of the truth.
func (p *pipeline) examineRollup(ctx context.Context, f *consentFinding, licence string, products []*consentingProduct) error {
	sums := map[string]int64{cpusMetric: 8 * int64(len(products))}
	for _, product := range products {
		for _, s := range product.sessions() {
			for _, metric := range []string{requiredMetric, earlyMetric, laterMetric} {
				if _, used := s.reported[metric]; s.covers(metric) && (used || metric == requiredMetric) {
					sums[metric] += s.reported[metric]
				}
			}
		}
	}
	for _, view := range []string{"v1_licence_day", "v1_licence_day_live"} {
		var want []string
		for metric, sum := range sums {
			want = append(want, fmt.Sprintf("%s %d and suspect 0", metric, sum))
		}
		got, err := p.texts(ctx, "SELECT concat(metric, ' ', toString(value), ' and suspect ', toString(suspect)) FROM "+view+
			" WHERE licence_id = {licence:UUID}", chgo.Named("licence", p.licenceID(licence).String()))
		if err != nil {
			return err
		}
		f.compare(view, want, got)
	}
	return nil
}

// examineViews compares what analysts see of consent with the truth. Nothing but these
// products may be in the database.
func (p *pipeline) examineViews(ctx context.Context, f *consentFinding, products []*consentingProduct) error {
	var full, changed int
	covered, used := map[string]int{}, map[string]int{}
	for _, product := range products {
		if product.now.consent == client.ConsentFull {
			full++
		}
		consents := map[string]bool{}
		for _, metric := range []string{requiredMetric, earlyMetric, laterMetric} {
			covers, uses := false, false
			for _, s := range product.sessions() {
				consents[s.consent] = true
				covers = covers || s.covers(metric)
				uses = uses || s.covers(metric) && s.reported[metric] > 0
			}
			covered[metric] += one(covers)
			used[metric] += one(uses)
		}
		changed += one(len(consents) > 1)
	}
	got, err := p.texts(ctx, `SELECT concat(toString(installations), ' installations, ', toString(full_consent), ' FULL, ', toString(required_consent), ' REQUIRED, ',
		toString(changed), ' changed') FROM v1_consent`)
	if err != nil {
		return err
	}
	f.compare("v1_consent", []string{fmt.Sprintf("%d installations, %d FULL, %d REQUIRED, %d changed", len(products), full, len(products)-full, changed)}, got)
	var want []string
	for metric := range covered {
		want = append(want, fmt.Sprintf("%s %d of %d of %d", metric, used[metric], covered[metric], len(products)))
	}
	got, err = p.texts(ctx, `SELECT concat(metric, ' ', toString(used), ' of ', toString(covered), ' of ', toString(installations)) FROM v1_feature_adoption
		WHERE metric IN ('`+strings.Join([]string{requiredMetric, earlyMetric, laterMetric}, "', '")+`')`)
	if err != nil {
		return err
	}
	f.compare("v1_feature_adoption", want, got)
	return nil
}

func one(yes bool) int {
	if yes {
		return 1
	}
	return 0
}

// searchTraces looks for numbers that came without consent, in every version of every
// row and in every record behind the boundary.
func (p *pipeline) searchTraces(ctx context.Context, f *consentFinding, traces []int64) error {
	f.traces = len(traces)
	numbers := make([]string, len(traces))
	wanted := map[int64]bool{}
	for i, n := range traces {
		numbers[i] = strconv.FormatInt(n, 10)
		wanted[n] = true
	}
	set := "[" + strings.Join(numbers, ",") + "]"
	for _, query := range []string{
		"SELECT count() FROM session_days WHERE hasAny(arrayMap(n -> toInt64(n), arrayConcat(mapValues(values), mapValues(suspect))), " + set + ") OR hasAny(unknown_values, " + set + ")",
		"SELECT count() FROM licence_day WHERE has(" + set + ", toInt64(value)) OR has(" + set + ", toInt64(suspect))",
	} {
		n, err := p.count(ctx, query)
		if err != nil {
			return err
		}
		f.places += int(n)
	}
	for topic, valuesOf := range map[string]func([]byte) ([]int64, error){topics.Clean: cleanValues, topics.Usage: usageValues} {
		err := p.eachRecord(ctx, topic, func(in *kgo.Record) error {
			values, err := valuesOf(in.Value)
			if slices.ContainsFunc(values, func(n int64) bool { return wanted[n] }) {
				f.places++
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	if f.places > 0 {
		f.details = append(f.details, fmt.Sprintf("%d rows and records hold a number from a time without consent", f.places))
	}
	return nil
}

func cleanValues(value []byte) ([]int64, error) {
	var r record.Clean
	err := record.Decode(value, &r)
	return valuesOf(&r), err
}

func usageValues(value []byte) ([]int64, error) {
	var r record.Usage
	err := record.Decode(value, &r)
	return append(valuesOf(&r.Clean), r.SuspectValues...), err
}

func valuesOf(r *record.Clean) []int64 {
	values := slices.Clone(r.MetricValues)
	for _, u := range r.Unknown {
		values = append(values, u.Value)
	}
	return values
}

// dropped returns what the anonymizer has counted, by "reason" or "reason id".
func (p *pipeline) dropped(ctx context.Context) (map[string]int, error) {
	page, err := readPage(ctx, p.cluster.Service(testbed.Anonymizer)[0].URL("/metrics"))
	if err != nil {
		return nil, err
	}
	counts := map[string]int{}
	sample := regexp.MustCompile(`(?m)^rollcall_anonymizer_dropped_total\{([^}]*)\} (\d+)`)
	label := regexp.MustCompile(`rollcall_(drop_reason|metric_id)="([^"]*)"`)
	for _, found := range sample.FindAllStringSubmatch(string(page), -1) {
		var name []string
		for _, l := range label.FindAllStringSubmatch(found[1], -1) {
			name = append(name, l[2])
		}
		n, err := strconv.Atoi(found[2])
		if err != nil {
			return nil, err
		}
		if n > 0 {
			counts[strings.Join(name, " ")] = n
		}
	}
	return counts, nil
}

// expectDropped says what the anonymizer must count of these reports.
func expectDropped(reports []client.Report) map[string]int {
	counts := map[string]int{}
	for _, r := range reports {
		s := consentSession{consent: r.Consent, policy: r.PolicyVersion}
		for metric := range r.Counters {
			switch id := idOf(metric); {
			case s.covers(metric):
			case id == 0:
				counts["unknown"]++
			case r.Consent == client.ConsentFull:
				counts[fmt.Sprintf("policy %d", id)]++
			default:
				counts[fmt.Sprintf("consent %d", id)]++
			}
		}
	}
	return counts
}
