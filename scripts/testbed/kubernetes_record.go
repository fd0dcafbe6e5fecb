package testbed

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
)

// APIAnswer is what the API answered to a request.
type APIAnswer struct {
	Agent, Method, Path string
	Status              int
	// Warnings are the texts of the answer's headers Warning.
	Warnings []string
}

// APIRecorder stands before an API server and keeps what it answers to every client that
// comes through it, whatever that client shows of warnings. It is safe for concurrent use.
type APIRecorder struct {
	server *http.Server
	url    string
	served chan error

	mu      sync.Mutex
	answers []APIAnswer
}

// StartAPIRecorder listens on loopback, with the certificate and key in the file, and
// passes everything on to the API server, which authority vouches for.
func StartAPIRecorder(api string, authority *x509.CertPool, certificate string) (*APIRecorder, error) {
	target, err := url.Parse(api)
	if err != nil {
		return nil, fmt.Errorf("record an API: %w", err)
	}
	listener, err := net.Listen("tcp", loopback(0))
	if err != nil {
		return nil, fmt.Errorf("record an API: %w", err)
	}
	r := &APIRecorder{url: "https://" + listener.Addr().String(), served: make(chan error, 1)} // room for the only result
	proxy := &httputil.ReverseProxy{
		Rewrite:        func(request *httputil.ProxyRequest) { request.SetURL(target) },
		Transport:      &http.Transport{ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{RootCAs: authority}},
		FlushInterval:  -1, // watches are told of each event at once
		ModifyResponse: r.keep,
		ErrorHandler:   func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) },
	}
	r.server = &http.Server{Handler: proxy, ReadHeaderTimeout: 10 * time.Second}
	go func() { r.served <- r.server.ServeTLS(listener, certificate, certificate) }()
	return r, nil
}

// URL returns where clients reach the API through the recorder.
func (r *APIRecorder) URL() string { return r.url }

func (r *APIRecorder) keep(response *http.Response) error {
	answer := APIAnswer{
		Agent: response.Request.UserAgent(), Method: response.Request.Method, Path: response.Request.URL.Path, Status: response.StatusCode,
	}
	for _, header := range response.Header.Values("Warning") {
		answer.Warnings = append(answer.Warnings, warningText(header))
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answers = append(r.answers, answer)
	return nil
}

// warningText returns the text of a header as Kubernetes writes it: 299 - "text". One
// that is written otherwise is returned whole: it is no less a warning.
func warningText(header string) string {
	_, quoted, found := strings.Cut(header, ` "`)
	if !found {
		return header
	}
	return strings.TrimSuffix(strings.TrimSpace(quoted), `"`)
}

// Answers returns what was answered so far, in order.
func (r *APIRecorder) Answers() []APIAnswer {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.answers)
}

// Close ends the listener and all connections.
func (r *APIRecorder) Close() error {
	err := r.server.Close()
	ctx, cancel := context.WithTimeout(context.Background(), probeLimit)
	defer cancel()
	select {
	case served := <-r.served:
		if !errors.Is(served, http.ErrServerClosed) {
			err = errors.Join(err, served)
		}
	case <-ctx.Done():
	}
	return err
}
