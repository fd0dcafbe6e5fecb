package main

import (
	"bytes"
	"fmt"
	"io"
	"math"
	mathrand "math/rand/v2"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"rollcall/pkg/client"
	"rollcall/pkg/report"
)

// leakyEmail is in every bad report, and where no e-mail address belongs. It must not
// be found behind the anonymizer.
const leakyEmail = "leaky.person@bad-input.example.org"

// largeKey is registered, so that the largest report makes an identity too.
const largeKey = "BAD-LARGE"

// Ends of a bad input.
const (
	neverEntered = "never entered"
	landed       = "landed"
	deadLettered = "dead letter"
)

// badInput is one line of the table: what is sent, and what the design answers.
type badInput struct {
	name     string
	requests []client.Request
	// raw requests are written to the connection as they are.
	raw [][]byte
	// answers that the design gives, as "400 truncated"; each must be one of them.
	answers []string
	end     string
	// class of the dead letter; one that cannot be read is found by its fingerprint.
	class       string
	fingerprint string
	// row is a condition on the one session-day that the report becomes.
	row    string
	report client.Report
}

// badReport returns a report of a licence of its own, with the leaky address.
func badReport(licenceKey string) client.Report {
	r := dailyReport(licenceKey)
	r.Customer.Email, r.Customer.CompanyName = leakyEmail, "Customer 0044"
	return r
}

// avro is a request with that body as Avro, under a content encoding.
func avro(encoding string, body []byte) client.Request {
	return client.Request{ContentType: client.Avro, ContentEncoding: encoding, Body: body}
}

// taken is a report that the gateway takes, and what becomes of it.
func taken(name string, change func(*client.Report), end, detail string) badInput {
	r := badReport("BAD-" + strings.ToUpper(strings.ReplaceAll(name, " ", "-")))
	change(&r)
	b := badInput{name: name, requests: []client.Request{avro("", encoded(r))}, answers: []string{"202"}, end: end, report: r}
	if end == landed {
		b.row = detail
	} else {
		b.class = detail
	}
	return b
}

// refused are requests that never enter.
func refused(name string, requests []client.Request, answers ...string) badInput {
	return badInput{name: name, requests: requests, answers: answers, end: neverEntered}
}

// takenInputs are those that a gateway must take: what they hold is judged behind it.
func takenInputs() []badInput {
	const kept = "values = map(9, 3, 10, 8) AND refused = [1] AND empty(suspect) AND has(flags, 'REFUSED_VALUE')"
	inputs := []badInput{
		taken("unknown metric", func(r *client.Report) { r.Counters["metric_of_tomorrow"] = 7 }, landed,
			"values = map(1, 112, 9, 3, 10, 8) AND unknown_values = [7] AND unknown_kinds = ['COUNTER'] AND unknown_dropped = 0"),
		taken("10000 metrics", func(r *client.Report) {
			for i := range 10_000 {
				r.Counters[fmt.Sprintf("metric_%d", i)] = int64(i)
			}
		}, landed, "values = map(1, 112, 9, 3, 10, 8) AND length(unknown_hashes) = 50 AND unknown_dropped = 9950"),
		taken("e-mail as metric", func(r *client.Report) { r.Counters[leakyEmail] = 7 }, landed,
			"values = map(1, 112, 9, 3, 10, 8) AND unknown_values = [7]"),
		taken("e-mail as version", func(r *client.Report) { r.Application.Version = leakyEmail }, landed,
			"app_version = '(other)' AND strings_cut = 1 AND values[1] = 112"),
		taken("e-mail as OS", func(r *client.Report) { r.Host.OSName = leakyEmail }, landed,
			"os_name = '(other)' AND strings_cut = 1 AND values[1] = 112"),
		taken("negative value", func(r *client.Report) { r.Counters["steps_executed"] = -5 }, landed, kept),
		taken("2^63-1", func(r *client.Report) { r.Counters["steps_executed"] = math.MaxInt64 }, landed, kept),
		taken("day in 1970", func(r *client.Report) { r.Day = 0 }, deadLettered, "day_outside_window"),
		taken("day in 2099", func(r *client.Report) { r.Day = 47_117 }, deadLettered, "day_outside_window"),
	}
	large := taken("1 MiB inflated, gzip", fillUp, landed, "values = map(1, 112, 9, 3, 10, 8) AND registered")
	large.requests = []client.Request{avro(client.Gzip, compressed(client.Gzip, encoded(large.report)))}
	metrics := taken("1 MiB inflated, zstd", func(r *client.Report) {
		for i := range 10_000 {
			r.Counters[fmt.Sprintf("metric_%05d%s", i, strings.Repeat("x", 80))] = int64(i)
		}
		r.Counters["steps_executed"] = 113
	}, landed, "values[1] = 113 AND length(unknown_hashes) = 50 AND unknown_dropped = 9950")
	metrics.requests = []client.Request{avro(client.Zstd, compressed(client.Zstd, encoded(metrics.report)))}
	unknown := encoded(badReport("BAD-NEWER"))
	copy(unknown[2:10], []byte{1, 2, 3, 4, 5, 6, 7, 8})
	return append(inputs, large, metrics, badInput{
		name: "unknown fingerprint", requests: []client.Request{avro("", unknown)}, answers: []string{"202"},
		end: deadLettered, class: "unknown_schema", fingerprint: "\x01\x02\x03\x04\x05\x06\x07\x08",
	})
}

