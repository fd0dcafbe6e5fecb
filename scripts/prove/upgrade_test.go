package main

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	schema "rollcall/schemas/avro"
)

// The two releases of the proof can be made as long as the records have the field.
func TestReleasesFitTheSchemas(t *testing.T) {
	r := &releases{olderPrint: map[string]schema.Fingerprint{}, newerPrint: map[string]schema.Fingerprint{}}
	for _, name := range grownRecords() {
		newest := schema.Released().Newest(name)
		older, newer := &history{files: map[string]string{}}, &history{files: map[string]string{}}
		if err := r.grow(newest, older, newer); err != nil {
			t.Fatal(err)
		}
		if len(older.files) != 1 || len(newer.files) != 2 {
			t.Errorf("%s: %d files of the older release, %d of the newer", name, len(older.files), len(newer.files))
		}
		if r.newerPrint[name] != newest.Fingerprint || r.olderPrint[name] == newest.Fingerprint {
			t.Errorf("%s: fingerprints %s and %s, the tree's is %s", name, r.olderPrint[name], r.newerPrint[name], newest.Fingerprint)
		}
	}
}

// Deliveries flow while a step lasts, however long, and freely after the last one.
func TestDripFlowsInEveryStep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const deliveries, steps = 1000, 4
		d := newDrip(deliveries, steps)
		drain := func() {
			for d.pass() {
				continue
			}
		}
		for step := range steps {
			for range 100 {
				drain()
				time.Sleep(time.Second)
			}
			if d.inSteps[step] == 0 || d.passed > deliveries*(step+1)/(steps+1)+1 {
				t.Errorf("step %d: %d passed, %d in all", step, d.inSteps[step], d.passed)
			}
			d.step()
		}
		select {
		case <-d.finished:
		default:
			t.Error("not finished after the last step")
		}
		if d.least() == 0 || !d.pass() {
			t.Errorf("least %d; the rest does not pass", d.least())
		}
	})
}

func TestOnceMoreRepeatsOnce(t *testing.T) {
	answers := make(chan int, 8)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if body, err := io.ReadAll(r.Body); err != nil || string(body) != "report" {
			t.Errorf("body %q, %v", body, err)
		}
		w.WriteHeader(<-answers)
	}))
	defer server.Close()
	once := newOnceMore(1)
	defer once.close()
	post := func(statuses ...int) int {
		for _, status := range statuses {
			answers <- status
		}
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL, strings.NewReader("report"))
		if err != nil {
			t.Fatal(err)
		}
		response, err := once.RoundTrip(request)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		return response.StatusCode
	}
	if a, b, c, d := post(202), post(503, 202), post(500, 503), post(429); a != 202 || b != 202 || c != 503 || d != 429 {
		t.Errorf("answers %d, %d, %d, %d", a, b, c, d)
	}
	if seen := once.seen(); seen.requests != 4 || seen.repeated != 2 || seen.failed != 1 || len(seen.told) != 1 {
		t.Errorf("%+v", seen)
	}
	server.Close()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL, strings.NewReader("report"))
	if err != nil {
		t.Fatal(err)
	}
	response, err := once.RoundTrip(request)
	if err == nil {
		response.Body.Close()
		err = errors.New("an answer of a server that is gone")
		t.Error(err)
	}
	if seen := once.seen(); seen.failed != 2 {
		t.Errorf("refused twice: %+v", seen)
	}
}
