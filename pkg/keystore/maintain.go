package keystore

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"rollcall/pkg/retention"
)

// classes in the order in which their names sort.
var classes = []Class{Day, Identity, Opening, Pepper, Sealing}

// ahead is how many epochs beyond the present one are made: a writer that is down
// for a day stops nobody.
const ahead = 2

// MaintainOptions says what else Maintain should see to.
type MaintainOptions struct {
	// Since is the first day for which there must be keys: for reports received, or
	// simulated as received, before the keystore was made. Without it the first is
	// the earliest day that has a key, or else today. Keys past their lifetime are not made all the same.
	Since time.Time
}

// Report is what Maintain did.
type Report struct {
	Made, Destroyed []ID // each sorted by class and epoch
}

// Maintain makes every key that is missing (the pepper; day keys and the pairs of opening
// and sealing keys from Since to two days ahead, without a gap; identity keys of the
// same months, to two months ahead), destroys those past their lifetime, and removes what an interrupted run left unfinished.
// It never replaces a key. It is idempotent; of several at once, one works and the
// others wait. It makes the directory where there is none.
func Maintain(dir string, now time.Time, opts MaintainOptions) (Report, error) {
	w, err := openWriter(dir)
	if err != nil {
		return Report{}, err
	}
	defer w.close()
	var report Report
	if err := w.removeUnfinished(); err != nil {
		return report, err
	}
	entries, err := List(dir)
	if err != nil {
		return report, err
	}
	if err := checkPepper(dir, entries); err != nil {
		return report, err
	}
	for _, id := range wanted(now, firstDay(now, opts.Since, entries)) {
		made, err := w.make(id)
		if err != nil {
			return report, err
		}
		if made {
			report.Made = append(report.Made, id)
		}
	}
	for _, entry := range entries {
		if entry.Destroyed { // Destroy may have ended between its two steps
			if err := w.remove(Entry{ID: entry.ID}); err != nil {
				return report, err
			}
		}
		if entry.Due.IsZero() || now.Before(entry.Due) {
			continue
		}
		if err := w.remove(entry); err != nil {
			return report, err
		}
		if !entry.Destroyed {
			report.Destroyed = append(report.Destroyed, entry.ID)
		}
	}
	slices.SortFunc(report.Made, ID.less)
	return report, nil
}

