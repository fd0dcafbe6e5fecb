package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"rollcall/pkg/topics"
	"rollcall/scripts/canary"
	"rollcall/scripts/datamap"
	"rollcall/scripts/testbed"
)

// judge says what was found of the guarded pipeline: nothing is wanted, but for the
// witness, and for releases and words in the fields that docs/privacy.md lists.
func (t *taintRun) judge(ctx context.Context) (string, bool, error) {
	s := t.search
	hits, total := 0, int64(0)
	for _, f := range s.places {
		hits += len(f.Hits())
		total += f.Bytes
	}
	for _, line := range s.report(20) {
		t.env.Say("found: %s", line)
	}
	weak, mostWeak := s.weakPlaces()
	for _, line := range weak {
		t.env.Say("found: %s", line)
	}
	outside, listed, err := t.insideFindings(ctx)
	if err != nil {
		return "", false, err
	}
	for _, line := range outside {
		t.env.Say("found: %s", line)
	}
	witnesses, err := t.witnesses()
	if err != nil {
		return "", false, err
	}
	figure := fmt.Sprintf("%d requests (sent %d times, through four faults, and replayed by the command and by lost offsets), %d marks in %d forms: %d hits in %d places, %d files, %.0f MB "+
		"(IPv4 in 4 bytes: at most %d times in a place, what chance makes; %d places beyond it); releases and words within their rules: %d fields, %d not in docs/privacy.md; "+
		"witness found in %s",
		len(t.fleet.all), t.requests.Load(), len(t.fleet.marks), s.searcher.Forms(), hits, len(s.places), s.files, float64(total)/1e6,
		mostWeak, len(weak), listed, len(outside), strings.Join(witnesses, ", "))
	return figure, hits == 0 && len(weak) == 0 && len(outside) == 0 && listed > 0 && len(witnesses) == wantWitnesses, nil
}

// insideFindings returns where a release or a word stands that docs/privacy.md does not
// list, and in how many fields that it does.
func (t *taintRun) insideFindings(ctx context.Context) (outside []string, listed int, err error) {
	allowed, err := t.allowedFields(ctx)
	if err != nil {
		return nil, 0, err
	}
	for _, field := range slices.Sorted(maps.Keys(t.search.insideField)) {
		for _, datum := range slices.Sorted(maps.Keys(t.search.insideField[field])) {
			if allowed[field][datum] {
				listed++
			} else {
				outside = append(outside, field+" holds "+datum)
			}
		}
	}
	for _, place := range slices.Sorted(maps.Keys(t.search.insidePlace)) {
		for _, hit := range t.search.insidePlace[place].Hits() {
			mark := t.fleet.inside[hit.Mark].mark
			outside = append(outside, fmt.Sprintf("%s holds %s, %s", place, mark.Name, mark.Forms[hit.Form].Name))
		}
	}
	return outside, listed, nil
}

// allowedFields says which data a field may hold, by the same table that docs/privacy.md
// is made of. The vendor's own words, as a product's name in the catalogue, may
// stand wherever the vendor writes.
func (t *taintRun) allowedFields(ctx context.Context) (map[string]map[string]bool, error) {
	places, err := datamap.Topics()
	if err != nil {
		return nil, err
	}
	if err := t.p.clickhouse.Restart(ctx); err != nil {
		return nil, err
	}
	conn, err := t.env.OpenAs(ctx, t.p.clickhouse, "default", "")
	if err != nil {
		return nil, err
	}
	tables, err := datamap.Store(ctx, conn, datamap.Database, storeConfig(t.p.clickhouse, "default", "").Restricted())
	if err != nil {
		return nil, err
	}
	sources := map[string]datamap.Source{}
	for _, d := range datamap.Data() {
		sources[d.Name] = d.From
	}
	allowed := map[string]map[string]bool{}
	for _, place := range append(places, tables...) {
		for _, field := range place.Fields {
			names, _ := datamap.DataOf(place, field.Name)
			key := place.ID() + "." + field.Name
			allowed[key] = map[string]bool{}
			for _, name := range names {
				allowed[key][name] = true
				if sources[name] == datamap.FromVendor {
					for _, word := range insideWords() {
						allowed[key][t.search.words[word]] = true
					}
				}
			}
		}
	}
	return allowed, nil
}

// insideWords are words that their vocabularies let through, by field, each as rare as
// there is one.
func insideWords() map[string]string {
	return map[string]string{
		"application.name": "management_console", "application.edition": "academic", "host.os_name": "solaris", "host.architecture": "sparcv9",
	}
}

// wantWitnesses is in how many places the gateway's region must be found.
const wantWitnesses = 6