// fillUp makes the report exactly as long as a report may be.
func fillUp(r *client.Report) {
	r.Customer.LicenceKey = largeKey
	r.Customer.CompanyName = strings.Repeat("x", report.MaxBytes/2)
	for range 2 { // the length of the length may change once
		r.Customer.CompanyName = strings.Repeat("x", len(r.Customer.CompanyName)+report.MaxBytes-len(encoded(*r)))
	}
}

// refusedInputs are those that a gateway must refuse.
func refusedInputs(env *Environment) []badInput {
	r := badReport("BAD-REFUSED")
	whole := encoded(r)
	text, err := r.MarshalJSON()
	if err != nil {
		panic(err) // a report of plain values has a form as JSON
	}
	json := func(body string) client.Request { return client.Request{ContentType: client.JSON, Body: []byte(body)} }
	one := func(request client.Request) []client.Request { return []client.Request{request} }
	replaced := func(old, new string) string { return strings.Replace(string(text), old, new, 1) }
	var cuts, textCuts []client.Request
	for i := 1; i < len(whole); i++ {
		cuts = append(cuts, avro("", whole[:i]))
	}
	for i := 1; i < len(text); i += Choose(env, 5, 1) {
		textCuts = append(textCuts, json(string(text[:i])))
	}
	typed := avro("", whole)
	typed.ContentType = "text/plain"
	twice := r
	twice.Counters = map[string]int64{"steps_executed": 1, "steps_executeD": 2}
	inputs := []badInput{
		refused("empty", one(avro("", nil)), "400 truncated"),
		refused("truncated at every byte, Avro", cuts, "400 truncated"),
		refused("truncated, JSON", textCuts, "400 truncated", "400 not_json"),
		refused("random", randomBodies(Choose(env, 200, 2000), nil), "400 not_single_object", "400 truncated", "415 confluent_framing_not_configured"),
		// The header, the report's id and its kind are good.
		refused("random behind a good start", randomBodies(Choose(env, 200, 2000), whole[:27]),
			"400 truncated", "400 invalid_enum", "400 invalid_number", "400 invalid_length", "400 invalid_count", "400 invalid_utf8",
			"400 invalid_union", "400 trailing_bytes", "400 duplicate_key"),
		refused("bomb, gzip", repeated(Choose(env, 8, 64), avro(client.Gzip, bomb(client.Gzip, Choose(env, 64, 192)))), "413 inflated_too_large"),
		refused("bomb, zstd", repeated(Choose(env, 8, 64), avro(client.Zstd, bomb(client.Zstd, Choose(env, 64, 1024)))), "413 inflated_too_large"),
		refused("wrong media type", one(typed), "415 unsupported_type"),
		refused("wrong encoding", one(client.Request{ContentType: client.Avro, ContentEncoding: "br", Body: whole}), "415 unsupported_encoding"),
		refused("JSON as Avro", one(avro("", text)), "400 not_single_object"),
		refused("text where a number belongs", one(json(replaced(`"sequence":1`, `"sequence":"1"`))), "400 wrong_type"),
		refused("invalid UTF-8", one(avro("", bytes.Replace(whole, []byte("leaky."), []byte("leaky\xff"), 1))), "400 invalid_utf8"),
		refused("invalid UTF-8, JSON", one(json(replaced("leaky.", "leaky\xff"))), "400 invalid_utf8"),
		refused("duplicate keys", one(avro("", bytes.Replace(encoded(twice), []byte("steps_executeD"), []byte("steps_executed"), 1))), "400 duplicate_key"),
		refused("duplicate keys, JSON", one(json(replaced(`"steps_executed":112`, `"steps_executed":1,"steps_executed":112`))), "400 duplicate_key"),
		refused("trailing bytes", one(avro("", append(bytes.Clone(whole), 0))), "400 trailing_bytes"),
		refused("trailing bytes, JSON", one(json(string(text)+"x")), "400 trailing_bytes", "400 not_json"),
	}
	const tenMiB = 10 << 20
	announced := fmt.Sprintf("POST /v1/reports HTTP/1.1\r\nHost: x\r\nContent-Type: application/avro\r\nContent-Length: %d\r\n\r\n", tenMiB)
	chunked := "POST /v1/reports HTTP/1.1\r\nHost: x\r\nContent-Type: application/avro\r\nTransfer-Encoding: chunked\r\n\r\n" + fmt.Sprintf("%x\r\n", tenMiB)
	return append(inputs, badInput{name: "10 MiB, announced and chunked", end: neverEntered, answers: []string{"413 too_large"}, raw: [][]byte{
		append([]byte(announced), make([]byte, tenMiB)...), append([]byte(chunked), make([]byte, tenMiB)...),
	}})
}

