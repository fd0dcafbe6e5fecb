package gateway

import (
	"context"
	"time"
)

const (
	sealingCondition = "sealing"
	// sealingInterval is how often the gateway looks whether it can seal what comes:
	// often enough to be ready soon after the key is there.
	sealingInterval = time.Second
)

// checkSealing keeps the readiness condition: the sealing key of today is there.
func (s *Service) checkSealing() {
	if err := s.sealer.Ready(s.now()); err != nil {
		s.checks.Fail(sealingCondition, err.Error())
		return
	}
	s.checks.Pass(sealingCondition)
}

// watchSealing checks until ctx ends.
func (s *Service) watchSealing(ctx context.Context) {
	ticker := time.NewTicker(sealingInterval)
	defer ticker.Stop()
	for {
		s.checkSealing()
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}
