package testbed_test

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"rollcall/scripts/testbed"
)

// What the API answers reaches the client as it is, and is kept.
func TestAPIRecorder(t *testing.T) {
	api := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			w.Header().Add("Warning", `299 - "would violate PodSecurity \"restricted:latest\""`)
			w.Header().Add("Warning", "299 v1beta1")
			w.WriteHeader(http.StatusForbidden)
		}
		fmt.Fprintf(w, "%s, %s", r.Header.Get("Authorization"), r.URL.RawQuery)
	}))
	defer api.Close()
	authority := x509.NewCertPool()
	authority.AddCert(api.Certificate())
	recorder, trusted := startRecorder(t, api.URL, authority)
	client := http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: trusted}, DisableKeepAlives: true}}
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		request, err := http.NewRequestWithContext(t.Context(), method, recorder.URL()+"/api/v1/namespaces/a/pods?limit=1", nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Authorization", "Bearer a")
		request.Header.Set("User-Agent", "helm")
		response, err := client.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(response.Body)
		if err := response.Body.Close(); err != nil {
			t.Fatal(err)
		}
		if err != nil || string(content) != "Bearer a, limit=1" {
			t.Errorf("%s = %q, %v, want what was sent", method, content, err)
		}
	}
	want := []testbed.APIAnswer{
		{Agent: "helm", Method: http.MethodGet, Path: "/api/v1/namespaces/a/pods", Status: http.StatusOK},
		{
			Agent: "helm", Method: http.MethodPost, Path: "/api/v1/namespaces/a/pods", Status: http.StatusForbidden,
			Warnings: []string{`would violate PodSecurity \"restricted:latest\"`, "299 v1beta1"},
		},
	}
	if diff := cmp.Diff(want, recorder.Answers()); diff != "" {
		t.Errorf("answers (-want +got):\n%s", diff)
	}
}

func startRecorder(t *testing.T, url string, authority *x509.CertPool) (*testbed.APIRecorder, *x509.CertPool) {
	t.Helper()
	certificate, trusted, err := testbed.LoopbackCertificate(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	recorder, err := testbed.StartAPIRecorder(url, authority, certificate)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := recorder.Close(); err != nil {
			t.Error(err)
		}
	})
	return recorder, trusted
}

// The last line of a log that is being written is not whole.
func TestAuditEvents(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.log")
	lines := []string{
		`{"verb": "create", "objectRef": {"resource": "pods", "namespace": "a", "name": "b"}, "responseStatus": {"code": 403}, "annotations": {"k": "v"}}`,
		`{"verb": "patch", "responseObject": {"kind": "Job"}}`,
		`{"verb": "del`,
	}
	if err := os.WriteFile(path, []byte(strings.Join(lines, "\n")), 0o600); err != nil {
		t.Fatal(err)
	}
	events, err := testbed.AuditEvents(path)
	if err != nil {
		t.Fatal(err)
	}
	if len(events) != 2 {
		t.Fatalf("%d events, want 2", len(events))
	}
	first := events[0]
	if first.Object.Name != "b" || first.Status.Code != http.StatusForbidden || first.Annotations["k"] != "v" || string(events[1].Response) != `{"kind": "Job"}` {
		t.Errorf("events = %+v", events)
	}
	if err := os.WriteFile(path, []byte("no JSON\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := testbed.AuditEvents(path); err == nil {
		t.Error("a line that is no event is taken")
	}
}
