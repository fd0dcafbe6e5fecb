package main

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"time"
)

// onceMore is the transport of clients that repeat a failed request once, over a new
// connection: it failed where no answer came, or one of 5xx. It counts what its users saw.
type onceMore struct {
	kept, fresh *http.Transport

	mu sync.Mutex
	clientTally
}

func newOnceMore(connections int) *onceMore {
	return &onceMore{
		kept:  &http.Transport{MaxIdleConnsPerHost: connections, IdleConnTimeout: 30 * time.Second},
		fresh: &http.Transport{DisableKeepAlives: true},
	}
}

// RoundTrip implements http.RoundTripper.
func (o *onceMore) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := o.kept.RoundTrip(r)
	first := failure(response, err)
	o.count(first, "")
	if first == "" {
		return response, err
	}
	if response != nil {
		_, _ = io.Copy(io.Discard, response.Body) // its connection serves others
		response.Body.Close()
	}
	again := r.Clone(r.Context())
	if again.Body, err = r.GetBody(); err != nil {
		return nil, fmt.Errorf("repeat a request: %w", err)
	}
	response, err = o.fresh.RoundTrip(again)
	if second := failure(response, err); second != "" {
		o.count(first, second)
	}
	return response, err
}

// failure says what a client would call a failure of the server, or nothing.
func failure(response *http.Response, err error) string {
	switch {
	case err != nil:
		return err.Error()
	case response.StatusCode >= http.StatusInternalServerError:
		return response.Status
	}
	return ""
}

func (o *onceMore) count(first, second string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case second != "":
		if o.failed++; len(o.told) < 10 {
			o.told = append(o.told, fmt.Sprintf("%s: %s, then %s", time.Now().Format(time.TimeOnly), first, second))
		}
	case first != "":
		o.requests++
		o.repeated++
	default:
		o.requests++
	}
}

// clientTally is what clients have seen: requests, those that failed at first, those that
// failed again, and some of the latter in words.
type clientTally struct {
	requests, repeated, failed int
	told                       []string
}

func (o *onceMore) seen() clientTally {
	o.mu.Lock()
	defer o.mu.Unlock()
	seen := o.clientTally
	seen.told = slices.Clone(o.told)
	return seen
}

// close ends idle connections.
func (o *onceMore) close() { o.kept.CloseIdleConnections() }
