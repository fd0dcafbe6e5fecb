package oracle

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"

	"rollcall/pkg/client"
	"rollcall/pkg/fleet"
	"rollcall/pkg/licencefile"
	"rollcall/pkg/pseudonym"
	"rollcall/pkg/record"
	"rollcall/pkg/report"
	catalogue "rollcall/schemas/metrics"
)

// The fleet and the pipeline share no code, so that both read the contracts alike
// is for this package to test: it knows the two sides.

func smallFleet(t *testing.T) *fleet.Plan {
	t.Helper()
	options := fleet.Demo()
	options.Licences, options.Installations, options.Days, options.JSON = 60, 120, 3, 0.5
	plan, err := fleet.New(options, fleet.MetricsOf(catalogue.Embedded()))
	if err != nil {
		t.Fatal(err)
	}
	return plan
}

func TestThePipelineReadsWhatTheFleetReports(t *testing.T) {
	pseudonyms := pseudonym.New(bytes.Repeat([]byte{1}, 32))
	licences := map[string]string{}
	plan := smallFleet(t)
	for _, l := range plan.Licences() {
		licences[l.Company] = l.Key
	}
	for d := range plan.Deliveries() {
		sent := d.Report()
		encoded, err := client.Encode(sent, client.Avro, client.Identity)
		if err != nil {
			t.Fatal(err)
		}
		fromAvro := read(t, encoded)
		if encoded, err = client.Encode(sent, client.JSON, client.Identity); err != nil {
			t.Fatal(err)
		}
		recoded, unknown, err := report.AppendAvroFromJSON(nil, encoded)
		if err != nil || unknown != 0 {
			t.Fatal(unknown, err)
		}
		fromJSON := read(t, recoded)
		if diff := cmp.Diff(fromAvro, fromJSON); diff != "" {
			t.Fatalf("Avro (-) and JSON (+) are two reports:\n%s", diff)
		}
		if got := convert(fromAvro); !cmp.Equal(*sent, got) {
			t.Fatalf("sent (-), read (+):\n%s", cmp.Diff(*sent, got))
		}
		canonical := pseudonyms.LicenceID(licences[sent.Customer.CompanyName])
		if pseudonyms.LicenceID(fromAvro.Customer.LicenceKey) != canonical {
			t.Fatalf("key %q as typed is another licence", sent.Customer.LicenceKey)
		}
	}
}

// read takes a report as the gateway does, and then as the anonymizer does.
func read(t *testing.T, encoded []byte) (r report.Report) {
	t.Helper()
	head, err := report.Inspect(encoded)
	if err != nil {
		t.Fatal(err)
	}
	if err := report.DecodeBody(head.Fingerprint, head.Body, &r); err != nil {
		t.Fatal(err)
	}
	return r
}

// convert is possible as long as both sides have the same fields.
func convert(r report.Report) client.Report {
	return client.Report{
		ReportID: r.ReportID, Kind: r.Kind, SentAt: r.SentAt, Day: r.Day, InstallationID: r.InstallationID, HostID: r.HostID,
		SessionID: r.SessionID, SessionStartedAt: r.SessionStartedAt, Sequence: r.Sequence, Consent: r.Consent, PolicyVersion: r.PolicyVersion,
		Customer: client.Customer(r.Customer), Application: client.Application(r.Application), Host: client.Host(r.Host),
		Counters: r.Counters, Gauges: r.Gauges, Distincts: r.Distincts, InstallationKey: r.InstallationKey, Signature: r.Signature,
	}
}

func TestTheRegistryReadsTheFleetsLicences(t *testing.T) {
	plan := smallFleet(t)
	for _, phase := range []int{fleet.PhaseBefore, fleet.PhaseHalfway} {
		var file bytes.Buffer
		if err := fleet.WriteLicences(&file, plan.Licences(), phase); err != nil {
			t.Fatal(err)
		}
		got := map[string][]record.Licence{}
		for entry, err := range licencefile.ReadCSV("fleet.csv", &file) {
			if err != nil {
				t.Fatal(err)
			}
			got[entry.LicenceKey] = append(got[entry.LicenceKey], entry.Terms)
		}
		want := map[string][]record.Licence{}
		for _, l := range plan.Licences() {
			for _, terms := range l.Terms {
				if l.Phase == phase {
					want[l.Key] = append(want[l.Key], record.Licence{
						ValidFrom: terms.ValidFrom, ValidUntil: terms.ValidUntil, Edition: terms.Edition, Industry: terms.Industry,
						Region: terms.Region, Partner: terms.Partner, EntitledCPUs: terms.EntitledCPUs, EntitledRoboServers: terms.EntitledRoboServers,
						EntitledRobots: terms.EntitledRobots, EntitledUsers: terms.EntitledUsers, EntitledStepsPerMonth: terms.EntitledStepsPerMonth,
					})
				}
			}
		}
		if diff := cmp.Diff(want, got); diff != "" || len(want) == 0 {
			t.Errorf("phase %d, %d licences:\n%s", phase, len(want), diff)
		}
	}
}