// randomBodies returns n bodies of random bytes behind a prefix, the same ones in each run.
func randomBodies(n int, prefix []byte) []client.Request {
	source := mathrand.NewChaCha8([32]byte{1})
	sizes := mathrand.New(source)
	var out []client.Request
	for range n {
		body := make([]byte, 1+sizes.IntN(600))
		_, _ = source.Read(body) // never fails
		out = append(out, avro("", append(bytes.Clone(prefix), body...)))
	}
	return out
}

func repeated(n int, request client.Request) []client.Request {
	out := make([]client.Request, n)
	for i := range out {
		out[i] = request
	}
	return out
}

func compressed(encoding string, body []byte) []byte {
	out, err := client.Compress(encoding, body)
	if err != nil {
		panic(err) // of memory into memory
	}
	return out
}

// bomb returns so many MiB of one byte, compressed; it fits into what may be sent.
func bomb(encoding string, mebibytes int) []byte {
	var (
		out bytes.Buffer
		w   io.WriteCloser = gzip.NewWriter(&out)
	)
	if encoding == client.Zstd {
		w, _ = zstd.NewWriter(&out) // fails only for options
	}
	block := make([]byte, 1<<20)
	for range mebibytes {
		_, _ = w.Write(block) // to memory
	}
	_ = w.Close()
	if out.Len() > 256<<10 {
		panic(fmt.Sprintf("the bomb in %s has %d bytes", encoding, out.Len()))
	}
	return out.Bytes()
}
