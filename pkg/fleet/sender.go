package fleet

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cenkalti/backoff/v5"
	"golang.org/x/sync/errgroup"
	"golang.org/x/time/rate"

	"rollcall/pkg/client"
)

// SenderConfig says how deliveries are played.
type SenderConfig struct {
	Gateways    []string // base URLs, used in turn; a request that fails goes to the next one
	Connections int      // requests at a time; 0: 32
	// Rate bounds the first attempts per second; 0: as fast as they are answered.
	Rate float64
	// Patience bounds how long one delivery is tried; 0: 5 minutes.
	Patience time.Duration
	// RetryAfterMost bounds how long an answer's Retry-After is obeyed; 0: 10 seconds.
	RetryAfterMost time.Duration
	// RequestTimeout bounds one request; 0: 30 seconds.
	RequestTimeout time.Duration
	// Transport makes the requests; nil: one that keeps connections.
	Transport http.RoundTripper
	// OnPhase, if not nil, is called before the first delivery of a phase, once
	// everything before it has its end: register the licences of that phase, and wait
	// until the pipeline knows them. An error ends Run.
	OnPhase func(ctx context.Context, phase int) error
	// Progress, if not nil, is called after each delivery that has its end, by many
	// goroutines at a time.
	Progress func(SenderCounts)
}

// SenderCounts says how far a sender has come.
type SenderCounts struct {
	Planned      int64 `json:"planned"`      // deliveries taken up
	Acknowledged int64 `json:"acknowledged"` // answered with 202
	Refused      int64 `json:"refused"`      // answered with a problem that no retry heals
	GivenUp      int64 `json:"given_up"`     // neither, within the patience
	Attempts     int64 `json:"attempts"`     // requests made
	Throttled    int64 `json:"throttled"`    // answered with 429
	Unavailable  int64 `json:"unavailable"`  // answered with 503
	Unanswered   int64 `json:"unanswered"`   // no answer: connection refused or broken, or out of time
}

// Sender plays deliveries against gateways, as the fleet's clients would: each is
// sent until it is acknowledged. Make it with NewSender; one Run at a time.
type Sender struct {
	config  SenderConfig
	client  client.Client
	limiter *rate.Limiter
	counts  struct {
		planned, acknowledged, refused, givenUp, attempts, throttled, unavailable, unanswered atomic.Int64
	}
	turn    atomic.Int64 // deliveries begin at the gateways in turn
	mu      sync.Mutex
	refusal string // the first
}

