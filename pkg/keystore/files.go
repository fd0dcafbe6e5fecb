package keystore

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// make makes a key unless it, or the mark of its destruction, is there. It reports
// whether it did.
func (w *writer) make(id ID) (bool, error) {
	for _, path := range []string{id.path(w.dir), id.destroyedPath(w.dir)} {
		if _, err := os.Lstat(path); err == nil {
			return false, nil
		} else if !errors.Is(err, fs.ErrNotExist) {
			return false, fmt.Errorf("make key %s: %w", id, err)
		}
	}
	key, err := w.newKey(id)
	if err != nil || key == nil {
		return false, err
	}
	made, err := w.write(id, id.path(w.dir), []byte(base64.StdEncoding.EncodeToString(key)+"\n"))
	if err != nil {
		return false, fmt.Errorf("make key %s: %w", id, err)
	}
	return made, nil
}

// newKey returns what a new key is: random, or of a pair. Without its private half
// there is no public one.
func (w *writer) newKey(id ID) ([]byte, error) {
	switch id.Class {
	case Opening:
		return newPrivate()
	case Sealing:
		opening := ID{Opening, id.Epoch}
		private, err := readKey(opening.path(w.dir), false)
		if errors.Is(err, fs.ErrNotExist) {
			return nil, nil
		}
		if err != nil {
			return nil, fmt.Errorf("make key %s: %w", id, err)
		}
		return publicOf(private)
	}
	key := make([]byte, Size)
	rand.Read(key) // never fails: the runtime stops the process first
	return key, nil
}

// write makes a file of a key that is there whole, on disk, or not at all, and never
// replaces one. It reports false where the file was there before.
func (w *writer) write(id ID, path string, content []byte) (bool, error) {
	folder, folderMode, mode := filepath.Dir(path), fs.FileMode(dirMode), fs.FileMode(fileMode)
	if id.Class.public() {
		folderMode, mode = publicDirMode, publicFileMode
	}
	if err := os.Mkdir(folder, folderMode); err == nil {
		if err := syncFolder(w.dir); err != nil {
			return false, err
		}
	} else if !errors.Is(err, fs.ErrExist) {
		return false, err
	}
	temporary, err := os.CreateTemp(folder, newPrefix+"*") // mode 0600
	if err != nil {
		return false, err
	}
	_, err = temporary.Write(content)
	err = errors.Join(err, temporary.Chmod(mode), temporary.Sync(), temporary.Close())
	made := false
	if err == nil {
		// A link, not a rename: a rename would replace a key that is there.
		err = os.Link(temporary.Name(), path)
		made = err == nil
		if errors.Is(err, fs.ErrExist) {
			err = nil
		}
	}
	err = errors.Join(err, os.Remove(temporary.Name()))
	if err != nil {
		return false, err
	}
	return made, syncFolder(folder)
}

// remove unlinks what List told of: a key's file, or the mark of its destruction.
func (w *writer) remove(entry Entry) error {
	path := entry.path(w.dir)
	if entry.Destroyed {
		path = entry.destroyedPath(w.dir)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("destroy key %s: %w", entry.ID, err)
	}
	return syncFolder(filepath.Dir(path))
}

// syncFolder makes names in a folder, and their absence, outlive a crash.
func syncFolder(path string) error {
	folder, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}
