package limit

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"hash"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Newcomers limits the licence keys that this process has not seen, all of them
// together: whoever invents keys shares one rate with every other inventor, and
// keys that have reported before pass untouched. Keys are remembered as hashes
// under a random key of the process, in two generations of a fixed size: the older
// one goes when the younger one is full.
type Newcomers struct {
	size    int // of a generation
	limiter *rate.Limiter
	macs    sync.Pool // hash.Hash

	mu             sync.Mutex
	younger, older map[keyHash]struct{}
}

type keyHash [16]byte

// NewNewcomers returns a limit of perSecond and burst for all unseen keys together,
// and remembers up to size keys.
func NewNewcomers(perSecond float64, burst, size int) *Newcomers {
	key := make([]byte, sha256.Size)
	_, _ = rand.Read(key) // never fails: crypto/rand ends the process instead
	return &Newcomers{
		size:    max(1, size/2),
		limiter: rate.NewLimiter(rate.Limit(perSecond), burst),
		macs:    sync.Pool{New: func() any { return hmac.New(sha256.New, key) }},
		younger: map[keyHash]struct{}{},
	}
}

// Take lets a licence key pass that was seen before or finds room in the rate of
// new ones, or says how long to wait.
func (l *Newcomers) Take(now time.Time, licenceKey []byte) (wait time.Duration, ok bool) {
	key := l.hash(licenceKey)
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, seen := l.younger[key]; seen {
		return 0, true
	}
	if _, seen := l.older[key]; !seen && !l.limiter.AllowN(now, 1) {
		return seconds(1 / float64(l.limiter.Limit())), false
	}
	if len(l.younger) >= l.size {
		l.younger, l.older = make(map[keyHash]struct{}), l.younger
	}
	l.younger[key] = struct{}{}
	return 0, true
}

func (l *Newcomers) hash(licenceKey []byte) keyHash {
	mac, _ := l.macs.Get().(hash.Hash)
	defer l.macs.Put(mac)
	mac.Reset()
	_, _ = mac.Write(licenceKey) // a hash never fails
	var sum [sha256.Size]byte
	return keyHash(mac.Sum(sum[:0])[:len(keyHash{})])
}

// Len returns how many keys are remembered.
func (l *Newcomers) Len() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.younger) + len(l.older)
}