// NewSender returns a sender; the caller ends it with Close.
func NewSender(config SenderConfig) (*Sender, error) {
	if len(config.Gateways) == 0 {
		return nil, errors.New("sender: no gateway given")
	}
	orDefault(&config.Connections, 32)
	orDefault(&config.Patience, 5*time.Minute)
	orDefault(&config.RetryAfterMost, 10*time.Second)
	orDefault(&config.RequestTimeout, 30*time.Second)
	if config.Transport == nil {
		config.Transport = &http.Transport{MaxIdleConns: 0, MaxIdleConnsPerHost: config.Connections, IdleConnTimeout: 30 * time.Second}
	}
	limit := rate.Inf
	if config.Rate > 0 {
		limit = rate.Limit(config.Rate)
	}
	return &Sender{
		config:  config,
		limiter: rate.NewLimiter(limit, max(1, int(config.Rate/20))), // 50 ms' worth at once
		client: client.Client{HTTP: &http.Client{
			Timeout:   config.RequestTimeout,
			Transport: config.Transport,
			// A gateway never redirects; whatever does is not one.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		}},
	}, nil
}

func orDefault[T int | time.Duration](value *T, otherwise T) {
	if *value <= 0 {
		*value = otherwise
	}
}

// Close lets go of idle connections.
func (s *Sender) Close() { s.client.HTTP.CloseIdleConnections() }

// Counts returns how far it has come.
func (s *Sender) Counts() SenderCounts {
	c := &s.counts
	return SenderCounts{
		Planned: c.planned.Load(), Acknowledged: c.acknowledged.Load(), Refused: c.refused.Load(), GivenUp: c.givenUp.Load(),
		Attempts: c.attempts.Load(), Throttled: c.throttled.Load(), Unavailable: c.unavailable.Load(), Unanswered: c.unanswered.Load(),
	}
}

// Run sends every delivery, phase by phase, until each is acknowledged. It returns
// an error that says how many were not, or why it ended early.
func (s *Sender) Run(ctx context.Context, deliveries iter.Seq[Delivery]) error {
	next, stop := iter.Pull(deliveries)
	defer stop()
	delivery, more := next()
	phase := 0
	for more && ctx.Err() == nil {
		for phase < delivery.Phase { // also one without deliveries
			phase++
			if err := s.enter(ctx, phase); err != nil {
				return err
			}
		}
		workers, workCtx := errgroup.WithContext(ctx)
		queue := make(chan Delivery) // unbuffered: what a worker has not taken is not begun
		for range s.config.Connections {
			workers.Go(func() error { return s.work(workCtx, queue) })
		}
		for more && delivery.Phase == phase && workCtx.Err() == nil {
			select {
			case queue <- delivery:
				delivery, more = next()
			case <-workCtx.Done():
			}
		}
		close(queue)
		if err := workers.Wait(); err != nil {
			return fmt.Errorf("send deliveries: %w", err)
		}
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("send deliveries: %w", context.Cause(ctx))
	}
	return s.verdict()
}

func (s *Sender) enter(ctx context.Context, phase int) error {
	if s.config.OnPhase == nil {
		return nil
	}
	if err := s.config.OnPhase(ctx, phase); err != nil {
		return fmt.Errorf("enter phase %d of the fleet: %w", phase, err)
	}
	return nil
}

func (s *Sender) verdict() error {
	c := s.Counts()
	if c.Acknowledged == c.Planned {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return fmt.Errorf("%d of %d deliveries not acknowledged: %d refused (first: %s), %d given up",
		c.Planned-c.Acknowledged, c.Planned, c.Refused, s.refusal, c.GivenUp)
}

func (s *Sender) work(ctx context.Context, queue <-chan Delivery) error {
	for d := range queue {
		if err := s.limiter.Wait(ctx); err != nil {
			return err
		}
		s.counts.planned.Add(1)
		if err := s.deliver(ctx, d); err != nil {
			return err
		}
		if s.config.Progress != nil {
			s.config.Progress(s.Counts())
		}
	}
	return nil
}

// errRefused ends the attempts of a delivery that no retry heals.
var errRefused = errors.New("refused")

// deliver sends one delivery until it has its end. An error ends the whole run.
func (s *Sender) deliver(ctx context.Context, d Delivery) error {
	request, err := d.Request("")
	if err != nil {
		return err
	}
	gateway := int(s.turn.Add(1) - 1)
	pauses := backoff.NewExponentialBackOff()
	pauses.InitialInterval, pauses.MaxInterval = 20*time.Millisecond, 2*time.Second
	_, err = backoff.Retry(ctx, func() (struct{}, error) {
		request.Gateway = s.config.Gateways[gateway%len(s.config.Gateways)]
		again, err := s.attempt(ctx, request)
		if !again {
			gateway++
		}
		return struct{}{}, err
	},
		backoff.WithBackOff(pauses), backoff.WithMaxElapsedTime(s.config.Patience))
	switch {
	case err == nil:
		s.counts.acknowledged.Add(1)
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.Is(err, errRefused):
		s.counts.refused.Add(1)
	default:
		s.counts.givenUp.Add(1)
	}
	return nil
}

// attempt makes one request. again says that the next attempt, if any, belongs to
// the same gateway; otherwise another may do better.
func (s *Sender) attempt(ctx context.Context, request client.Request) (again bool, err error) {
	s.counts.attempts.Add(1)
	answer, err := s.client.Send(ctx, request)
	if err != nil {
		s.counts.unanswered.Add(1)
		return false, err
	}
	switch answer.Outcome {
	case client.Accepted:
		return true, nil
	case client.Drop:
		s.mu.Lock()
		if s.refusal == "" {
			s.refusal = fmt.Sprintf("%d %s %s", answer.Status, answer.Problem.Reason, answer.Problem.Field)
		}
		s.mu.Unlock()
		return true, backoff.Permanent(errRefused)
	case client.Retry:
	}
	switch answer.Status {
	case http.StatusTooManyRequests:
		s.counts.throttled.Add(1)
		again = true
	case http.StatusServiceUnavailable:
		s.counts.unavailable.Add(1)
	}
	if answer.RetryAfter > 0 {
		return again, &backoff.RetryAfterError{Duration: min(answer.RetryAfter, s.config.RetryAfterMost)}
	}
	return again, fmt.Errorf("answered with status %d", answer.Status)
}
