package pause_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"rollcall/pkg/pause"
)

func TestFor(t *testing.T) {
	tests := map[string]struct {
		d, limit, took time.Duration
		whole          bool
	}{
		"the whole time":       {time.Second, time.Minute, time.Second, true},
		"until the end":        {time.Minute, time.Second, time.Second, false},
		"no time":              {0, time.Second, 0, true},
		"a time that has been": {-time.Hour, time.Second, 0, true},
		"no time, at the end":  {0, 0, 0, false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), test.limit)
				defer cancel()
				began := time.Now()
				if whole := pause.For(ctx, test.d); whole != test.whole {
					t.Errorf("whole: %t", whole)
				}
				if took := time.Since(began); took != test.took {
					t.Errorf("took %v, want %v", took, test.took)
				}
			})
		})
	}
}
