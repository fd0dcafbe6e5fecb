// Package load sends prepared HTTP requests to servers on this machine, cheaply
// enough not to drown what it measures, bounded in count and time.
package load

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"rollcall/pkg/pause"
)

// Options of one run. Count or Duration must be set, whichever is reached first ends it.
type Options struct {
	Addresses   []string // host:port of the servers, connections spread over them; loopback only
	Connections int      // kept-alive connections, one request in flight on each
	Rate        float64  // requests per second over all connections, open loop; 0: as fast as answers come
	Count       int      // requests at most; 0: no bound
	Duration    time.Duration
	// Next returns request n, whole as it goes over the wire (see Prepare). It is
	// called concurrently and the bytes are not changed.
	Next func(n int) []byte
	// OnAnswer is told the status of request n, 0 where the connection failed. May be nil.
	OnAnswer func(n, status int)
	// Timeout of one request, 30 s by default.
	Timeout time.Duration
}

// Result of a run. Latencies count from the moment a request was due, so a server
// that stalls is charged for those that had to wait.
type Result struct {
	Sent     int
	ByStatus map[int]int // 0: the connection failed
	Unhinted int         // answers 429 and 503 that did not say Retry-After
	Latency  Histogram   // of requests answered 2xx
	Elapsed  time.Duration
}

// dialLimit lets a connection be asked for three times: where thousands are opened at
// once, a full queue drops some, and the kernel asks again after 1 s and 3 s. A
// server that is gone refuses at once.
const dialLimit = 5 * time.Second

// Prepare renders a POST of body as it goes over the wire. Headers are name, value pairs.
func Prepare(host, path, contentType string, body []byte, headers ...string) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "POST %s HTTP/1.1\r\nHost: %s\r\nContent-Type: %s\r\nContent-Length: %d\r\n", path, host, contentType, len(body))
	for i := 0; i+1 < len(headers); i += 2 {
		fmt.Fprintf(&b, "%s: %s\r\n", headers[i], headers[i+1])
	}
	b.WriteString("\r\n")
	b.Write(body)
	return b.Bytes()
}

// Run plays the load and returns what came of it. It ends early with ctx.
func Run(ctx context.Context, o Options) (*Result, error) {
	if o.Count <= 0 && o.Duration <= 0 {
		return nil, errors.New("load: neither count nor duration bounds the run")
	}
	if err := loopbackOnly(o.Addresses); err != nil {
		return nil, err
	}
	if o.Timeout == 0 {
		o.Timeout = 30 * time.Second
	}
	if o.Duration > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, o.Duration)
		defer cancel()
	}
	run := &run{Options: o, started: time.Now(), result: Result{ByStatus: map[int]int{}}}
	var group errgroup.Group
	for c := range max(1, o.Connections) {
		group.Go(func() error { run.connection(ctx, o.Addresses[c%len(o.Addresses)]); return nil })
	}
	_ = group.Wait() // its members return no error
	run.result.Elapsed = time.Since(run.started)
	return &run.result, nil
}

func loopbackOnly(addresses []string) error {
	if len(addresses) == 0 {
		return errors.New("load: no address")
	}
	for _, address := range addresses {
		host, _, err := net.SplitHostPort(address)
		if err != nil {
			return fmt.Errorf("load: %w", err)
		}
		if ip := net.ParseIP(host); ip == nil || !ip.IsLoopback() {
			return fmt.Errorf("load: %s is not a loopback address", host)
		}
	}
	return nil
}

type run struct {
	Options
	started time.Time
	next    atomic.Int64

	mu     sync.Mutex
	result Result
}

// connection sends requests one after another until the run ends, dialling again
// after a failure.
func (r *run) connection(ctx context.Context, address string) {
	var (
		conn   net.Conn
		reader *bufio.Reader
		local  = Result{ByStatus: map[int]int{}}
	)
	defer func() {
		if conn != nil {
			conn.Close()
		}
		r.merge(&local)
	}()
	for ctx.Err() == nil {
		n := int(r.next.Add(1) - 1)
		if r.Count > 0 && n >= r.Count {
			return
		}
		due, ok := r.wait(ctx, n)
		if !ok {
			return
		}
		status, hinted, err := 0, false, error(nil)
		if conn == nil {
			if conn, err = net.DialTimeout("tcp", address, dialLimit); err == nil {
				reader = bufio.NewReaderSize(conn, 2048)
			}
		}
		if err == nil {
			status, hinted, err = exchange(conn, reader, r.Next(n), r.Timeout)
		}
		if err != nil {
			if conn != nil {
				conn.Close()
				conn = nil
			}
			pause.For(ctx, 10*time.Millisecond) // a server that is gone must not make this loop spin
		}
		local.Sent++
		local.ByStatus[status]++
		if (status == 429 || status == 503) && !hinted {
			local.Unhinted++
		}
		if status/100 == 2 {
			local.Latency.Add(time.Since(due))
		}
		if r.OnAnswer != nil {
			r.OnAnswer(n, status)
		}
	}
}

// wait returns when request n is due.
func (r *run) wait(ctx context.Context, n int) (due time.Time, ok bool) {
	if r.Rate <= 0 {
		return time.Now(), true
	}
	due = r.started.Add(time.Duration(float64(n) / r.Rate * float64(time.Second)))
	return due, pause.For(ctx, time.Until(due))
}

func (r *run) merge(local *Result) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.result.Sent += local.Sent
	for status, n := range local.ByStatus {
		r.result.ByStatus[status] += n
	}
	r.result.Unhinted += local.Unhinted
	r.result.Latency.Merge(&local.Latency)
}

// exchange writes a request and reads its answer to the end; the server must keep
// the connection and send a Content-Length. hinted says that it has a Retry-After.
func exchange(conn net.Conn, reader *bufio.Reader, request []byte, timeout time.Duration) (status int, hinted bool, err error) {
	if err := conn.SetDeadline(time.Now().Add(timeout)); err != nil {
		return 0, false, err
	}
	if _, err := conn.Write(request); err != nil {
		return 0, false, err
	}
	line, err := reader.ReadSlice('\n')
	if err != nil {
		return 0, false, err
	}
	if len(line) < 12 {
		return 0, false, errors.New("load: short status line")
	}
	if status, err = strconv.Atoi(string(line[9:12])); err != nil {
		return 0, false, err
	}
	length, closing := 0, false
	for {
		line, err := reader.ReadSlice('\n')
		if err != nil {
			return 0, false, err
		}
		line = bytes.TrimRight(line, "\r\n")
		if len(line) == 0 {
			break
		}
		name, value, _ := bytes.Cut(line, []byte(":"))
		switch {
		case bytes.EqualFold(name, []byte("Retry-After")):
			hinted = true
		case bytes.EqualFold(name, []byte("Content-Length")):
			if length, err = strconv.Atoi(string(bytes.TrimSpace(value))); err != nil {
				return 0, false, err
			}
		case bytes.EqualFold(name, []byte("Connection")) && bytes.EqualFold(bytes.TrimSpace(value), []byte("close")):
			closing = true
		}
	}
	if _, err := io.CopyN(io.Discard, reader, int64(length)); err != nil {
		return 0, false, err
	}
	if closing {
		return status, hinted, errClosing
	}
	return status, hinted, nil
}

// errClosing makes the caller dial again; the answer before it counts.
var errClosing = errors.New("load: the server closes the connection")
