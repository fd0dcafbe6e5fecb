package health

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestPartsKeepTheirNames(t *testing.T) {
	var checks Checks
	gateway, enricher := checks.Part("gateway"), checks.Part("enricher")
	gateway.Fail("kafka", "no broker answers")
	enricher.Fail("registry", "still reading")
	checks.Fail("own", "why")
	want := map[string]string{"gateway/kafka": "no broker answers", "enricher/registry": "still reading", "own": "why"}
	if diff := cmp.Diff(want, checks.Failing()); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(map[string]string{"registry": "still reading"}, enricher.Failing()); diff != "" {
		t.Error(diff)
	}
	gateway.Pass("kafka")
	checks.Pass("own")
	enricher.Pass("registry")
	if failing := checks.Failing(); len(failing) > 0 {
		t.Errorf("failing after every Pass: %v", failing)
	}
}

// An outage is told, but takes nobody out of a balancer who was ready before it.
func TestOutage(t *testing.T) {
	var checks Checks
	part := checks.Part("gateway")
	for number, step := range []struct {
		do    func()
		ready bool
		fails int
	}{
		{func() { part.Outage("broker", "no broker answers") }, false, 1}, // it never held
		{func() { part.Pass("broker") }, true, 0},
		{func() { part.Outage("broker", "no broker answers") }, true, 1},
		{func() { part.Fail("stopping", "stopping") }, false, 2},
		{func() { part.Pass("stopping") }, true, 1},
		{func() { part.Fail("broker", "the topic is too weak") }, false, 1},
		{func() { part.Outage("broker", "no broker answers") }, true, 1},
		{func() { part.Pass("broker") }, true, 0},
		{func() { part.Tell("topic", "too weak") }, true, 1}, // it never held
		{func() { part.Pass("topic") }, true, 0},
	} {
		step.do()
		answer := httptest.NewRecorder()
		checks.Ready(answer, nil)
		if failing := part.Failing(); (answer.Code == http.StatusOK) != step.ready || len(failing) != step.fails {
			t.Errorf("step %d: %d %s, failing %v; want ready %v", number, answer.Code, answer.Body, failing, step.ready)
		}
	}
}

func TestServe(t *testing.T) {
	var checks Checks
	metrics := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "up 1") })
	for _, test := range []struct {
		path     string
		profiles bool
		fail     string
		status   int
		contains string
	}{
		{path: "/livez", status: 200},
		{path: "/livez", fail: "broken", status: 200},
		{path: "/readyz", status: 200, contains: `"ready":true`},
		{path: "/readyz", fail: "no broker answers", status: 503, contains: `"kafka":"no broker answers"`},
		{path: "/metrics", status: 200, contains: "up 1"},
		{path: "/debug/pprof/cmdline", status: 404},
		{path: "/debug/pprof/cmdline", profiles: true, status: 200},
		{path: "/debug/pprof/goroutine?debug=2", profiles: true, status: 200, contains: "goroutine profile: total"}, // no arguments
	} {
		checks.Pass("kafka")
		if test.fail != "" {
			checks.Fail("kafka", test.fail)
		}
		status, body := get(t, Handler(&checks, metrics, test.profiles), test.path)
		if status != test.status || !strings.Contains(body, test.contains) {
			t.Errorf("GET %s (failing: %q) = %d %s, want %d with %s", test.path, test.fail, status, body, test.status, test.contains)
		}
		if test.path == "/readyz" && !json.Valid([]byte(body)) {
			t.Errorf("GET %s: not JSON: %s", test.path, body)
		}
	}
}

// get asks a server of its own, and stops it.
func get(t *testing.T, handler http.Handler, path string) (int, string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- Serve(ctx, listener, handler, nil) }()
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	response, err := (&http.Client{Transport: transport}).Get("http://" + listener.Addr().String() + path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	stop()
	if err := <-served; err != nil {
		t.Errorf("Serve returned %v after its context ended, want nil", err)
	}
	return response.StatusCode, string(body)
}
