package anonymizer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"rollcall/pkg/fault"
	"rollcall/pkg/health"
	"rollcall/pkg/keystore"
	"rollcall/pkg/pseudonym"
)

const (
	keysCheck = "keys"
	// watchEvery is how often keys that were missing are looked for, and those of the
	// present day checked: often enough to be ready soon after the writer has run.
	watchEvery = 2 * time.Second
)

// Keystore gives out keys, and says of those that it does not give out whether they are there.
type Keystore interface {
	keystore.Keys
	// Check returns the error that asking for the key would.
	Check(class keystore.Class, epoch string) error
}

// keyring asks the keystore for keys and turns the process unready while one that
// is needed is not to be had.
type keyring struct {
	keys     Keystore
	checks   *health.Checks
	licences atomic.Pointer[pseudonym.Licences]

	mu      sync.Mutex
	missing map[keystore.ID]error
	failing atomic.Bool // missing is not empty: spares the lock while all is well
}

func newKeyring(keys Keystore, checks *health.Checks) *keyring {
	checks.Fail(keysCheck, "not looked at yet")
	return &keyring{keys: keys, checks: checks, missing: map[keystore.ID]error{}}
}

// key returns a key. An error that wraps keystore.ErrDestroyed is final; after any
// other the caller tries again.
func (k *keyring) key(id keystore.ID) ([]byte, error) {
	key, err := k.keys.Key(id.Class, id.Epoch)
	if err != nil && !errors.Is(err, keystore.ErrDestroyed) {
		k.note(id, err)
		return nil, fmt.Errorf("wait for a key: %w", err)
	}
	if k.failing.Load() {
		k.note(id, nil)
	}
	return key, err
}

// opened takes note of what opening a report said of the opening key of its day.
func (k *keyring) opened(receivedAt int64, err error) {
	waiting := fault.IsRetry(err)
	if !waiting && !k.failing.Load() {
		return
	}
	if !waiting {
		err = nil
	}
	k.note(keystore.ID{Class: keystore.Opening, Epoch: keystore.DayEpoch(time.UnixMilli(receivedAt))}, err)
}

// pseudonyms returns the pseudonyms under the pepper, which never changes.
func (k *keyring) pseudonyms() (*pseudonym.Licences, error) {
	if l := k.licences.Load(); l != nil {
		return l, nil
	}
	pepper, err := k.key(keystore.ID{Class: keystore.Pepper, Epoch: keystore.PepperEpoch})
	if errors.Is(err, keystore.ErrDestroyed) {
		return nil, fault.Fatal(fmt.Errorf("no pseudonym can be made any more: %w", err))
	}
	if err != nil {
		return nil, err
	}
	l := pseudonym.New(pepper)
	k.licences.Store(l)
	return l, nil
}

// note remembers whether a key is missing (err says why) and tells the checks.
func (k *keyring) note(id keystore.ID, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if err != nil {
		k.missing[id] = err
	} else {
		delete(k.missing, id)
	}
	k.failing.Store(len(k.missing) > 0)
	if len(k.missing) == 0 {
		k.checks.Pass(keysCheck)
		return
	}
	reasons := make([]string, 0, len(k.missing))
	for _, reason := range k.missing {
		reasons = append(reasons, reason.Error())
	}
	slices.Sort(reasons)
	k.checks.Fail(keysCheck, strings.Join(reasons, "; "))
}

// watch looks for the keys of the present day and for those that were missing,
// whose records another member of the group may have meanwhile.
func (k *keyring) watch(ctx context.Context) error {
	ticker := time.NewTicker(watchEvery)
	defer ticker.Stop()
	for {
		if err := k.look(time.Now()); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// look returns an error only where there is no point in going on.
func (k *keyring) look(now time.Time) error {
	ids := map[keystore.ID]bool{
		{Class: keystore.Day, Epoch: keystore.DayEpoch(now)}:        true,
		{Class: keystore.Opening, Epoch: keystore.DayEpoch(now)}:    true,
		{Class: keystore.Identity, Epoch: keystore.MonthEpoch(now)}: true,
	}
	k.mu.Lock()
	for id := range k.missing {
		ids[id] = true
	}
	k.mu.Unlock()
	if errors.Is(k.keys.Check(keystore.Pepper, keystore.PepperEpoch), keystore.ErrDestroyed) {
		k.licences.Store(nil) // pseudonyms looks again, and says that it is fatal
	}
	_, err := k.pseudonyms()
	if fatal := (*fault.FatalError)(nil); errors.As(err, &fatal) {
		return err
	}
	ready := err == nil
	for id := range ids {
		err := k.keys.Check(id.Class, id.Epoch)
		missing := err != nil && !errors.Is(err, keystore.ErrDestroyed)
		if missing {
			k.note(id, err)
		} else if k.failing.Load() {
			k.note(id, nil)
		}
		ready = ready && !missing
	}
	if ready {
		k.note(keystore.ID{}, nil) // passes the check where nothing else is missing
	}
	return nil
}
