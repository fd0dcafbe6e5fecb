package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"rollcall/pkg/client"
	"rollcall/pkg/report"
	"rollcall/scripts/canary"
)

// fate is how far a request comes: each includes what is said of those before it.
type fate int

const (
	refusedAtGateway fate = iota // never enters
	deadAtAnonymizer             // enters, and is refused behind the boundary's door
	deadAtEnricher               // crosses the boundary, and is refused then
	landsInClickHouse
)

// bait is one request with marks in all that a client can choose.
type bait struct {
	name       string
	method     string
	target     string // path and query
	header     http.Header
	body       []byte
	report     client.Report
	fate       fate
	registered bool
	// direct: no gateway takes it, so it is sealed and produced without one.
	direct  bool
	address netip.Addr
	// unread: the gateway answers before it has read the body.
	unread   bool
	marks    []int // of the fleet's marks
	head     int   // how many of them are in the body: the others are in the head
	identity []int // those that an identity holds
}

// baits are a fleet that leaks if anything does: in each request every text, every key
// of a map, every id, every header and the address occur nowhere else in the world.
type baits struct {
	source *canary.Source
	all    []*bait
	marks  []canary.Mark
	// inside are texts that their rules let through: releases. They may stand where
	// docs/privacy.md says, and nowhere else.
	inside []insideMark
}

// insideMark is a text that may cross, and what it is.
type insideMark struct {
	datum string
	mark  canary.Mark
}

// newBaits returns the fleet: each kind of request as many times as copies.
func newBaits(seed uint64, copies int) (*baits, error) {
	f := &baits{source: canary.NewSource(seed)}
	for n := range copies {
		for _, kind := range []func(int) error{f.good, f.bad, f.refused} {
			if err := kind(n); err != nil {
				return nil, err
			}
		}
	}
	return f, nil
}

// mark adds a mark to the fleet and to the bait.
func (f *baits) mark(b *bait, m canary.Mark) {
	m.Name = b.name + ", " + m.Name
	b.marks = append(b.marks, len(f.marks))
	f.marks = append(f.marks, m)
}

// text plants a new text under a name and returns it: a token among characters that
// encoders have to escape.
func (f *baits) text(b *bait, name string) string {
	token := f.source.Token()
	value := `æ "` + token + `"/+<&'%`
	f.mark(b, canary.Text(name, value, token))
	return value
}

// token plants letters and digits alone.
func (f *baits) token(b *bait, name string) string {
	token := f.source.Token()
	f.mark(b, canary.Text(name, token))
	return token
}

// begin returns a report in which everything that can be marked is, and its request's
// headers. Texts with a rule are within it or not, as asked.
func (f *baits) begin(name string, inside bool) *bait {
	b := &bait{name: name, method: http.MethodPost, target: client.ReportsPath, header: http.Header{}, fate: landsInClickHouse}
	r := dailyReport("")
	r.ReportID, r.InstallationID, r.HostID, r.SessionID = f.source.ID(), f.source.ID(), f.source.ID(), f.source.ID()
	f.mark(b, canary.ID("report_id", r.ReportID))
	f.mark(b, canary.ID("installation_id", r.InstallationID))
	f.mark(b, canary.ID("host_id", r.HostID))
	f.mark(b, canary.ID("session_id", r.SessionID))
	f.customer(b, &r)
	if inside {
		f.withinRules(b, &r)
	} else {
		r.Application = client.Application{Name: f.text(b, "application.name"), Version: f.text(b, "application.version"), Edition: f.text(b, "application.edition")}
		r.Host.OSName, r.Host.OSVersion, r.Host.Architecture = f.text(b, "host.os_name"), f.text(b, "host.os_version"), f.text(b, "host.architecture")
	}
	r.Counters[f.text(b, "a key of counters")] = 1
	r.Gauges[f.text(b, "a key of gauges")] = 2
	r.Distincts[f.text(b, "a key of distincts")] = 3
	b.report = r
	b.head = len(b.marks)
	f.headers(b)
	return b
}

