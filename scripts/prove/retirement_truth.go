package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"rollcall/pkg/access"
	"rollcall/pkg/clickhouse"
	"rollcall/pkg/retirement"
	catalogue "rollcall/schemas/metrics"
	"rollcall/scripts/testbed"
)

// retiringTally adds up, over the fleets, what the estimator said beside the truth.
type retiringTally struct {
	fleets, held         int
	heldByOdds           map[float64][2]int // fleets and held, under the default sensitivity
	heldUncovered        [2]int             // fleets with odds of 3 under a sensitivity of 1
	wrongRemovals        int
	above, atRisk        int // fleets whose truth exceeds keep_above, remove_below
	kept                 int
	free, freeRemoved    int // fleets without a user and with at most 1 % dark
	removals             int
	silentWrong          int       // nobody reported use, and yet removal would break too many
	silentMost           int       // licences, at most, that such a removal would break
	fewReported          int       // fleets in which the share that reported use is within remove_below
	fewWrong             int       // of them, those in which removal would break too many
	naiveShort           []float64 // percentage points by which the naive share is below the truth
	naiveFactor          []float64 // truth over the naive share, where there is one
	widths               []float64 // percentage points
	verdicts             map[retirement.Verdict]int
	details              []string
	asked, askedOtherway int // fleets read back from ClickHouse; those whose answer differs
}

// retiringShapes are 300 fleets, or a tenth as many: every use with every darkness and
// every odds, sizes by chance.
func retiringShapes(env *Environment) []retiringShape {
	var shapes []retiringShape
	shares := []float64{0, 0, 0.001, 0.004, 0.008, 0.015, 0.025, 0.03, 0.04, 0.05}
	darks := []float64{0, 0.005, 0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6}
	for i, share := range shares {
		for j, dark := range darks {
			for k, odds := range []float64{1, 2, 3} {
				if env.Size == Small && (i+j)%5 != 1 && (i > 1 || j > 2) {
					continue
				}
				seed := uint64(i*100 + j*10 + k + 1)
				shapes = append(shapes, retiringShape{seed: seed, licences: 400 + int(seed*2654435761%2000), share: share, dark: dark, odds: odds})
			}
		}
	}
	return shapes
}

func proveRetirementTruth(ctx context.Context, env *Environment) (string, bool, error) {
	now := time.Now()
	window, err := retirement.NewWindow(now.AddDate(0, 0, -1), retirement.DefaultDays, now)
	if err != nil {
		return "", false, err
	}
	tally := &retiringTally{heldByOdds: map[float64][2]int{}, verdicts: map[retirement.Verdict]int{}}
	shapes := retiringShapes(env)
	asked := max(1, len(shapes)/Choose(env, 4, 20))
	store, err := openRetiringStore(ctx, env)
	if err != nil {
		return "", false, err
	}
	env.Say("judging %d fleets", len(shapes))
	for n, shape := range shapes {
		fleet := simulateRetiring(shape, window)
		feature, err := tally.judge(fleet, window)
		if err != nil {
			return "", false, err
		}
		if n%asked == asked-1 {
			env.Say("asking ClickHouse of fleet %d", n+1)
			if err := store.compare(ctx, tally, fleet, window, feature); err != nil {
				return "", false, err
			}
		}
	}
	for _, detail := range tally.details {
		env.Say("%s", detail)
	}
	figure, holds := tally.figure()
	return figure, holds, nil
}

// retiringAnswer is what the product says of the fleet under a sensitivity; 0: the catalogue's.
func retiringAnswer(facts *retirement.Facts, window retirement.Window, sensitivity float64) (*retirement.Feature, error) {
	report, err := retirement.Assess(catalogue.Embedded(), facts, retirement.Options{Window: window, Sensitivity: sensitivity, Metrics: []string{retiringMetric}})
	if err != nil {
		return nil, err
	}
	return &report.Features[0], nil
}

func (t *retiringTally) judge(f *retiringFleet, window retirement.Window) (*retirement.Feature, error) {
	facts := f.facts(window)
	feature, err := retiringAnswer(facts, window, 0)
	if err != nil {
		return nil, err
	}
	if feature.Licences.Valid != f.valid || feature.Licences.Used != f.usersReported || feature.Licences.Dark != f.dark {
		return nil, fmt.Errorf("fleet %d has %d valid licences, %d reported users and %d dark; the product counts %+v", f.shape.seed, f.valid, f.usersReported, f.dark, feature.Licences)
	}
	t.interval(f, feature)
	t.verdict(f, feature)
	t.naive(f, feature)
	if f.shape.odds == 3 {
		narrow, err := retiringAnswer(facts, window, 1)
		if err != nil {
			return nil, err
		}
		t.heldUncovered[0]++
		if holdsTruth(narrow, f) {
			t.heldUncovered[1]++
		}
	}
	return feature, nil
}

