package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"rollcall/pkg/client"
	"rollcall/scripts/testbed/load"
)

// wire writes a request as it is, in pieces with pauses, and returns the answer as
// "413 too_large". Servers answer before they have read it all.
func (p *pipeline) wire(ctx context.Context, request []byte, piece int, pause time.Duration) (string, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", hostOf(p.cluster.Gateways()[0]))
	if err != nil {
		return "", fmt.Errorf("connect: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	written := make(chan struct{})
	go func() {
		defer close(written)
		for len(request) > 0 && ctx.Err() == nil {
			n := min(piece, len(request))
			if _, err := conn.Write(request[:n]); err != nil {
				return // the server has heard enough
			}
			request = request[n:]
			select {
			case <-ctx.Done():
			case <-time.After(pause):
			}
		}
	}()
	defer func() {
		cancel()
		conn.Close()
		<-written
	}()
	if err := conn.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		return "", err
	}
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return "", fmt.Errorf("read the answer: %w", err)
	}
	defer response.Body.Close()
	var problem client.Problem
	if err := json.NewDecoder(response.Body).Decode(&problem); err != nil {
		return "", fmt.Errorf("read the answer: %w", err)
	}
	return fmt.Sprintf("%d %s", response.StatusCode, problem.Reason), nil
}

// postAll sends the input's requests, many at a time, and counts their answers.
func (p *pipeline) postAll(ctx context.Context, input badInput, header http.Header) (map[string]int, error) {
	const atOnce = 16
	var (
		mu      sync.Mutex
		answers = map[string]int{}
		group   errgroup.Group
	)
	count := func(answer string) {
		mu.Lock()
		defer mu.Unlock()
		answers[strings.TrimSpace(answer)]++
	}
	group.SetLimit(atOnce)
	for _, request := range input.requests {
		group.Go(func() error {
			request.Header = header.Clone()
			answer, err := p.post(ctx, request)
			if err == nil {
				count(fmt.Sprintf("%d %s", answer.Status, answer.Problem.Reason))
			}
			return err
		})
	}
	for _, request := range input.raw {
		group.Go(func() error {
			answer, err := p.wire(ctx, request, 64<<10, 0)
			if err == nil {
				count(answer)
			}
			return err
		})
	}
	err := group.Wait()
	return answers, err
}

// slowBodies sends n bodies that take for ever, at once, and returns their answers
// and the longest time that one took.
func (p *pipeline) slowBodies(ctx context.Context, n int) (map[string]int, time.Duration, error) {
	head := "POST /v1/reports HTTP/1.1\r\nHost: x\r\nContent-Type: application/avro\r\nContent-Length: 100000\r\n\r\n"
	request := append([]byte(head), encoded(badReport("BAD-SLOW"))...)
	answers := make([]string, n)
	started := time.Now()
	var group errgroup.Group
	for i := range n {
		group.Go(func() (err error) {
			answers[i], err = p.wire(ctx, request, len(head)+1, time.Second/4)
			return err
		})
	}
	err := group.Wait()
	counts := map[string]int{}
	for _, answer := range answers {
		counts[answer]++
	}
	return counts, time.Since(started), err
}

// flood is what came of reports with invented licence keys.
type flood struct {
	result   *load.Result
	accepted int
	// reports of a known licence sent meanwhile, and those of them not taken.
	known, refused int
}

// inventKeys sends n reports, each with a licence key that nobody has, from a hundred
// networks, and reports of a known licence in between.
func (p *pipeline) inventKeys(ctx context.Context, n int, known func(context.Context) error) (*flood, error) {
	const connections, networks = 32, 100
	host := hostOf(p.cluster.Gateways()[0])
	f := &flood{}
	meanwhile, stop := context.WithCancel(ctx)
	var group errgroup.Group
	group.Go(func() error {
		for meanwhile.Err() == nil {
			f.known++
			if err := known(ctx); err != nil {
				f.refused++
			}
			select {
			case <-meanwhile.Done():
			case <-time.After(50 * time.Millisecond):
			}
		}
		return nil
	})
	var accepted atomic.Int64
	result, err := load.Run(ctx, load.Options{
		Addresses: []string{host}, Connections: connections, Count: n,
		Next: func(i int) []byte {
			r := badReport(fmt.Sprintf("INVENTED-%06d", i))
			return load.Prepare(host, client.ReportsPath, client.Avro, encoded(r), "X-Forwarded-For", fmt.Sprintf("198.18.%d.1", i%networks))
		},
		OnAnswer: func(_, status int) {
			if status == http.StatusAccepted {
				accepted.Add(1)
			}
		},
	})
	stop()
	f.result, f.accepted = result, int(accepted.Load())
	return f, errors.Join(err, group.Wait())
}

// goodReports are sent between the bad ones; each is a session of its own.
type goodReports struct {
	p    *pipeline
	sent []goodReport
}

type goodReport struct {
	session uuid.UUID
	steps   int64
}

const goodKey = "GOOD-0001"

// send posts one more, in another form each time; anything but 202 is an error.
func (g *goodReports) send(ctx context.Context) error {
	n := len(g.sent)
	r := dailyReport(goodKey)
	r.Counters["steps_executed"] = int64(n)*1000 + 7
	request := client.Request{
		ContentType:     []string{client.Avro, client.JSON}[n%2],
		ContentEncoding: []string{client.Identity, client.Gzip, client.Zstd}[n%3],
		Header:          from("192.0.2.1"),
	}
	var err error
	if request.Body, err = client.Encode(&r, request.ContentType, request.ContentEncoding); err != nil {
		return err
	}
	answer, err := g.p.post(ctx, request)
	if err != nil || answer.Outcome != client.Accepted {
		return fmt.Errorf("a good report was answered %d %s: %w", answer.Status, answer.Problem.Reason, err)
	}
	g.sent = append(g.sent, goodReport{r.SessionID, r.Counters["steps_executed"]})
	return nil
}