func (f *baits) customer(b *bait, r *client.Report) {
	first := len(b.marks)
	r.Customer.CompanyName = f.text(b, "customer.company_name")
	local, domain := f.source.Token(), f.source.Token()
	email := local + "+tag@" + domain + ".example"
	f.mark(b, canary.Text("customer.email", email, local, domain+".example"))
	b.identity = append(b.identity, b.marks[first:]...)
	blocks := []string{f.source.Word(5), f.source.Word(5), f.source.Word(5), f.source.Word(5)}
	key := strings.Join(blocks, "-")
	f.mark(b, canary.Text("customer.licence_key", key, strings.Join(blocks, "")))
	r.Customer.Email, r.Customer.LicenceKey = email, key
}

func (f *baits) withinRules(b *bait, r *client.Report) {
	version := strings.Join([]string{f.source.Digits(4), f.source.Digits(6), f.source.Digits(6), f.source.Digits(6)}, ".")
	osVersion := f.source.Digits(4) + "." + f.source.Digits(6)
	words := insideWords()
	r.Application = client.Application{Name: words["application.name"], Version: version, Edition: words["application.edition"]}
	r.Host.OSName, r.Host.OSVersion, r.Host.Architecture = words["host.os_name"], osVersion, words["host.architecture"]
	for _, one := range []struct{ datum, value string }{{"application.version", version}, {"host.os_version", osVersion}} {
		f.inside = append(f.inside, insideMark{one.datum, canary.Text(b.name+", "+one.datum, one.value)})
	}
}

// headers puts a mark into every header that proxies, browsers and tracers set, and the
// address behind another that is not to be believed.
func (f *baits) headers(b *bait) {
	address, name := f.source.IPv4(), "address"
	if len(f.all)%2 == 1 {
		address = f.source.IPv6()
	}
	b.address = address
	f.mark(b, canary.Address(name, address))
	b.header.Set("X-Forwarded-For", f.token(b, "X-Forwarded-For")+", "+address.String())
	for _, header := range []string{
		"User-Agent", "Referer", "Cookie", "Authorization", "From", "Forwarded", "X-Real-Ip", "Via", "Accept-Language", "X-Request-Id", "Origin", "X-Of-A-Client",
	} {
		b.header.Set(header, f.token(b, header))
	}
	b.header.Set("Tracestate", "vendor="+f.lower(b, "tracestate"))
	b.header.Set("Baggage", "user="+f.token(b, "baggage"))
	// The client's trace and span are linked on purpose; they are no secret of anybody.
	trace := f.source.ID()
	b.header.Set("Traceparent", fmt.Sprintf("00-%x-%x-01", trace[:], trace[:8]))
	b.target = client.ReportsPath + "?q=" + f.token(b, "query of the URL")
}

// lower plants lower-case letters and digits, for where nothing else is allowed.
func (f *baits) lower(b *bait, name string) string {
	token := strings.ToLower(f.source.Token())
	f.mark(b, canary.Text(name, token))
	return token
}

// finish encodes the report and adds the bait.
func (f *baits) finish(b *bait, mediaType, encoding string) error {
	body, err := client.Encode(&b.report, mediaType, encoding)
	if err != nil {
		return fmt.Errorf("bait %s: %w", b.name, err)
	}
	f.send(b, mediaType, encoding, body)
	return nil
}

func (f *baits) send(b *bait, mediaType, encoding string, body []byte) {
	b.header.Set("Content-Type", mediaType)
	if encoding != client.Identity {
		b.header.Set("Content-Encoding", encoding)
	}
	b.body = body
	f.all = append(f.all, b)
}

// good are reports that land: in each form and under each encoding, of registered
// licences and of others, under either consent, with and without a signature.
func (f *baits) good(n int) error {
	for _, registered := range []bool{true, false} {
		for i, mediaType := range []string{client.Avro, client.JSON} {
			for j, encoding := range []string{client.Identity, client.Gzip, client.Zstd} {
				b := f.begin(fmt.Sprintf("report %d in %s, %s, registered %t", n, mediaType, encoding, registered), (n+i+j)%2 == 0)
				b.registered = registered
				switch {
				case j == 0:
					b.report.Consent = client.ConsentRequired
				case j == 2 && (n+i)%2 == 0: // peaks and steps are told of RoboServers alone
					b.report.Application.Name = "roboserver"
				}
				if mediaType == client.Avro {
					f.sign(b)
				}
				if err := f.finish(b, mediaType, encoding); err != nil {
					return err
				}
			}
		}
	}
	huge := f.begin(fmt.Sprintf("report %d with huge names", n), false)
	for i := range 60 {
		name := f.token(huge, fmt.Sprintf("huge metric %d", i)) + strings.Repeat("x", 1_000)
		huge.report.Counters[name] = int64(i)
	}
	return f.finish(huge, client.Avro, client.Zstd)
}