func holdsTruth(feature *retirement.Feature, f *retiringFleet) bool {
	return feature.Bounds.Low <= f.users && f.users <= feature.Bounds.High
}

func (t *retiringTally) interval(f *retiringFleet, feature *retirement.Feature) {
	t.fleets++
	byOdds := t.heldByOdds[f.shape.odds]
	byOdds[0]++
	if holdsTruth(feature, f) {
		t.held++
		byOdds[1]++
	} else {
		t.details = append(t.details, fmt.Sprintf("fleet %+v: truth %d of %d, interval %d to %d", f.shape, f.users, f.valid, feature.Bounds.Low, feature.Bounds.High))
	}
	t.heldByOdds[f.shape.odds] = byOdds
	t.widths = append(t.widths, 100*(feature.Bounds.HighShare-feature.Bounds.LowShare))
}

func (t *retiringTally) verdict(f *retiringFleet, feature *retirement.Feature) {
	truth := float64(f.users) / float64(f.valid)
	t.verdicts[feature.Verdict]++
	if truth > feature.Policy.RemoveBelow {
		t.atRisk++
		if feature.Verdict == retirement.Remove {
			t.wrongRemovals++
			t.details = append(t.details, fmt.Sprintf("fleet %+v: %d users of %d, and the verdict is to remove", f.shape, f.users, f.valid))
		}
	}
	if truth > feature.Policy.KeepAbove {
		t.above++
		if feature.Verdict == retirement.Keep {
			t.kept++
		} else {
			t.details = append(t.details, fmt.Sprintf("fleet %+v: %d users of %d, %d seen, and the verdict is %q", f.shape, f.users, f.valid, feature.Licences.Used, feature.Verdict))
		}
	}
	if f.users == 0 && f.shape.dark <= 0.01 {
		t.free++
		if feature.Verdict == retirement.Remove {
			t.freeRemoved++
		}
	}
}

// naive is the look that takes silence for disuse: the share of those who reported use.
func (t *retiringTally) naive(f *retiringFleet, feature *retirement.Feature) {
	truth, reported := float64(f.users)/float64(f.valid), float64(f.usersReported)/float64(f.valid)
	if f.users > 0 {
		t.naiveShort = append(t.naiveShort, 100*(truth-reported))
		if reported > 0 {
			t.naiveFactor = append(t.naiveFactor, truth/reported)
		}
	}
	if f.usersReported == 0 && truth > feature.Policy.RemoveBelow {
		t.silentWrong++
		t.silentMost = max(t.silentMost, f.users)
	}
	if f.usersReported == 0 {
		t.removals++
	}
	if reported <= feature.Policy.RemoveBelow {
		t.fewReported++
		if truth > feature.Policy.RemoveBelow {
			t.fewWrong++
		}
	}
}

func (t *retiringTally) figure() (string, bool) {
	percentOf := func(part, whole int) float64 { return 100 * float64(part) / float64(max(1, whole)) }
	byOdds := make([]string, 0, len(t.heldByOdds))
	for _, odds := range []float64{1, 2, 3} {
		byOdds = append(byOdds, fmt.Sprintf("%.1f %%", percentOf(t.heldByOdds[odds][1], t.heldByOdds[odds][0])))
	}
	figure := fmt.Sprintf("%d fleets: the interval holds the truth in %.1f %% (odds 1, 2, 3: %s; 95 wanted; with a sensitivity of 1 where the odds are 3 in %.1f %%), median width %.2f points; "+
		"remove in %d of %d fleets above its threshold (0 wanted), in %d of %d without a user and with at most 1 %% dark (80 %% wanted); keep in %.1f %% of %d above its threshold (95 wanted); "+
		"naively: in %d of %d fleets in which nobody reported it removal would have broken too many, %d licences at most, and in %d of %d in which no more reported it than may break; the share that reported it is too low by %.2f points in the median, %.2f at most, up to %.1f times; "+
		"verdicts: %d remove, %d deprecate, %d keep, %d not enough evidence; %d fleets asked of ClickHouse as an analyst, %d answers differ",
		t.fleets, percentOf(t.held, t.fleets), strings.Join(byOdds, ", "), percentOf(t.heldUncovered[1], t.heldUncovered[0]), median(t.widths),
		t.wrongRemovals, t.atRisk, t.freeRemoved, t.free, percentOf(t.kept, t.above), t.above,
		t.silentWrong, t.removals, t.silentMost, t.fewWrong, t.fewReported, median(t.naiveShort), retiringMost(t.naiveShort), retiringMost(t.naiveFactor),
		t.verdicts[retirement.Remove], t.verdicts[retirement.Deprecate], t.verdicts[retirement.Keep], t.verdicts[retirement.NotEnough], t.asked, t.askedOtherway)
	shown := t.atRisk > 0 && t.free > 0 && t.above > 0 && t.asked > 0 && len(t.heldByOdds) == 3
	return figure, shown && percentOf(t.held, t.fleets) >= 95 && t.wrongRemovals == 0 && percentOf(t.freeRemoved, t.free) >= 80 &&
		percentOf(t.kept, t.above) >= 95 && t.fewWrong > 0 && t.askedOtherway == 0
}

