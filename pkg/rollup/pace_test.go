package rollup

import (
	"strings"
	"testing"
	"time"

	"rollcall/pkg/clickhouse"
	"rollcall/pkg/telemetry"
)

// Whoever is newest comes first, and nobody waits for ever: with today always due again,
// late days get every other turn, the one that waited longest first.
func TestChooseTakesTheNewestAndLeavesNobodyOut(t *testing.T) {
	at := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	day := func(n int) time.Time { return at.Truncate(24*time.Hour).AddDate(0, 0, -n) }
	p := product{name: "p", atOnce: 2}
	of := (&pace{}).of(p)
	var due []Day
	for n := 8; n >= 0; n-- {
		due = append(due, Day{Day: day(n)})
	}
	for turn, want := range []span{
		{day(0), day(0)}, {day(2), day(1)}, {day(0), day(0)}, {day(4), day(3)}, {day(0), day(0)}, {day(6), day(5)}, {day(0), day(0)}, {day(8), day(7)},
		{day(0), day(0)}, {day(2), day(1)},
	} {
		at = at.Add(time.Minute)
		if got := of.choose(p, due); got != want {
			t.Errorf("turn %d computes %v, want %v", turn, got, want)
		}
		of.note(want, at, time.Second, nil)
	}
}

// What is asked for most comes again sooner than the days before it.
func TestDaysBeforeWaitLonger(t *testing.T) {
	at := time.Date(2026, 5, 10, 12, 0, 0, 0, time.UTC)
	r := &Recomputer{cfg: Config{MinInterval: time.Second}}
	r.At(func() time.Time { return at })
	p := product{name: "p", patience: 2, patienceLater: 10}
	of := (&pace{}).of(p)
	var all []Day
	for n := 4; n >= 0; n-- {
		all = append(all, Day{Day: at.Truncate(24*time.Hour).AddDate(0, 0, -n)})
	}
	if due := r.due(of, p, all); len(due) != 5 {
		t.Errorf("%d days are due that were never computed, want 5", len(due))
	}
	of.note(span{all[0].Day, all[4].Day}, at, time.Second, nil)
	for after, want := range map[time.Duration]int{time.Second: 0, 2 * time.Second: 3, 9 * time.Second: 3, 10 * time.Second: 5} {
		at = time.Date(2026, 5, 10, 12, 0, 0, 0, time.UTC).Add(after)
		if due := r.due(of, p, all); len(due) != want {
			t.Errorf("after %v %d days are due, want %d", after, len(due), want)
		}
	}
}

func TestRestLeavesTheShare(t *testing.T) {
	for percent, want := range map[int]time.Duration{100: 0, 50: time.Second, 5: 19 * time.Second, 1: 99 * time.Second} {
		if got := rest(time.Second, percent); got != want {
			t.Errorf("at %d %% it rests %v after a second, want %v", percent, got, want)
		}
	}
}

// An error of what is computed beside licence_day leaves the latter on its replica, in the
// middle of a day perhaps.
func TestWhatIsComputedBesideMovesOnByItself(t *testing.T) {
	const first, second = "127.0.0.1:1", "127.0.0.1:2" // nobody listens there
	shards, err := clickhouse.PinShards(clickhouse.Config{Database: "rollcall", Cluster: clickhouse.Cluster{Name: "main", Shards: []string{first + " " + second}}}, telemetry.Discard())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = clickhouse.CloseAll(shards) })
	r := &Recomputer{name: "staging", conn: shards[0]}
	other := r.apart()
	if other.name == r.name {
		t.Error("both would make the same tables")
	}
	for _, call := range []struct {
		of   *Recomputer
		want string
	}{{other, first}, {r, first}, {other, second}, {r, second}} {
		if err := call.of.conn.Exec(t.Context(), "SELECT 1"); err == nil || !strings.Contains(err.Error(), call.want) {
			t.Errorf("%s: %v, want %s to be asked", call.of.name, err, call.want)
		}
	}
}
