package enricher

import (
	"math/big"
	"testing"

	"go.opentelemetry.io/otel/metric"

	"rollcall/pkg/telemetry"
)

func noopCounter(t testing.TB) metric.Int64Counter {
	t.Helper()
	counter, err := telemetry.Discard().Meter.Int64Counter("judged")
	if err != nil {
		t.Fatal(err)
	}
	return counter
}

// bigInt is a product that cannot overflow.
type bigInt struct{ big.Int }

func (b *bigInt) mul(x, y int64) *bigInt {
	b.Mul(big.NewInt(x), big.NewInt(y))
	return b
}

func (b *bigInt) less(than int64) bool { return b.Cmp(big.NewInt(than)) < 0 }
