// Package credentials reads certificates, authorities and passwords from files, and reads
// them anew once the files have changed: what was renewed is used without a restart.
package credentials

import (
	"crypto/sha256"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"
)

// lookAfter is how old the last look at files may be when what they hold is asked for. It
// bounds what a burst of handshakes costs; a mounted Secret takes a minute to change anyway.
const lookAfter = time.Second

// File is a file, and the setting that names it.
type File struct{ Setting, Path string }

// watched is what files hold. Where they hold nothing of use any more, or one is gone, the
// last good value stays: they may be in the middle of being replaced.
type watched[T any] struct {
	files  []File
	parse  func(contents [][]byte) (T, error)
	logger *slog.Logger

	mu      sync.Mutex
	value   T
	sum     [sha256.Size]byte // of the contents that value is made of
	looked  time.Time
	failing bool // and that has been logged
}

func watch[T any](logger *slog.Logger, parse func(contents [][]byte) (T, error), files ...File) (*watched[T], error) {
	w := &watched[T]{files: files, parse: parse, logger: logger}
	if _, err := w.look(); err != nil {
		return nil, err
	}
	return w, nil
}

// now returns what the files hold, as of the last second.
func (w *watched[T]) now() T {
	w.mu.Lock()
	defer w.mu.Unlock()
	if time.Since(w.looked) < lookAfter {
		return w.value
	}
	changed, err := w.look()
	switch {
	case err != nil && !w.failing:
		w.logger.Warn("a credential cannot be read anew; the last good one stays in use", "setting", w.files[0].Setting, "error", err)
	case changed:
		w.logger.Info("a credential was read anew", "setting", w.files[0].Setting)
	}
	w.failing = err != nil
	return w.value
}

// look reads the files and, where they have changed, what they hold. No error tells any of it.
func (w *watched[T]) look() (changed bool, err error) {
	w.looked = time.Now()
	contents := make([][]byte, len(w.files))
	all := sha256.New()
	for i, file := range w.files {
		if contents[i], err = os.ReadFile(file.Path); err != nil {
			return false, fmt.Errorf("read %s: %w", file.Setting, err)
		}
		one := sha256.Sum256(contents[i])
		all.Write(one[:])
	}
	sum := [sha256.Size]byte(all.Sum(nil))
	if sum == w.sum {
		return false, nil
	}
	value, err := w.parse(contents)
	if err != nil {
		return false, err
	}
	w.value, w.sum = value, sum
	return true, nil
}