// retiringMost is the largest of values from 0; 0 where there are none.
func retiringMost(values []float64) float64 { return slices.Max(append([]float64{0}, values...)) }

// retiringStore is a real ClickHouse that fleets are written to, one after the other.
type retiringStore struct {
	admin, analyst driver.Conn
}

func openRetiringStore(ctx context.Context, env *Environment) (*retiringStore, error) {
	password := uuid.NewString()
	server, err := env.ClickHouse(ctx, "clickhouse", testbed.ClickHouseOptions{
		Users: []access.User{{Name: "analyst", Role: access.RoleAnalyst, Password: password}},
	})
	if err != nil {
		return nil, err
	}
	file := env.Path("analyst-password")
	if err := os.WriteFile(file, []byte(password), 0o600); err != nil {
		return nil, fmt.Errorf("write the analyst's password: %w", err)
	}
	if _, err := clickhouse.Migrate(ctx, storeConfig(server, "default", "")); err != nil {
		return nil, err
	}
	s := &retiringStore{}
	if s.admin, err = env.OpenAs(ctx, server, "default", ""); err != nil {
		return nil, err
	}
	if s.analyst, err = env.OpenAs(ctx, server, "analyst", file); err != nil {
		return nil, err
	}
	return s, landRetiringCatalogue(ctx, s.admin)
}

// compare writes the fleet, asks the product's query as an analyst, and has the product
// judge what it returns.
func (s *retiringStore) compare(ctx context.Context, t *retiringTally, f *retiringFleet, window retirement.Window, want *retirement.Feature) error {
	if err := s.write(ctx, f, window); err != nil {
		return err
	}
	facts, err := retirement.Read(ctx, s.analyst, window)
	if err != nil {
		return err
	}
	got, err := retiringAnswer(facts, window, 0)
	if err != nil {
		return err
	}
	t.asked++
	if diff := cmp.Diff(want, got); diff != "" {
		t.askedOtherway++
		t.details = append(t.details, fmt.Sprintf("fleet %+v (-from the sessions +from ClickHouse):\n%s", f.shape, diff))
	}
	return nil
}

func (s *retiringStore) write(ctx context.Context, f *retiringFleet, window retirement.Window) error {
	for _, table := range []string{"session_days", "licences", "retirement_day"} {
		if err := s.admin.Exec(ctx, "TRUNCATE TABLE "+table+" SYNC"); err != nil {
			return fmt.Errorf("empty %s: %w", table, err)
		}
	}
	terms, err := s.admin.PrepareBatch(ctx, "INSERT INTO licences (licence_id, valid_from, valid_until, version)")
	if err != nil {
		return fmt.Errorf("write licences: %w", err)
	}
	sessions, err := s.admin.PrepareBatch(ctx, "INSERT INTO session_days (licence_id, installation_id, session_id, report_id, day, application, sequence, kind, consent, policy_version, app_version, `values`, suspect)")
	if err != nil {
		return errors.Join(fmt.Errorf("write session-days: %w", err), terms.Abort())
	}
	metric, _ := catalogue.Embedded().Metric(retiringMetric)
	for _, l := range f.licences {
		if err := errors.Join(l.writeTerms(terms, window), l.writeSessions(sessions, window, metric.ID)); err != nil {
			return errors.Join(err, terms.Abort(), sessions.Abort())
		}
	}
	if err := errors.Join(terms.Send(), sessions.Send()); err != nil {
		return fmt.Errorf("write a fleet: %w", err)
	}
	// All days at once, by the rules that the sink computes one after the other.
	const days = "INSERT INTO retirement_day SELECT * FROM retirement_day_computed SETTINGS max_partitions_per_insert_block = 200"
	if err := s.admin.Exec(ctx, days); err != nil {
		return fmt.Errorf("compute a fleet: %w", err)
	}
	return nil
}
