// Package gateway takes reports over HTTP, checks that they are whole, closes them
// in an envelope and answers 202 only once the broker holds them.
package gateway

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/errgroup"

	"rollcall/pkg/credentials"
	"rollcall/pkg/envelope"
	"rollcall/pkg/harden"
	"rollcall/pkg/health"
	"rollcall/pkg/inflate"
	"rollcall/pkg/limit"
	"rollcall/pkg/pause"
	"rollcall/pkg/report"
	"rollcall/pkg/telemetry"
	catalogue "rollcall/schemas/metrics"
)

// Service is a gateway. It serves one Run.
type Service struct {
	cfg           Config
	tel           telemetry.Telemetry
	checks        *health.Checks
	sealer        envelope.Sealer
	now           func() time.Time
	trusted       []netip.Prefix
	networks      *limit.Networks
	unknownSchema *limit.Networks // in bytes
	licences      *limit.Newcomers
	budget        *limit.Budget
	bodies        *inflate.Reader
	deprecations  deprecations
	broker        *broker
	exchanges     sync.Pool // *exchange
	instruments   *instruments
	tlsConfig     *tls.Config // nil: plain HTTP
	listener      net.Listener
	stopping      atomic.Bool // connections end with their next answer
}

// New makes a gateway that produces with producer, a client made with
// ProducerOptions, which stays the caller's to close.
func New(cfg Config, producer *kgo.Client, sealer envelope.Sealer, checks *health.Checks, tel telemetry.Telemetry) (*Service, error) {
	if err := errors.Join(cfg.Validate(), cfg.Topics.Validate()); err != nil {
		return nil, err
	}
	s := &Service{
		cfg: cfg, tel: tel, checks: checks, sealer: sealer, now: time.Now,
		licences: limit.NewNewcomers(cfg.NewLicenceRate, cfg.NewLicenceBurst, cfg.LicenceTableSize),
		budget:   limit.NewBudget(cfg.MaxInFlightBytes),
	}
	metrics := cfg.Catalogue
	if metrics == nil {
		metrics = catalogue.Embedded()
	}
	s.deprecations = newDeprecations(metrics)
	s.broker = &broker{client: producer, timeout: cfg.AckTimeout, topics: cfg.Topics, now: s.now}
	s.exchanges.New = func() any { return s.newExchange() }
	checks.Fail(conditionName, "not asked yet")
	checks.Fail(conditionDurability, "not asked yet")
	s.checkSealing()
	scheme := "http"
	if cfg.TLSCertFile != "" {
		certificate, err := credentials.ReadPair(credentials.File{Setting: "gateway.tls_cert_file", Path: cfg.TLSCertFile},
			credentials.File{Setting: "gateway.tls_key_file", Path: cfg.TLSKeyFile}, tel.Logger)
		if err != nil {
			return nil, fmt.Errorf("gateway: load the TLS certificate: %w", err)
		}
		if _, err := certificate.Observe(tel.Meter, "gateway"); err != nil {
			return nil, fmt.Errorf("make the gateway: %w", err)
		}
		scheme, s.tlsConfig = "https", &tls.Config{GetCertificate: certificate.GetCertificate, MinVersion: tls.VersionTLS12}
	}
	var errs [5]error
	s.trusted, errs[0] = parsePrefixes(cfg.TrustedProxies)
	s.networks, errs[1] = limit.NewNetworks(cfg.NetworkRate, cfg.NetworkBurst, cfg.NetworkTableSize)
	s.unknownSchema, errs[2] = limit.NewNetworks(cfg.UnknownSchemaBytesPerSecond, cfg.UnknownSchemaBurstBytes, cfg.NetworkTableSize)
	s.bodies, errs[3] = inflate.NewReader(s.budget, report.MaxBytes)
	s.instruments, errs[4] = newInstruments(tel, scheme, s.budget)
	if err := errors.Join(errs[:]...); err != nil {
		return nil, fmt.Errorf("make the gateway: %w", err)
	}
	return s, nil
}

// Listen opens the listener, so that Addr is known before Run.
func (s *Service) Listen() error {
	listener, err := listen(s.cfg.Listen, s.cfg.MaxConnections)
	if err != nil {
		return err
	}
	s.listener = listener
	return nil
}

// Addr is the listener's address, nil before Listen.
func (s *Service) Addr() net.Addr {
	if s.listener == nil {
		return nil
	}
	return s.listener.Addr()
}

// Run serves until ctx ends. Then it is unready and serves on for the shutdown delay,
// ending each connection with its next answer; after that it takes no more connections,
// finishes the requests in flight, and returns nil. It returns an error where that takes
// longer than the drain timeout, or where serving fails.
func (s *Service) Run(ctx context.Context) error {
	if s.listener == nil {
		if err := s.Listen(); err != nil {
			return err
		}
	}
	server := s.server()
	asked := ctx
	group, ctx := errgroup.WithContext(ctx)
	group.Go(harden.Guard(func() error {
		listener := s.listener
		if s.tlsConfig != nil {
			listener = tls.NewListener(listener, s.tlsConfig)
		}
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("gateway: serve: %w", err)
		}
		return nil
	}))
	group.Go(harden.Guard(func() error {
		s.broker.watch(ctx, s.checks)
		return nil
	}))
	group.Go(harden.Guard(func() error {
		s.watchSealing(ctx)
		return nil
	}))
	group.Go(harden.Guard(func() error {
		s.expire(ctx)
		return nil
	}))
	group.Go(harden.Guard(func() error {
		<-ctx.Done()
		s.stopping.Store(true)
		s.checks.Fail("gateway", "stopping")
		if asked.Err() != nil { // else serving has failed: nobody is served any more
			pause.For(context.WithoutCancel(ctx), s.cfg.ShutdownDelay)
		}
		return s.drain(context.WithoutCancel(ctx), server)
	}))
	return group.Wait()
}

func (s *Service) server() *http.Server {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true) // what clients and proxies speak; one more protocol is one more surface
	return &http.Server{
		Handler:           s,
		Protocols:         protocols,
		ReadHeaderTimeout: s.cfg.HeaderTimeout,
		// Bounds what the server itself reads: the rest of a body that was refused.
		ReadTimeout: s.cfg.HeaderTimeout + s.cfg.BodyTimeout,
		// From the end of the header: reading the body, the acknowledgement, and time
		// for a slow client to take an answer of some hundred bytes.
		WriteTimeout:   s.cfg.BodyTimeout + s.cfg.AckTimeout + s.cfg.HeaderTimeout,
		IdleTimeout:    s.cfg.IdleTimeout,
		MaxHeaderBytes: s.cfg.MaxHeaderBytes,
		ErrorLog:       harden.ErrorLog(s.tel.Logger),
		// OPTIONS * is answered like everything else that is not the endpoint.
		DisableGeneralOptionsHandler: true,
	}
}

func (s *Service) drain(ctx context.Context, server *http.Server) error {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.DrainTimeout)
	defer cancel()
	if err := server.Shutdown(ctx); err != nil {
		return errors.Join(fmt.Errorf("gateway: finish the requests in flight: %w", err), server.Close())
	}
	// The producer is not flushed: what it still holds was answered with 503, and
	// its client sends it again.
	return nil
}

// expire drops limiters that have nothing to remember, until ctx ends.
func (s *Service) expire(ctx context.Context) {
	ticker := time.NewTicker(time.Minute)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			s.networks.Expire(s.now())
			s.unknownSchema.Expire(s.now())
		}
	}
}
