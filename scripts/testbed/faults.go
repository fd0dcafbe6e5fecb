package testbed

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"rollcall/pkg/pause"
)

// FaultOptions say how processes are killed at random.
type FaultOptions struct {
	// Seed makes the choice of victims and pauses repeatable.
	Seed uint64
	// Kills is how often each process is killed; the run ends when all are through.
	Kills int
	// Pause lies between two kills: from half of it to one and a half.
	Pause time.Duration
	// Down is how long a victim stays dead: from nothing to twice as long.
	Down time.Duration
}

// Faults kills processes at random (SIGKILL) and starts them again, one at a time.
type Faults struct {
	processes []*Process
	options   FaultOptions

	mu    sync.Mutex
	kills map[string]int
}

// NewFaults returns the plan for the processes; Run carries it out.
func NewFaults(processes []*Process, o FaultOptions) *Faults {
	return &Faults{processes: processes, options: o, kills: map[string]int{}}
}

// Kills returns how often each process was killed so far, by name.
func (f *Faults) Kills() map[string]int {
	f.mu.Lock()
	defer f.mu.Unlock()
	kills := make(map[string]int, len(f.kills))
	for name, n := range f.kills {
		kills[name] = n
	}
	return kills
}

// Run kills each process as often as planned, in a shuffled order, and returns when
// the last one is ready again. Every victim is started again, at the end of ctx too.
func (f *Faults) Run(ctx context.Context) error {
	random := rand.New(rand.NewPCG(f.options.Seed, 0))
	var victims []*Process
	for range f.options.Kills {
		victims = append(victims, f.processes...)
	}
	random.Shuffle(len(victims), func(i, j int) { victims[i], victims[j] = victims[j], victims[i] })
	for _, victim := range victims {
		rest := f.options.Pause/2 + time.Duration(random.Float64()*float64(f.options.Pause))
		down := time.Duration(random.Float64() * 2 * float64(f.options.Down))
		if !pause.For(ctx, rest) {
			return fmt.Errorf("faults: %w", context.Cause(ctx))
		}
		victim.Kill()
		f.mu.Lock()
		f.kills[victim.Name()]++
		f.mu.Unlock()
		pause.For(ctx, down)
		// A cluster is left whole even where the time is up.
		if err := victim.Start(context.WithoutCancel(ctx)); err != nil {
			return fmt.Errorf("faults: start again after a kill: %w", err)
		}
	}
	return nil
}
