package load

import (
	"context"
	"io"
	"math"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync/atomic"
	"testing"
	"time"
)

func TestQuantilesAreWithinTwoPercent(t *testing.T) {
	var h Histogram
	rng := rand.New(rand.NewPCG(1, 2))
	var all []time.Duration
	for range 20000 {
		d := time.Duration(math.Exp(rng.Float64()*16)) + 1
		all = append(all, d)
		h.Add(d)
	}
	slices.Sort(all)
	for _, q := range []float64{0, 0.5, 0.9, 0.99, 1} {
		want := all[int(q*float64(len(all)-1))]
		if got := h.Quantile(q); float64(got) < float64(want) || float64(got) > float64(want)*1.02+1 {
			t.Errorf("quantile %v: got %d, want %d", q, got, want)
		}
	}
}

func TestRunCountsEveryAnswer(t *testing.T) {
	var served atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil || string(body) != "body" {
			t.Errorf("body %q, %v", body, err)
		}
		n := served.Add(1)
		switch n % 3 {
		case 0:
			if n%2 == 0 {
				w.Header().Set("Retry-After", "5")
			}
			w.WriteHeader(http.StatusServiceUnavailable)
		case 1:
			w.Header().Set("Connection", "close")
			w.WriteHeader(http.StatusAccepted)
		default:
			w.WriteHeader(http.StatusAccepted)
		}
	}))
	defer server.Close()
	address := server.Listener.Addr().(*net.TCPAddr).String()
	request := Prepare(address, "/v1/reports", "application/avro", []byte("body"), "X-Test", "1")
	result, err := Run(context.Background(), Options{
		Addresses: []string{address}, Connections: 4, Count: 300,
		Next: func(int) []byte { return request },
	})
	if err != nil {
		t.Fatal(err)
	}
	if result.Unhinted != 50 {
		t.Errorf("%d answers counted as without Retry-After, not 50", result.Unhinted)
	}
	if result.Sent != 300 || result.ByStatus[202] != 200 || result.ByStatus[503] != 100 || result.Latency.Count() != 200 {
		t.Errorf("got %d sent, %v, %d latencies", result.Sent, result.ByStatus, result.Latency.Count())
	}
}

func TestRunRefusesWhatIsNotLoopback(t *testing.T) {
	for _, address := range []string{"192.0.2.1:80", "example.org:80", "nonsense"} {
		if _, err := Run(context.Background(), Options{Addresses: []string{address}, Count: 1}); err == nil {
			t.Errorf("%s was accepted", address)
		}
	}
	if _, err := Run(context.Background(), Options{Addresses: []string{"127.0.0.1:1"}}); err == nil {
		t.Error("an unbounded run was accepted")
	}
}
