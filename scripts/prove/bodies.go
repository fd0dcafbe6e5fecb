package main

import (
	"fmt"
	"iter"
	"net/http"
	"strings"
	"time"

	"rollcall/pkg/client"
	"rollcall/pkg/fleet"
	catalogue "rollcall/schemas/metrics"
	"rollcall/scripts/testbed/load"
)

// Load for proofs of speed: reports of a fleet, prepared before anything is measured.

// speedPlan is a fleet of many licences whose reports reach the gateway as they are
// made: what goes wrong on a network is the business of other proofs. The last of its days
// is today, which after midnight has no reports yet: ask for two at least.
func speedPlan(licences, installations, days, reportsPerDay int) (*fleet.Plan, error) {
	return fleet.New(fleet.Options{
		Seed: 1, Licences: licences, Installations: installations, Days: days, ReportsPerDay: reportsPerDay, End: time.Now(),
	}, fleet.MetricsOf(catalogue.Embedded()))
}

// delivered returns the plan's first n deliveries as they go over the wire, encoded
// and compressed as their installations do it.
func delivered(plan *fleet.Plan, host string, n int) ([][]byte, error) {
	requests := make([][]byte, 0, n)
	for delivery := range plan.Deliveries() {
		request, err := delivery.Request("")
		if err != nil {
			return nil, err
		}
		headers := []string{"X-Forwarded-For", request.Header.Get("X-Forwarded-For")}
		if request.ContentEncoding != client.Identity {
			headers = append(headers, "Content-Encoding", request.ContentEncoding)
		}
		requests = append(requests, load.Prepare(host, client.ReportsPath, request.ContentType, request.Body, headers...))
		if len(requests) == n {
			return requests, nil
		}
	}
	return nil, fmt.Errorf("the fleet makes %d reports, not %d", len(requests), n)
}

// wholeReports iterates over the plan's reports with every catalogued metric of
// their application in them: none is as small as one of an old release may be.
func wholeReports(plan *fleet.Plan) iter.Seq2[fleet.Delivery, *client.Report] {
	metrics := fleet.MetricsOf(catalogue.Embedded())
	return func(yield func(fleet.Delivery, *client.Report) bool) {
		for delivery := range plan.Deliveries() {
			report := delivery.Report()
			complete(report, metrics)
			if !yield(delivery, report) {
				return
			}
		}
	}
}

// complete adds the metrics that the report's application has and the report lacks.
func complete(report *client.Report, metrics []fleet.Metric) {
	into := map[string]map[string]int64{"counter": report.Counters, "gauge": report.Gauges, "distinct": report.Distincts}
	for n, m := range metrics {
		if m.Application != report.Application.Name && m.Application != "any" {
			continue
		}
		if _, ok := into[m.Kind][m.Name]; !ok {
			into[m.Kind][m.Name] = report.Sequence*int64(n+1) + int64(report.Host.CPUCount)
		}
	}
}

// wholeAvro returns n different reports of the plan, whole and in Avro, as requests.
func wholeAvro(plan *fleet.Plan, host string, n int) (requests [][]byte, err error) {
	for delivery, report := range wholeReports(plan) {
		body, err := report.AppendAvro(nil)
		if err != nil {
			return nil, err
		}
		requests = append(requests, load.Prepare(host, client.ReportsPath, client.Avro, body, "X-Forwarded-For", delivery.Address.String()))
		if len(requests) == n {
			return requests, nil
		}
	}
	return nil, fmt.Errorf("the fleet makes %d reports, not %d", len(requests), n)
}

// hostOf returns host:port of a base URL.
func hostOf(url string) string { return strings.TrimPrefix(url, "http://") }

// allAccepted returns an error where a request was answered with anything but 202.
func allAccepted(result *load.Result) error {
	if accepted := result.ByStatus[http.StatusAccepted]; accepted != result.Sent {
		return fmt.Errorf("of %d requests %d were acknowledged; answers by status: %v", result.Sent, accepted, result.ByStatus)
	}
	return nil
}
