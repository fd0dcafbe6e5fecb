package registry

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kgo"
	"pgregory.net/rapid"

	"rollcall/pkg/health"
	"rollcall/pkg/record"
	"rollcall/pkg/telemetry"
)

// until are terms from a day to a day; 0: open.
func until(from, until int32) record.Licence {
	t := terms(1, from, 8)
	if until != 0 {
		t.ValidUntil = &until
	}
	return t
}

func TestEnd(t *testing.T) {
	const today = 100
	at := time.UnixMilli(5000)
	for name, c := range map[string]struct {
		have    []record.Licence
		lastDay int32
		ends    string // terms from, last day
		removes []int32
		err     error
	}{
		"open terms":                       {have: []record.Licence{until(10, 0)}, lastDay: today, ends: "10 to 100"},
		"terms that would run on":          {have: []record.Licence{until(10, 200)}, lastDay: today, ends: "10 to 100"},
		"terms that end that day":          {have: []record.Licence{until(10, today)}, lastDay: today},
		"terms that ended before":          {have: []record.Licence{until(10, 50)}, lastDay: today},
		"those in force, not the old ones": {have: []record.Licence{until(10, 300), until(60, 0)}, lastDay: today, ends: "60 to 100"},
		"a renewal to come":                {have: []record.Licence{until(10, 120), until(121, 0), until(400, 0)}, lastDay: today, ends: "10 to 100", removes: []int32{121, 400}},
		"in the future, before a renewal":  {have: []record.Licence{until(10, 0), until(150, 0)}, lastDay: 120, ends: "10 to 120", removes: []int32{150}},
		"in the future, after a renewal":   {have: []record.Licence{until(10, 0), until(150, 0)}, lastDay: 160, ends: "150 to 160"},
		"in the past":                      {have: []record.Licence{until(10, 0)}, lastDay: 90, ends: "10 to 90"},
		"on their first day":               {have: []record.Licence{until(10, 0)}, lastDay: 10, ends: "10 to 10"},
		"ended, with a renewal to come":    {have: []record.Licence{until(10, 50), until(150, 0)}, lastDay: today, removes: []int32{150}},
		"before terms that have begun":     {have: []record.Licence{until(10, 0), until(95, 0)}, lastDay: 90, err: ErrHistory},
		"before terms that begin today":    {have: []record.Licence{until(10, 0), until(today, 0)}, lastDay: 99, err: ErrHistory},
		"before all terms":                 {have: []record.Licence{until(150, 0)}, lastDay: today, err: ErrHistory},
		"an unknown licence":               {lastDay: today, err: ErrNoTerms},
	} {
		t.Run(name, func(t *testing.T) {
			r := holdingOf(t, c.have...)
			got, err := r.End(id(1), c.lastDay, today, at)
			if !errors.Is(err, c.err) || (err != nil) != (c.err != nil) {
				t.Fatalf("error %v, want %v", err, c.err)
			}
			ends := ""
			for _, w := range got.Write {
				ends += fmt.Sprintf("%d to %d", w.ValidFrom, *w.ValidUntil)
				if *w.EntitledCPUs != 8 || w.AppliedAt != at.UnixMilli() {
					t.Errorf("%+v is written", w)
				}
			}
			var removes []int32
			for _, gone := range got.Remove {
				removes = append(removes, gone.ValidFrom)
			}
			if ends != c.ends || !cmp.Equal(removes, c.removes) {
				t.Errorf("ends %q and removes %v, want %q and %v", ends, removes, c.ends, c.removes)
			}
		})
	}
}

// holdingOf is a registry with these terms, as if read from the topic.
func holdingOf(t interface {
	Helper()
	Fatal(...any)
}, all ...record.Licence) *Registry {
	t.Helper()
	client, err := kgo.NewClient()
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	r := New(client, &health.Checks{}, telemetry.Discard())
	for _, l := range all {
		r.set(change{key: termsKey{l.LicenceID, l.ValidFrom}, terms: &l})
	}
	return r
}

// Whatever the terms are: once ended, a licence is valid on no later day, all that was in
// force until today still is in force on its days, and ending it again changes nothing.
func TestEndKeepsHistory(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var all []record.Licence
		for _, from := range rapid.SliceOfNDistinct(rapid.Int32Range(0, 20), 1, 5, rapid.ID).Draw(t, "from") {
			last := int32(0)
			if rapid.Bool().Draw(t, "ends") {
				last = from + rapid.Int32Range(1, 10).Draw(t, "for")
			}
			all = append(all, until(from, last))
		}
		today, lastDay := rapid.Int32Range(0, 20).Draw(t, "today"), rapid.Int32Range(0, 25).Draw(t, "last day")
		before, r := holdingOf(t, all...), holdingOf(t, all...)
		plan, err := r.End(id(1), lastDay, today, time.UnixMilli(5))
		if err != nil {
			if len(plan.Write)+len(plan.Remove) > 0 {
				t.Fatalf("%v, and a plan", err)
			}
			return
		}
		for _, l := range plan.Write {
			r.set(change{key: termsKey{l.LicenceID, l.ValidFrom}, terms: &l})
		}
		for _, l := range plan.Remove {
			r.set(change{key: termsKey{l.LicenceID, l.ValidFrom}})
		}
		for day := int32(-1); day < 50; day++ {
			was, _ := before.Terms(id(1), day)
			is, found := r.Terms(id(1), day)
			if day <= min(today, lastDay) && was.ValidFrom != is.ValidFrom {
				t.Fatalf("on day %d terms from %d were in force, now those from %d", day, was.ValidFrom, is.ValidFrom)
			}
			if day > lastDay && found && (is.ValidUntil == nil || *is.ValidUntil >= day) {
				t.Fatalf("valid on day %d: %+v", day, is)
			}
			if day <= lastDay && found && was.ValidUntil != nil && *was.ValidUntil < day && *is.ValidUntil >= day {
				t.Fatalf("made valid on day %d", day)
			}
		}
		if again, err := r.End(id(1), lastDay, today, time.UnixMilli(6)); err != nil || len(again.Write)+len(again.Remove) > 0 {
			t.Fatalf("a second time: %+v, %v", again, err)
		}
	})
}
