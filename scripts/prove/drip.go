package main

import (
	"context"
	"errors"
	"os/exec"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"rollcall/pkg/fleet"
	"rollcall/scripts/testbed"
)

// drip spreads a fleet's deliveries over steps of unknown length: some come in every
// moment of each, whatever it takes, and the last ones after the last step.
type drip struct {
	deliveries, steps int
	begun             chan struct{} // closed: the first has passed
	finished          chan struct{} // closed: everything passes

	mu      sync.Mutex
	passed  int
	done    int // steps
	began   time.Time
	mean    time.Duration // of a step
	inSteps []int         // deliveries that passed in each
}

// dripGuess is how long the first step is taken to last.
const dripGuess = 4 * time.Second

func newDrip(deliveries, steps int) *drip {
	return &drip{
		deliveries: deliveries, steps: steps, begun: make(chan struct{}), finished: make(chan struct{}),
		began: time.Now(), mean: dripGuess, inSteps: make([]int, steps),
	}
}

// playDripping plays the plan at the pace of the steps, which begin with the first
// delivery. All licences are registered before: nothing interrupts the load.
func (p *pipeline) playDripping(ctx context.Context, plan *fleet.Plan, d *drip, tune func(*fleet.SenderConfig), steps func(context.Context) error) error {
	for _, phase := range []int{fleet.PhaseBefore, fleet.PhaseHalfway} {
		if err := p.register(ctx, plan, phase); err != nil {
			return err
		}
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		_, err := p.play(ctx, plan, func(c *fleet.SenderConfig) {
			c.Connections, c.OnPhase = 32, nil
			c.Progress = func(fleet.SenderCounts) { d.delivered(ctx) }
			if tune != nil {
				tune(c)
			}
		})
		return err
	})
	group.Go(func() error {
		select {
		case <-d.begun:
			return steps(ctx)
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	})
	return group.Wait()
}

// ended stops a process in order. clean says that it ended with status 0: one that could
// not commit its last offsets within its time, while its group was being parted anew on a
// machine that is too slow, says so and ends with 1; its work is done again by others.
func ended(ctx context.Context, process *testbed.Process) (clean bool, err error) {
	err = process.Stop(ctx)
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() == 1 {
		return false, nil
	}
	return err == nil, err
}

// mostly says that at most a tenth of so many stops was not clean.
func mostly(unclean, stops int) bool { return unclean*10 <= stops }

// step says that a step is over.
func (d *drip) step() {
	d.mu.Lock()
	defer d.mu.Unlock()
	took := time.Since(d.began)
	d.mean = (d.mean + took) / 2
	d.began = time.Now()
	if d.done++; d.done == d.steps {
		close(d.finished)
	}
}

// finish says that no further step comes: everything passes.
func (d *drip) finish() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.done < d.steps {
		d.steps, d.inSteps = d.done, d.inSteps[:d.done]
		close(d.finished)
	}
}

// least returns how many deliveries passed in the step with the fewest.
func (d *drip) least() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	least := d.passed
	for _, n := range d.inSteps {
		least = min(least, n)
	}
	return least
}

// delivered counts a delivery and holds its sender back while there were enough.
func (d *drip) delivered(ctx context.Context) {
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	for !d.pass() {
		select {
		case <-ctx.Done():
			return
		case <-d.finished:
			return
		case <-ticker.C:
		}
	}
}

// pass reports whether one more may be sent. A step's share flows evenly while it lasts
// as long as the ones before; were it ever over before its step, nothing would come.
func (d *drip) pass() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.done < d.steps {
		share := float64(time.Since(d.began)) / float64(d.mean)
		share /= 1 + share
		if float64(d.passed)*float64(d.steps+1) > float64(d.deliveries)*(float64(d.done)+share) {
			return false
		}
		d.inSteps[d.done]++
	}
	if d.passed++; d.passed == 1 {
		d.began = time.Now()
		close(d.begun)
	}
	return true
}
