package keystore

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Flat names are CLASS.EPOCH.key and CLASS.EPOCH.destroyed: one folder for all of a
// holder's keys, for stores that have names but no folders, as Kubernetes' Secrets.

// flatName is the name of a key's file, or of the mark of its destruction, among
// those of all classes.
func flatName(id ID, destroyed bool) string {
	if destroyed {
		return string(id.Class) + "." + id.Epoch + destroyedSuffix
	}
	return string(id.Class) + "." + id.Epoch + keySuffix
}

// parseFlat is flatName's inverse; it refuses what is no key's name.
func parseFlat(name string) (Entry, error) {
	class, rest, _ := strings.Cut(name, ".")
	epoch, isKey := strings.CutSuffix(rest, keySuffix)
	destroyed := false
	if !isKey {
		epoch, destroyed = strings.CutSuffix(rest, destroyedSuffix)
	}
	entry := Entry{ID: ID{Class(class), epoch}, Destroyed: destroyed}
	due, _, err := Due(entry.ID)
	if err == nil && !isKey && !destroyed {
		err = fmt.Errorf("neither %s nor %s", keySuffix, destroyedSuffix)
	}
	if err != nil {
		return Entry{}, fmt.Errorf("%s is not the name of a key (as day.2026-11-22.key): %w", name, err)
	}
	entry.Due = due
	return entry, nil
}

// Flatten returns the holder's keys of a keystore, and no others, by flat name. What
// it returns is secret, but for the gateway's. It waits for the keystore's writer.
func Flatten(dir string, holder Holder) (map[string][]byte, error) {
	if holder.Classes() == nil {
		return nil, fmt.Errorf("keystore: nobody is called %q (%v)", holder, Holders())
	}
	source, err := openExisting(dir)
	if err != nil {
		return nil, err
	}
	defer source.close()
	entries, err := List(dir)
	if err != nil {
		return nil, err
	}
	if err := checkPepper(dir, entries); err != nil {
		return nil, err
	}
	keys, marks := wantedBy(holder, entries)
	if len(keys) == 0 {
		return nil, fmt.Errorf("flatten keys: %s holds none of the %s (make them with: rollcall keys maintain)", dir, holder)
	}
	flat := make(map[string][]byte, len(keys)+len(marks))
	for _, id := range marks {
		flat[flatName(id, true)] = nil
	}
	for _, id := range keys {
		if _, err := readKey(id.path(dir), id.Class.public()); err != nil {
			return nil, fmt.Errorf("flatten keys: %w", err)
		}
		content, err := os.ReadFile(id.path(dir))
		if err != nil {
			return nil, fmt.Errorf("flatten keys: %w", err)
		}
		flat[flatName(id, false)] = content
	}
	return flat, nil
}

// Unpack brings the directory to in step with a folder of flat names, as Export does
// with a keystore, and with the same refusals. It refuses a folder with keys that the
// holder must not have, with other files (names that begin with a dot do not count:
// Kubernetes keeps its own there), or without any key: a Secret that was emptied by
// mistake is not to take the keys that are in use with it.
func Unpack(from, to string, holder Holder) (Exported, error) {
	if holder.Classes() == nil {
		return Exported{}, fmt.Errorf("keystore: nobody is called %q (%v)", holder, Holders())
	}
	entries, err := listFlat(from, holder)
	if err != nil {
		return Exported{}, fmt.Errorf("unpack keys: %w", err)
	}
	target, err := openExport(from, to, holder)
	if err != nil {
		return Exported{}, err
	}
	defer target.close()
	return target.follow(func(id ID) ([]byte, error) { return os.ReadFile(filepath.Join(from, flatName(id, false))) }, entries, holder)
}

func listFlat(from string, holder Holder) ([]Entry, error) {
	files, err := os.ReadDir(from)
	if err != nil {
		return nil, err
	}
	var entries []Entry
	keys := 0
	for _, file := range files {
		if strings.HasPrefix(file.Name(), ".") {
			continue
		}
		entry, err := parseFlat(file.Name())
		if err != nil {
			return nil, err
		}
		if !holder.has(entry.Class) {
			return nil, fmt.Errorf("%s holds a key of the class %s, which the %s must not have", from, entry.Class, holder)
		}
		if !entry.Destroyed {
			keys++
		}
		entries = append(entries, entry)
	}
	if keys == 0 {
		return nil, errors.New(from + " holds no key")
	}
	return entries, nil
}