// sign fills the fields that are reserved for signed reports.
func (f *baits) sign(b *bait) {
	key, signature := []byte(f.token(b, "installation_key")), []byte(f.token(b, "signature"))
	b.report.InstallationKey, b.report.Signature = &key, &signature
}

// bad are reports that the gateway takes and that do not land.
func (f *baits) bad(n int) error {
	newer := f.begin(fmt.Sprintf("report %d of a newer client", n), false)
	body, err := newer.report.AppendAvro(nil)
	if err != nil {
		return fmt.Errorf("bait %s: %w", newer.name, err)
	}
	copy(body[2:10], []byte{9, 8, 7, 6, 5, 4, 3, byte(n)})
	newer.fate = deadAtAnonymizer
	f.send(newer, client.Avro, client.Identity, body)

	numbered := f.begin(fmt.Sprintf("report %d before its session", n), true)
	numbered.report.Sequence, numbered.fate, numbered.registered = -1, deadAtAnonymizer, true
	if err := f.finish(numbered, client.Avro, client.Identity); err != nil {
		return err
	}
	early := f.begin(fmt.Sprintf("report %d of 1970", n), true)
	early.report.Day, early.fate, early.registered = 0, deadAtEnricher, true
	if err := f.finish(early, client.JSON, client.Identity); err != nil {
		return err
	}
	for _, cut := range []int{3, 40, 400} {
		broken := f.begin(fmt.Sprintf("report %d cut off %d bytes before its end", n, cut), false)
		broken.direct, broken.fate = true, deadAtAnonymizer
		body := encoded(broken.report)[singleObjectHeader:]
		f.send(broken, client.Avro, client.Identity, body[:len(body)-cut])
	}
	fields := f.begin(fmt.Sprintf("report %d with fields that no schema has", n), false)
	text, err := json.Marshal(&fields.report)
	if err != nil {
		return fmt.Errorf("bait %s: %w", fields.name, err)
	}
	extra := fmt.Sprintf(`{"%s":{"%s":["%s"]},`, f.token(fields, "an unknown field"), f.token(fields, "a key in it"), f.token(fields, "a value in it"))
	f.send(fields, client.JSON, client.Identity, append([]byte(extra), text[1:]...))
	return nil
}