// Destroy destroys one key before its time, and with an opening key its sealing
// key, to which nobody shall seal what nobody can open. It unlinks the file: what a disk keeps
// of it until the blocks are used again is beyond a program (overwriting in place
// means nothing on a journal, a copy-on-write file system or flash). Readers have
// it in memory for up to ten seconds more. A mark stays until the key would
// have been due, so that nobody waits for the key and none is made in its place.
// Destroying a key that is already destroyed is no error.
func Destroy(dir string, class Class, epoch string) error {
	id := ID{class, epoch}
	if _, _, err := Due(id); err != nil {
		return err
	}
	w, err := openWriter(dir)
	if err != nil {
		return err
	}
	defer w.close()
	if class == Opening {
		if err := w.destroy(ID{Sealing, epoch}); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return w.destroy(id)
}

func (w *writer) destroy(id ID) error {
	if _, err := os.Lstat(id.destroyedPath(w.dir)); err == nil {
		return w.remove(Entry{ID: id}) // an earlier Destroy may have ended between its two steps
	}
	if _, err := os.Lstat(id.path(w.dir)); err != nil {
		return fmt.Errorf("destroy key %s: %w", id, err)
	}
	// The mark first: between the two steps nobody may take the key for not yet made.
	if _, err := w.write(id, id.destroyedPath(w.dir), nil); err != nil {
		return fmt.Errorf("mark key %s as destroyed: %w", id, err)
	}
	return w.remove(Entry{ID: id})
}

// firstDay returns the earliest of now, since and the days that have keys: what was
// received while no writer ran still waits for the keys of its days.
func firstDay(now, since time.Time, entries []Entry) time.Time {
	first := now
	if !since.IsZero() && since.Before(first) {
		first = since
	}
	for _, entry := range entries {
		if day, err := time.Parse(dayLayout, entry.Epoch); entry.Class == Day && err == nil && day.Before(first) {
			first = day
		}
	}
	return first
}

// wanted returns the keys that must be there at that time.
func wanted(now, since time.Time) []ID {
	today := startOfDay(now)
	ids := []ID{{Pepper, PepperEpoch}}
	// Nothing before either start is still alive, however long ago since is.
	for day := latest(startOfDay(since), today.AddDate(0, 0, -retention.KeyDays-1)); !day.After(today.AddDate(0, 0, ahead)); day = day.AddDate(0, 0, 1) {
		// The private half first: nobody shall seal to a key that cannot be opened yet.
		ids = append(ids, ID{Day, DayEpoch(day)}, ID{Opening, DayEpoch(day)}, ID{Sealing, DayEpoch(day)})
	}
	for month := latest(startOfMonth(since), startOfMonth(now).AddDate(0, -identityMonths-1, 0)); !month.After(startOfMonth(now).AddDate(0, ahead, 0)); month = month.AddDate(0, 1, 0) {
		ids = append(ids, ID{Identity, MonthEpoch(month)})
	}
	return slices.DeleteFunc(ids, func(id ID) bool {
		due, ends, err := Due(id)
		return err == nil && ends && !now.Before(due)
	})
}

func startOfDay(t time.Time) time.Time {
	year, month, day := t.UTC().Date()
	return time.Date(year, month, day, 0, 0, 0, 0, time.UTC)
}

func startOfMonth(t time.Time) time.Time {
	year, month, _ := t.UTC().Date()
	return time.Date(year, month, 1, 0, 0, 0, 0, time.UTC)
}

func latest(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}

// writer is the one process that changes a directory.
type writer struct {
	dir  string
	lock *os.File
}

func openWriter(dir string) (*writer, error) {
	if err := os.MkdirAll(dir, dirMode); err != nil {
		return nil, fmt.Errorf("make keystore: %w", err)
	}
	if _, err := Open(dir); err != nil {
		return nil, err // no new key goes where others can read it
	}
	return lockFolder(dir)
}

// lockFolder waits until no other process writes in the directory.
func lockFolder(dir string) (*writer, error) {
	lock, err := os.OpenFile(filepath.Join(dir, ".lock"), os.O_CREATE|os.O_RDWR, fileMode)
	if err != nil {
		return nil, fmt.Errorf("lock keystore: %w", err)
	}
	// The lock ends with the descriptor, so a killed writer leaves none behind.
	for err = syscall.EINTR; errors.Is(err, syscall.EINTR); {
		err = syscall.Flock(int(lock.Fd()), syscall.LOCK_EX)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("lock keystore %s: %w", dir, err), lock.Close())
	}
	return &writer{dir: dir, lock: lock}, nil
}

func (w *writer) close() { _ = w.lock.Close() } // nothing was written to it

// removeUnfinished removes files that an interrupted writer did not get to name:
// nobody has used such a key.
func (w *writer) removeUnfinished() error {
	for _, class := range classes {
		paths, err := filepath.Glob(filepath.Join(w.dir, string(class), newPrefix+"*"))
		if err != nil {
			return fmt.Errorf("look for unfinished keys: %w", err)
		}
		for _, path := range paths {
			if err := os.Remove(path); err != nil {
				return fmt.Errorf("remove an unfinished key: %w", err)
			}
		}
	}
	return nil
}

// checkPepper refuses to make a new pepper where one must have been: every licence
// would get another pseudonym, and nothing would say so.
func checkPepper(dir string, entries []Entry) error {
	if len(entries) == 0 || slices.ContainsFunc(entries, func(e Entry) bool { return e.Class == Pepper && !e.Destroyed }) {
		return nil
	}
	pepper := ID{Pepper, PepperEpoch}
	return fmt.Errorf("keystore: %s is missing, but %d keys made beside it are there: restore it from where it is kept; a new one would give every licence another pseudonym. To start anew, with nothing left to join, use an empty directory",
		pepper.path(dir), len(entries))
}
