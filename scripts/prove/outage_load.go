package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"rollcall/pkg/client"
	"rollcall/pkg/fleet"
	"rollcall/pkg/pseudonym"
	"rollcall/scripts/testbed/load"
)

// outageStage is a part of the proof: which answers are right depends on it.
type outageStage int32

const (
	stageBefore outageStage = iota
	stageBrokerAway
	stageBrokerBack
	stageStoreAway
	stageStoreBack
	outageStages
)

// outageLoad is an open loop of reports, each of them another one, and what was
// answered to each. Its sessions are those of a fleet; each goes on for ever.
type outageLoad struct {
	rate     float64
	bases    []*client.Report
	licences []uuid.UUID // pseudonyms, by base
	acked    []atomic.Bool
	stage    atomic.Int32
	firstAck [outageStages]atomic.Int64 // Unix ns, 0: none yet

	mu      sync.Mutex
	answers [outageStages]map[int]int // by status

	result  *load.Result
	started time.Time
	ended   chan error // the one result of the run
}

// newOutageLoad takes one report of each session of the plan's registered licences.
func newOutageLoad(p *pipeline, plan *fleet.Plan, rate float64, longest time.Duration) (*outageLoad, error) {
	registered := map[uuid.UUID]bool{}
	for _, licence := range plan.Licences() {
		registered[p.licenceID(licence.Key)] = licence.Phase == fleet.PhaseBefore
	}
	l := &outageLoad{rate: rate, acked: make([]atomic.Bool, int(rate*longest.Seconds())), ended: make(chan error, 1)}
	seen := map[uuid.UUID]bool{}
	for delivery := range plan.Deliveries() {
		report := delivery.Report()
		licence := p.licenceID(report.Customer.LicenceKey)
		if seen[report.SessionID] || !registered[licence] {
			continue
		}
		seen[report.SessionID] = true
		l.bases, l.licences = append(l.bases, report), append(l.licences, licence)
	}
	if len(l.bases) == 0 {
		return nil, errors.New("the fleet has no report of a registered licence")
	}
	for stage := range l.answers {
		l.answers[stage] = map[int]int{}
	}
	return l, nil
}

// report returns report n: the next one of its session.
func (l *outageLoad) report(n int) *client.Report {
	report := *l.bases[n%len(l.bases)] // its maps are shared, and only read
	report.ReportID = reportNumber(n)
	report.Sequence += int64(n / len(l.bases))
	return &report
}

// reportNumber returns an id that no other number has. Its first half, which breaks
// ties between equal sequences, is as good as random.
func reportNumber(n int) (id uuid.UUID) {
	const golden = 0x9e3779b97f4a7c15 // spreads small numbers over 64 bits (Knuth's multiplicative hash)
	binary.BigEndian.PutUint64(id[:8], (uint64(n)+1)*golden)
	binary.BigEndian.PutUint64(id[8:], uint64(n)+1)
	return id
}

// run sends until ctx ends; result and ended tell what came of it.
func (l *outageLoad) run(ctx context.Context, gateways []string, connections int) {
	addresses := make([]string, 0, len(gateways))
	for _, gateway := range gateways {
		addresses = append(addresses, hostOf(gateway))
	}
	var broken atomic.Pointer[error]
	l.started = time.Now()
	result, err := load.Run(ctx, load.Options{
		Addresses: addresses, Connections: connections, Rate: l.rate, Count: len(l.acked),
		Next: func(n int) []byte {
			body, err := client.Encode(l.report(n), client.Avro, client.Identity)
			if err != nil {
				broken.Store(&err)
			}
			return load.Prepare(addresses[0], client.ReportsPath, client.Avro, body)
		},
		OnAnswer: l.answered,
	})
	l.result = result
	if failed := broken.Load(); failed != nil {
		err = errors.Join(err, *failed)
	}
	l.ended <- err
}

func (l *outageLoad) answered(n, status int) {
	stage := l.stage.Load()
	if status == http.StatusAccepted {
		l.acked[n].Store(true)
		l.firstAck[stage].CompareAndSwap(0, time.Now().UnixNano())
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.answers[stage][status]++
}

func (l *outageLoad) enter(stage outageStage) { l.stage.Store(int32(stage)) }

// count returns how often a status was answered in some stages.
func (l *outageLoad) count(status int, stages ...outageStage) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	total := 0
	for _, stage := range stages {
		total += l.answers[stage][status]
	}
	return total
}

// others tells the answers that were neither 202 nor 503, by stage and status (0: the
// connection failed): there must be none.
func (l *outageLoad) others() (total int, told string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var parts []string
	for stage, answers := range l.answers {
		for _, status := range slices.Sorted(maps.Keys(answers)) {
			if status != http.StatusAccepted && status != http.StatusServiceUnavailable {
				total += answers[status]
				parts = append(parts, fmt.Sprintf("%d times %d in stage %d", answers[status], status, stage))
			}
		}
	}
	return total, strings.Join(parts, ", ")
}

// landed compares the acknowledged reports with the receipts, one by one.
func (l *outageLoad) landed(ctx context.Context, p *pipeline) (acknowledged, lost int, err error) {
	rows, err := p.conn.Query(ctx, "SELECT DISTINCT report_id FROM receipts WHERE end = 'landed'")
	if err != nil {
		return 0, 0, fmt.Errorf("read the receipts: %w", err)
	}
	defer rows.Close()
	landed := map[uuid.UUID]bool{}
	for rows.Next() {
		var id uuid.UUID
		if err := rows.Scan(&id); err != nil {
			return 0, 0, fmt.Errorf("read the receipts: %w", err)
		}
		landed[id] = true
	}
	if err := rows.Err(); err != nil {
		return 0, 0, fmt.Errorf("read the receipts: %w", err)
	}
	for n := range l.acked {
		if !l.acked[n].Load() {
			continue
		}
		acknowledged++
		if !landed[p.pseudonyms.Scoped(l.licences[n%len(l.licences)], pseudonym.Report, reportNumber(n))] {
			lost++
		}
	}
	return acknowledged, lost, nil
}