// refused are requests that the gateway answers 4xx.
func (f *baits) refused(n int) error {
	add := func(name, mediaType, encoding string, change func(b *bait, text string) []byte) error {
		b := f.begin(fmt.Sprintf("request %d %s", n, name), false)
		b.fate = refusedAtGateway
		text, err := json.Marshal(&b.report)
		if err != nil {
			return fmt.Errorf("bait %s: %w", b.name, err)
		}
		body := change(b, string(text))
		if b.header.Get("Content-Type") != "" { // the change's own
			mediaType = b.header.Get("Content-Type")
		}
		f.send(b, mediaType, encoding, body)
		return nil
	}
	as := func(b *bait) []byte { return encoded(b.report) }
	replaced := func(old string, with func(b *bait) string) func(*bait, string) []byte {
		return func(b *bait, text string) []byte { return []byte(strings.Replace(text, old, with(b), 1)) }
	}
	for _, one := range []struct {
		name, mediaType, encoding string
		change                    func(b *bait, text string) []byte
	}{
		{"cut off", client.Avro, client.Identity, func(b *bait, _ string) []byte { body := as(b); return body[:len(body)-3] }},
		{"with something behind", client.Avro, client.Identity, func(b *bait, _ string) []byte {
			return append(as(b), f.token(b, "behind the report")...)
		}},
		{"in invalid UTF-8", client.Avro, client.Identity, func(b *bait, _ string) []byte {
			return bytes.Replace(as(b), []byte("+tag@"), []byte("+ta\xff@"), 1)
		}},
		{"cut off in JSON", client.JSON, client.Identity, func(_ *bait, text string) []byte { return []byte(text[:len(text)-1]) }},
		{"of an unknown kind", client.JSON, client.Identity, replaced(`"DAILY"`, func(b *bait) string { return `"` + f.token(b, "kind") + `"` })},
		{"with a text for a number", client.JSON, client.Identity, replaced(`"sequence":1`, func(b *bait) string { return `"sequence":"` + f.token(b, "sequence") + `"` })},
		{"with a text for a count", client.JSON, client.Identity, replaced(`"steps_executed":112`, func(b *bait) string {
			return `"` + f.token(b, "key of a wrong value") + `":"` + f.token(b, "wrong value") + `"`
		})},
		{"with a text for an id", client.JSON, client.Identity, func(b *bait, text string) []byte {
			return []byte(strings.Replace(text, b.report.HostID.String(), b.report.HostID.String()+f.token(b, "host_id"), 1))
		}},
		{"with a time that is none", client.JSON, client.Identity, func(b *bait, text string) []byte {
			return []byte(strings.Replace(text, `"sent_at":"`, `"sent_at":"`+f.token(b, "sent_at"), 1))
		}},
		{"that is no report", client.Avro, client.Identity, func(b *bait, text string) []byte { return []byte(text) }},
		{"that is not compressed as it says", client.Avro, client.Gzip, func(b *bait, text string) []byte { return []byte(text) }},
		{"of an unknown type", "", client.Identity, func(b *bait, text string) []byte {
			b.unread = true
			b.header.Set("Content-Type", "application/"+f.lower(b, "media type"))
			return []byte(text)
		}},
	} {
		if err := add(one.name, one.mediaType, one.encoding, one.change); err != nil {
			return err
		}
	}
	return f.elsewhere(n)
}

// elsewhere are requests that are no reports at all.
func (f *baits) elsewhere(n int) error {
	b := f.begin(fmt.Sprintf("request %d to another path", n), false)
	b.fate, b.unread, b.target = refusedAtGateway, true, "/"+f.token(b, "path")+strings.TrimPrefix(b.target, client.ReportsPath)
	if err := f.finish(b, client.JSON, client.Identity); err != nil {
		return err
	}
	b = f.begin(fmt.Sprintf("request %d by another method", n), false)
	b.fate, b.unread, b.method = refusedAtGateway, true, strings.ToUpper(f.source.Word(canary.TokenLength))
	f.mark(b, canary.Text("method", b.method))
	if err := f.finish(b, client.JSON, client.Identity); err != nil {
		return err
	}
	b = f.begin(fmt.Sprintf("request %d with a wrong time", n), false)
	b.fate = refusedAtGateway
	b.header.Set("Rollcall-Simulated-Received-At", f.token(b, "simulated time"))
	if err := f.finish(b, client.JSON, client.Identity); err != nil {
		return err
	}
	large := f.begin(fmt.Sprintf("request %d that is too large", n), false)
	large.fate, large.unread = refusedAtGateway, true
	large.report.Customer.CompanyName += strings.Repeat(f.token(large, "large company"), report.MaxBytes/canary.TokenLength)
	return f.finish(large, client.Avro, client.Zstd)
}

// licences returns the licence keys that are to be registered.
func (f *baits) licences() []string {
	var keys []string
	for _, b := range f.all {
		if b.registered {
			keys = append(keys, b.report.Customer.LicenceKey)
		}
	}
	return keys
}

// planted returns the marks that a gateway gets to see.
func (b *bait) planted() []int {
	if b.unread {
		return b.marks[b.head:]
	}
	return b.marks
}

// request makes the bait's request to a gateway.
func (b *bait) request(gateway string) (*http.Request, error) {
	request, err := http.NewRequest(b.method, gateway+b.target, bytes.NewReader(b.body))
	if err != nil {
		return nil, fmt.Errorf("bait %s: %w", b.name, err)
	}
	request.Header = b.header.Clone()
	return request, nil
}

// answered says whether a status is what the bait is to get.
func (b *bait) answered(status int) bool {
	if b.fate == refusedAtGateway {
		return status >= 400 && status < 500 && status != http.StatusTooManyRequests
	}
	return status == http.StatusAccepted
}

// baitTimeout bounds one request.
const baitTimeout = 20 * time.Second
