package fleet

import (
	"encoding/binary"
	"hash/fnv"
	"math"
	"math/rand/v2"

	"github.com/google/uuid"
)

// Streams of random numbers, so that drawing more from one changes no other.
const (
	streamLicence = iota + 1
	streamHost
	streamInstallation
	streamSession
	streamFeature
	streamGauge
	streamNetwork
	streamIdentity
)

// mixed folds the parts into one well-spread number (the finaliser of SplitMix64,
// Steele, Lea and Flood 2014).
func mixed(parts ...uint64) uint64 {
	h := uint64(0x9e3779b97f4a7c15)
	for _, part := range parts {
		h += part + 0x9e3779b97f4a7c15
		h = (h ^ (h >> 30)) * 0xbf58476d1ce4e5b9
		h = (h ^ (h >> 27)) * 0x94d049bb133111eb
		h ^= h >> 31
	}
	return h
}

func stream(parts ...uint64) *rand.Rand {
	h := mixed(parts...)
	return rand.New(rand.NewPCG(h, mixed(h)))
}

// share returns a number in [0, 1) that is fixed for its parts.
func share(parts ...uint64) float64 { return float64(mixed(parts...)>>11) / (1 << 53) }

// textPart makes a text a part.
func textPart(s string) uint64 {
	h := fnv.New64a()
	h.Write([]byte(s))
	return h.Sum64()
}

// identifier returns a version 4 UUID that is fixed for its parts.
func identifier(parts ...uint64) uuid.UUID {
	var id uuid.UUID
	h := mixed(parts...)
	binary.BigEndian.PutUint64(id[:8], h)
	binary.BigEndian.PutUint64(id[8:], mixed(h, streamIdentity))
	id[6] = id[6]&0x0f | 0x40
	id[8] = id[8]&0x3f | 0x80
	return id
}

// between returns a number in [low, high).
func between(r *rand.Rand, low, high int64) int64 {
	if high <= low {
		return low
	}
	return low + r.Int64N(high-low)
}

// chance is true with probability p.
func chance(r *rand.Rand, p float64) bool { return r.Float64() < p }

// exponential returns a waiting time with that mean.
func exponential(r *rand.Rand, mean int64) int64 { return int64(r.ExpFloat64() * float64(mean)) }

// logNormal returns a factor around 1: most within a third and three times.
func logNormal(r *rand.Rand, sigma float64) float64 { return math.Exp(r.NormFloat64() * sigma) }

func pick[T any](r *rand.Rand, from []T) T { return from[r.IntN(len(from))] }