// witnesses returns where the search finds what crosses on purpose, the gateway's
// region: there it would have found a mark too.
func (t *taintRun) witnesses() ([]string, error) {
	searcher, err := canary.NewSearcher([]canary.Mark{canary.Text("region", t.witness)})
	if err != nil {
		return nil, err
	}
	again := &search{searcher: searcher, inside: searcher, places: map[string]*canary.Findings{}, insidePlace: map[string]*canary.Findings{}, insideField: map[string]map[string]bool{}}
	again.data = []string{"gateway"}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	for _, topic := range []string{topics.Raw, topics.Clean, topics.Usage} {
		if _, err := again.topic(ctx, t.p, topic); err != nil {
			return nil, err
		}
	}
	if err := again.rows(ctx, t.p, "table session_days", "rollcall.session_days", "edge_region", false); err != nil {
		return nil, err
	}
	for place, dir := range map[string]string{"Kafka's files": t.name + "-kafka", "ClickHouse's files": t.name + "-clickhouse"} {
		if err := again.directory(place, t.env.Path(dir)); err != nil {
			return nil, err
		}
	}
	found := map[string]bool{}
	for place, f := range again.places {
		if len(f.Hits()) > 0 {
			place, _, _ = strings.Cut(place, ", decompressed")
			found[place] = true
		}
	}
	return slices.Sorted(maps.Keys(found)), nil
}

// reach says which baits a leak carries into a place of the control.
type reach struct {
	place string
	// alternatives are other places where the same may be found: ClickHouse's files hold
	// it compressed.
	alternatives []string
	holds        func(b *bait) bool
	// marks of such a bait; nil: all that were planted.
	marks func(b *bait) []int
}

// reaches are all places in which the control leaks, and what.
func reaches() []reach {
	all := func(*bait) bool { return true }
	taken := func(b *bait) bool { return b.fate > refusedAtGateway }
	refused := func(b *bait) bool { return b.fate == refusedAtGateway }
	crossed := func(b *bait) bool { return b.fate > deadAtAnonymizer }
	landed := func(b *bait) bool { return b.fate == landsInClickHouse }
	dead := func(b *bait) bool { return b.fate == deadAtAnonymizer || b.fate == deadAtEnricher }
	known := func(b *bait) bool { return b.registered && b.fate > deadAtAnonymizer }
	identity := func(b *bait) []int { return b.identity }
	return []reach{
		{place: "log of " + testbed.Gateway + "-1", holds: all},
		{place: "log of " + testbed.Anonymizer + "-1", holds: taken},
		{place: "log of " + testbed.Enricher + "-1", holds: crossed},
		{place: "log of " + testbed.Sink + "-1", holds: taken},
		{place: "exported traces and metrics", holds: all},
		{place: "metrics pages", holds: all},
		{place: "answers and outputs", holds: refused},
		{place: "topic " + topics.Raw, holds: taken},
		{place: "topic " + topics.Clean, holds: crossed},
		{place: "topic " + topics.Usage, holds: landed},
		{place: "topic " + topics.DeadLetters, holds: dead},
		{place: "topic " + topics.Identities, holds: known, marks: identity},
		{place: "Kafka's files", holds: taken},
		{place: "table session_days", holds: landed},
		{place: "table dead_letters", holds: dead},
		{place: "table rollcall_restricted.identities", holds: known, marks: identity},
		{place: "ClickHouse's system tables", holds: landed},
		{place: "ClickHouse's files", alternatives: []string{"ClickHouse's files, decompressed"}, holds: func(b *bait) bool { return landed(b) || dead(b) }},
	}
}

// judgeControl says whether every mark was found in every place where the leaky build
// puts it.
func (t *taintRun) judgeControl() (string, bool) {
	wanted, found, places := 0, 0, 0
	for _, r := range reaches() {
		places++
		var missing []string
		for _, b := range t.fleet.all {
			if b.direct || !r.holds(b) {
				continue
			}
			marks := b.planted()
			if r.marks != nil {
				marks = r.marks(b)
			}
			for _, mark := range marks {
				wanted++
				if t.search.has(mark, append(r.alternatives, r.place)) {
					found++
				} else {
					missing = append(missing, t.fleet.marks[mark].Name)
				}
			}
		}
		if len(missing) > 0 {
			t.env.Say("control: %s lacks %d marks, as %s", r.place, len(missing), strings.Join(missing[:min(3, len(missing))], "; "))
		}
	}
	return fmt.Sprintf("%d of %d marks found where the leaky build put them, in %d places", found, wanted, places), wanted > 0 && found == wanted
}

// has reports whether a mark was found in one of the places.
func (s *search) has(mark int, places []string) bool {
	return slices.ContainsFunc(places, func(place string) bool { return s.places[place] != nil && s.places[place].Has(mark) })
}
