package fleet

import (
	"fmt"
	"net/http"
	"time"

	"rollcall/pkg/client"
)

// SimulatedReceivedAt is the header field in which a gateway with --simulated-time
// takes the time of receipt (RFC 3339).
const SimulatedReceivedAt = "Rollcall-Simulated-Received-At"

// Report returns the report as its product sends it: the same for every delivery of it.
func (d Delivery) Report() *client.Report {
	r := d.report
	q, s := r.product, r.product.session
	licence := &q.fleet.licences[s.licence]
	edition := "professional"
	if terms, ok := licence.on(r.day); ok {
		edition = terms.Edition
	}
	out := &client.Report{
		ReportID: r.id, Kind: r.kind, SentAt: r.sentAt, Day: r.day,
		InstallationID: identifier(q.fleet.options.Seed, streamInstallation, uint64(s.installation)),
		HostID:         q.bootID(), SessionID: q.id, SessionStartedAt: q.clientTime(s.start), Sequence: r.sequence,
		Consent: s.consent, PolicyVersion: s.policy,
		Customer:    client.Customer{CompanyName: licence.Company, Email: licence.Email, LicenceKey: licence.asEntered(q.of.keyStyle)},
		Application: client.Application{Name: q.of.application, Version: s.release, Edition: edition},
		Host: client.Host{
			OSName: q.host.system.name, OSVersion: q.host.system.version,
			Architecture: q.host.system.architecture, CPUCount: q.host.cpus,
		},
		Counters: map[string]int64{}, Gauges: map[string]int64{}, Distincts: map[string]int64{},
	}
	d.fill(out)
	return out
}

// fill puts the values into the maps: required metrics always, optional ones that
// were used, where consent allows or the client does not care.
func (d Delivery) fill(out *client.Report) {
	q, s := d.report.product, d.report.product.session
	for n, m := range q.metrics {
		v := d.report.values[n]
		if m.Optional && (v == 0 || s.consent != client.ConsentFull && !q.of.ignoresConsent) {
			continue
		}
		into := map[string]map[string]int64{counter: out.Counters, gauge: out.Gauges, distinct: out.Distincts}[m.Kind]
		if m.Name == s.misfiled {
			into = out.Distincts
			if m.Kind == distinct {
				into = out.Gauges
			}
		}
		into[m.Name] = v
	}
	for n := range s.unknown {
		out.Counters[fmt.Sprintf("feature_preview_%02d", n)] = d.report.sequence
	}
}

// Request encodes the delivery for a gateway at that base URL.
func (d Delivery) Request(gateway string) (client.Request, error) {
	of := d.report.product.of
	body, err := client.Encode(d.Report(), of.media, of.encoding)
	if err != nil {
		return client.Request{}, err
	}
	return client.Request{
		Gateway: gateway, ContentType: of.media, ContentEncoding: of.encoding, Body: body,
		Header: http.Header{
			SimulatedReceivedAt: {d.ReceivedAt.Format(time.RFC3339Nano)},
			"X-Forwarded-For":   {d.Address.String()},
		},
	}, nil
}
