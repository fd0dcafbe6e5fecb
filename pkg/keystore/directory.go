package keystore

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

const (
	// missingFor is how long a key that was not there is believed to be missing, so
	// that a retry loop does not turn into a loop over the file system.
	missingFor = time.Second
	// trustedFor is how long a key in memory is used before its file is looked at
	// again: a destroyed key is out of every reader's memory after this time.
	trustedFor = 10 * time.Second
)

// Directory reads keys from a directory and remembers them. It is safe for
// concurrent use.
type Directory struct {
	dir  string
	mu   sync.RWMutex
	keys map[ID]cached
}

type cached struct {
	key   []byte
	err   error     // why there is no key
	until time.Time // when the file is to be looked at again
	due   time.Time // when the key's lifetime ends; zero: never
}

// Open returns the keys of a directory. It refuses a directory, or a file in it,
// that anyone but its owner may use, and says which; what is public may be read.
func Open(dir string) (*Directory, error) {
	public, err := publicOnly(dir)
	if err == nil {
		err = checkFolder(dir, public)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("open keystore: %w (make its keys with: rollcall keys maintain)", err)
	}
	for _, class := range classes {
		if err == nil {
			err = checkClass(filepath.Join(dir, string(class)), class.public())
		}
	}
	if err != nil {
		return nil, fmt.Errorf("open keystore: %w", err)
	}
	return &Directory{dir: dir, keys: map[ID]cached{}}, nil
}

// publicOnly reports whether a directory holds keys, and none but public ones.
func publicOnly(dir string) (bool, error) {
	public := false
	for _, class := range classes {
		_, err := os.Stat(filepath.Join(dir, string(class)))
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			return false, err
		case !class.public():
			return false, nil
		default:
			public = true
		}
	}
	return public, nil
}

func checkFolder(path string, public bool) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return fmt.Errorf("%s is not a directory", path)
	}
	return checkMode(path, info, public)
}

// checkClass checks the folder of a class, where there is one, and the files in it.
func checkClass(folder string, public bool) error {
	if err := checkFolder(folder, public); errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	files, err := os.ReadDir(folder)
	if err != nil {
		return err
	}
	for _, file := range files {
		path := filepath.Join(folder, file.Name())
		info, err := os.Stat(path) // what a link points to counts
		if errors.Is(err, fs.ErrNotExist) {
			continue // destroyed, or finished under another name, meanwhile
		}
		if err != nil {
			return err
		}
		if err := checkMode(path, info, public); err != nil {
			return err
		}
	}
	return nil
}

// Key implements Keys.
func (d *Directory) Key(class Class, epoch string) ([]byte, error) {
	if class == Opening {
		return nil, fmt.Errorf("%s: opening keys are not given out, they unwrap", ID{class, epoch})
	}
	return d.key(ID{class, epoch})
}

// Check returns nil where the key is there, of any class, and else the error that
// Key or Unwrap would return.
func (d *Directory) Check(class Class, epoch string) error {
	_, err := d.key(ID{class, epoch})
	return err
}

// Unwrap implements Unwrapper.
func (d *Directory) Unwrap(epoch string, info, wrapped []byte) ([]byte, error) {
	private, err := d.key(ID{Opening, epoch})
	if err != nil {
		return nil, err
	}
	return unwrap(private, info, wrapped)
}

func (d *Directory) key(id ID) ([]byte, error) {
	now := time.Now()
	d.mu.RLock()
	entry, ok := d.keys[id]
	d.mu.RUnlock()
	if !ok || !now.Before(entry.until) || (!entry.due.IsZero() && !now.Before(entry.due)) {
		entry = d.look(id, now)
	}
	return entry.key, entry.err
}

// look asks the file system for a key and remembers the answer.
func (d *Directory) look(id ID, now time.Time) cached {
	entry := d.read(id, now)
	d.mu.Lock()
	defer d.mu.Unlock()
	for other, e := range d.keys { // few entries, and seldom: what may be gone by now leaves the memory
		if !now.Before(e.until) || !e.due.IsZero() && !now.Before(e.due) {
			delete(d.keys, other)
		}
	}
	d.keys[id] = entry
	return entry
}

func (d *Directory) read(id ID, now time.Time) cached {
	due, ends, err := Due(id)
	if err != nil {
		return cached{err: err}
	}
	if ends && !now.Before(due) {
		return cached{err: fmt.Errorf("%s: %w: its lifetime ended on %s", id, ErrDestroyed, due.Format(dayLayout)), until: now.Add(missingFor)}
	}
	if _, err := os.Lstat(id.destroyedPath(d.dir)); err == nil { // even if the key is still there
		return cached{err: fmt.Errorf("%s: %w", id, ErrDestroyed), until: now.Add(missingFor)}
	}
	key, err := readKey(id.path(d.dir), id.Class.public())
	if err == nil {
		return cached{key: key, until: now.Add(trustedFor), due: due}
	}
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("%s: %w", id, ErrNotYet)
	}
	return cached{err: err, until: now.Add(missingFor)}
}

// Entry is a key as List tells of it, without the key.
type Entry struct {
	ID
	// Made is when the key's file was written, or when it was destroyed.
	Made time.Time
	// Due is when the key's lifetime ends; zero where it has none.
	Due time.Time
	// Destroyed says that only the mark of a key destroyed before its time is left.
	Destroyed bool
}

// List returns the keys of a directory, sorted by class and epoch. It reads none of them.
func List(dir string) ([]Entry, error) {
	var entries []Entry
	for _, class := range classes {
		files, err := os.ReadDir(filepath.Join(dir, string(class)))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("list keys: %w", err)
		}
		for _, file := range files {
			epoch, isKey := strings.CutSuffix(file.Name(), keySuffix)
			destroyed := false
			if !isKey {
				epoch, destroyed = strings.CutSuffix(file.Name(), destroyedSuffix)
			}
			entry := Entry{ID: ID{class, epoch}, Destroyed: destroyed}
			if entry.Due, _, err = Due(entry.ID); (!isKey && !destroyed) || err != nil {
				continue // not a key's name
			}
			info, err := file.Info()
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err != nil {
				return nil, fmt.Errorf("list keys: %w", err)
			}
			entry.Made = info.ModTime()
			entries = append(entries, entry)
		}
	}
	return entries, nil
}
