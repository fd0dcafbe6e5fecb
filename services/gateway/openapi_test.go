package gateway

import (
	"bytes"
	"io"
	"maps"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/legacy"
	"github.com/google/go-cmp/cmp"
	"github.com/twmb/avro"

	"rollcall/pkg/inflate/inflatetest"
	schema "rollcall/schemas/avro"
)

func document(t *testing.T) (*openapi3.T, routers.Router) {
	t.Helper()
	doc, err := openapi3.NewLoader().LoadFromFile("../../docs/openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if err := doc.Validate(t.Context()); err != nil {
		t.Fatal(err)
	}
	router, err := legacy.NewRouter(doc)
	if err != nil {
		t.Fatal(err)
	}
	return doc, router
}

// Each answer of the handler is one that docs/openapi.yaml describes, with its
// headers and body; each that it describes is given here once.
func TestAnswersAreAsDocumented(t *testing.T) {
	doc, router := document(t)
	b := start(t, config(func(c *Config) {
		c.SimulatedTime, c.UnknownSchemaBurstBytes = true, 1<<20
		c.TrustedProxies, c.NetworkRate, c.NetworkBurst = []string{"127.0.0.0/8"}, 0.001, 30
	}))
	avro := avroOf(t, testReport())
	never, give := io.Pipe()
	defer give.Close()
	get := b.request(nil)
	get.Method = http.MethodGet
	const limited = "203.0.113.1"
	for range 30 {
		b.post(nil, "X-Forwarded-For", limited)
	}
	seen := map[string]bool{}
	check := func(name string, r *http.Request, validRequest bool) {
		t.Helper()
		input := &openapi3filter.RequestValidationInput{Request: r}
		var err error
		described := r.Clone(t.Context())
		described.URL.Host, described.URL.Scheme = "", ""
		described.Method = http.MethodPost // whose 405 describes the answer to any other
		if input.Route, input.PathParams, err = router.FindRoute(described); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if validRequest {
			body, err := io.ReadAll(r.Body)
			if err != nil {
				t.Fatal(err)
			}
			r.Body = io.NopCloser(bytes.NewReader(body))
			input.Options = &openapi3filter.Options{ExcludeRequestBody: r.Header.Get("Content-Type") == typeAvro}
			if err := openapi3filter.ValidateRequest(t.Context(), input); err != nil {
				t.Errorf("%s: the document refuses the request: %v", name, err)
			}
			r.Body = io.NopCloser(bytes.NewReader(body))
		}
		got := b.do(r)
		seen[strconv.Itoa(got.status)] = true
		err = openapi3filter.ValidateResponse(t.Context(), &openapi3filter.ResponseValidationInput{
			RequestValidationInput: input, Status: got.status, Header: got.header, Body: io.NopCloser(bytes.NewReader(got.body)),
			Options: &openapi3filter.Options{IncludeResponseStatus: true},
		})
		if err != nil {
			t.Errorf("%s: %d %s: %v", name, got.status, got.body, err)
		}
	}
	check("Avro", b.request(avro), true)
	check("JSON", b.request(jsonOf(t, testReport()), "Content-Type", "", "Content-Type", typeJSON), true)
	check("gzip", b.request(inflatetest.Gzip(t, avro), "Content-Encoding", "gzip"), true)
	legacyReport := testReport()
	legacyReport.Counters["feature_soap_step"], legacyReport.Counters["legacy_environment_uses"] = 3, 1
	check("legacy metrics", b.request(avroOf(t, legacyReport)), true)
	check("unknown schema", b.request(append([]byte{0xc3, 1}, make([]byte, 500)...)), true)
	check("simulated", b.request(avro, simulatedAtHeader, "2026-01-31T00:00:00Z"), true)
	check("truncated", b.request(avro[:30]), false)
	check("GET", get, false)
	check("too large", b.request(make([]byte, maxWireBytes+1)), false)
	check("type", b.request(avro, "Content-Type", "", "Content-Type", "text/plain"), false)
	check("encoding", b.request(avro, "Content-Encoding", "br"), false)
	check("rate", b.request(avro, "X-Forwarded-For", limited), false)
	b = start(t, config(func(c *Config) { c.BodyTimeout = 500 * time.Millisecond }))
	slow := b.request(nil)
	slow.Body = never
	check("slow", slow, false)
	b = start(t, impatient)
	b.cluster.Close()
	check("no broker", b.request(avro), false)
	for status := range doc.Paths.Find(route).Post.Responses.Map() {
		if !seen[status] {
			t.Errorf("%s is documented and was not answered here", status)
		}
	}
}

// The documents name every reason, and none that is not.
func TestReasonsAreDocumented(t *testing.T) {
	doc, _ := document(t)
	want := slices.DeleteFunc(reasons(), func(reason string) bool { return reason == reasonClientGone })
	slices.Sort(want)
	var got []string
	for _, reason := range doc.Components.Schemas["Reason"].Value.Enum {
		text, _ := reason.(string)
		got = append(got, text)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("docs/openapi.yaml (-code +document):\n%s", d)
	}
	page, err := os.ReadFile("../../docs/http.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, reason := range want {
		if !strings.Contains(string(page), "`"+reason+"`") {
			t.Errorf("docs/http.md does not name %s", reason)
		}
	}
}

// The JSON form in the document has the fields of the newest Avro schema.
func TestReportIsDocumented(t *testing.T) {
	doc, _ := document(t)
	root := schema.Released().Newest("UsageReport").Parsed.Root()
	var compare func(path string, fields []avro.SchemaField, described *openapi3.Schema)
	compare = func(path string, fields []avro.SchemaField, described *openapi3.Schema) {
		properties := slices.Collect(maps.Keys(described.Properties))
		var names, required []string
		for _, field := range fields {
			names = append(names, field.Name)
			if !field.HasDefault {
				required = append(required, field.Name)
			}
			if field.Type.Type == "record" {
				compare(path+"."+field.Name, field.Type.Fields, described.Properties[field.Name].Value)
			}
			if field.Type.Type == "enum" {
				var symbols []string
				for _, symbol := range described.Properties[field.Name].Value.Enum {
					text, _ := symbol.(string)
					symbols = append(symbols, text)
				}
				if d := cmp.Diff(field.Type.Symbols, symbols); d != "" {
					t.Errorf("%s.%s (-schema +document):\n%s", path, field.Name, d)
				}
			}
		}
		slices.Sort(names)
		slices.Sort(properties)
		if d := cmp.Diff(names, properties); d != "" {
			t.Errorf("fields of %s (-schema +document):\n%s", path, d)
		}
		if d := cmp.Diff(required, described.Required); d != "" {
			t.Errorf("required fields of %s (-schema +document):\n%s", path, d)
		}
	}
	compare("report", root.Fields, doc.Components.Schemas["Report"].Value)
}
