package keystore

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Holder is who holds keys, and so which ones.
type Holder string

// The holders.
const (
	ForGateway    Holder = "gateway"
	ForAnonymizer Holder = "anonymizer"
	ForSteward    Holder = "steward"
	ForLicences   Holder = "licences"
)

// Holders returns all of them.
func Holders() []Holder { return []Holder{ForGateway, ForAnonymizer, ForSteward, ForLicences} }

// Classes returns the classes of the keys that the holder needs, and may have: none
// where there is no such holder.
func (h Holder) Classes() []Class {
	switch h {
	case ForGateway:
		return []Class{Sealing}
	case ForAnonymizer:
		return []Class{Day, Identity, Opening, Pepper}
	case ForSteward:
		return []Class{Identity, Pepper}
	case ForLicences:
		return []Class{Pepper}
	}
	return nil
}

func (h Holder) has(class Class) bool { return slices.Contains(h.Classes(), class) }

// OpenFor is Open for one holder: it refuses a directory with keys of classes that
// the holder must not have.
func OpenFor(dir string, holder Holder) (*Directory, error) {
	keys, err := Open(dir)
	if err != nil {
		return nil, err
	}
	foreign, err := foreignClasses(dir, holder)
	if err != nil {
		return nil, fmt.Errorf("open keystore: %w", err)
	}
	if len(foreign) > 0 {
		return nil, fmt.Errorf("open keystore: %s holds keys that the %s must not have (%s): give it a directory made by rollcall keys export %s",
			dir, holder, strings.Join(foreign, ", "), holder)
	}
	return keys, nil
}

// foreignClasses returns the classes with files in dir that are not the holder's.
func foreignClasses(dir string, holder Holder) ([]string, error) {
	var foreign []string
	for _, class := range classes {
		if slices.Contains(holder.Classes(), class) {
			continue
		}
		files, err := os.ReadDir(filepath.Join(dir, string(class)))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		if len(files) > 0 {
			foreign = append(foreign, string(class))
		}
	}
	return foreign, nil
}

// holderFile, in an exported directory, names its holder: what Export removes from
// a directory it must have put there.
const holderFile = ".holder"

// Exported is what Export did.
type Exported struct {
	Copied, Removed []ID // each sorted by class and epoch
}

// Export brings the directory to, which it makes where it is missing, in step with
// the keystore: it holds the holder's keys and no others afterwards, and the marks
// of those destroyed before their time. It waits for the keystore's writer. It is
// idempotent, and refuses a directory that another Export, for the same holder, has not made.
func Export(dir, to string, holder Holder) (Exported, error) {
	if holder.Classes() == nil {
		return Exported{}, fmt.Errorf("keystore: nobody is called %q (%v)", holder, Holders())
	}
	source, err := openExisting(dir)
	if err != nil {
		return Exported{}, err
	}
	defer source.close() // and so no key is destroyed between reading and writing it
	entries, err := List(dir)
	if err != nil {
		return Exported{}, err
	}
	if len(entries) == 0 { // a volume that is not mounted, say: the copies are not to follow
		return Exported{}, fmt.Errorf("export keys: %s holds none (make them with: rollcall keys maintain)", dir)
	}
	if err := checkPepper(dir, entries); err != nil {
		return Exported{}, err
	}
	target, err := openExport(dir, to, holder)
	if err != nil {
		return Exported{}, err
	}
	defer target.close()
	return target.follow(func(id ID) ([]byte, error) { return os.ReadFile(id.path(dir)) }, entries, holder)
}

// openExisting locks a keystore that is there.
func openExisting(dir string) (*writer, error) {
	if _, err := Open(dir); err != nil {
		return nil, err
	}
	return openWriter(dir)
}

// openExport locks the directory of an export.
func openExport(dir, to string, holder Holder) (*writer, error) {
	for _, pair := range [][2]string{{dir, to}, {to, dir}} {
		if inside, err := within(pair[0], pair[1]); err != nil || inside {
			return nil, errors.Join(err, fmt.Errorf("export keys: %s and %s must be apart", dir, to))
		}
	}
	public := !slices.ContainsFunc(holder.Classes(), func(c Class) bool { return !c.public() })
	mode := fs.FileMode(dirMode)
	if public {
		mode = publicDirMode
	}
	if err := os.MkdirAll(to, mode); err != nil {
		return nil, fmt.Errorf("export keys: %w", err)
	}
	if err := checkFolder(to, public); err != nil {
		return nil, fmt.Errorf("export keys: %w", err)
	}
	for _, class := range holder.Classes() {
		if err := checkClass(filepath.Join(to, string(class)), class.public()); err != nil {
			return nil, fmt.Errorf("export keys: %w", err)
		}
	}
	if err := claim(to, holder); err != nil {
		return nil, fmt.Errorf("export keys: %w", err)
	}
	return lockFolder(to)
}

// claim makes an empty directory the holder's, or sees that it is.
func claim(to string, holder Holder) error {
	path := filepath.Join(to, holderFile)
	named, err := os.ReadFile(path)
	switch {
	case err == nil && string(bytes.TrimSpace(named)) == string(holder):
		return nil
	case err == nil:
		return fmt.Errorf("%s is another holder's, not the %s's", to, holder)
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	files, err := os.ReadDir(to)
	if err != nil {
		return err
	}
	if len(files) > 0 {
		return fmt.Errorf("%s has files in it that no export made: name an empty directory", to)
	}
	return os.WriteFile(path, []byte(holder+"\n"), fileMode)
}

// within reports whether path is dir or lies below it.
func within(dir, path string) (bool, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return false, err
	}
	if path, err = filepath.Abs(path); err != nil {
		return false, err
	}
	relative, err := filepath.Rel(dir, path)
	return err == nil && relative != ".." && !strings.HasPrefix(relative, ".."+string(filepath.Separator)), nil
}

// follow makes what the holder has the same as what the entries say; read returns the
// file of one of their keys.
func (w *writer) follow(read func(ID) ([]byte, error), entries []Entry, holder Holder) (Exported, error) {
	var report Exported
	if err := w.removeUnfinished(); err != nil {
		return report, err
	}
	before, err := List(w.dir)
	if err != nil {
		return report, err
	}
	keys, marks := wantedBy(holder, entries)
	for _, entry := range before {
		if entry.Destroyed && slices.Contains(marks, entry.ID) || !entry.Destroyed && slices.Contains(keys, entry.ID) {
			continue
		}
		if err := w.remove(entry); err != nil {
			return report, err
		}
		if !entry.Destroyed {
			report.Removed = append(report.Removed, entry.ID)
		}
	}
	for _, id := range marks {
		if _, err := w.write(id, id.destroyedPath(w.dir), nil); err != nil {
			return report, fmt.Errorf("export the mark of key %s: %w", id, err)
		}
	}
	for _, id := range keys {
		copied, err := w.copy(id, read)
		if err != nil {
			return report, err
		}
		if copied {
			report.Copied = append(report.Copied, id)
		}
	}
	return report, nil
}

// wantedBy returns the keys and the marks of destroyed ones that a holder is to have.
func wantedBy(holder Holder, entries []Entry) (keys, marks []ID) {
	for _, entry := range entries {
		if entry.Destroyed && slices.Contains(holder.Classes(), entry.Class) {
			marks = append(marks, entry.ID)
		}
	}
	for _, entry := range entries {
		// Where there are both, the key's Destroy has not ended.
		if !entry.Destroyed && slices.Contains(holder.Classes(), entry.Class) && !slices.Contains(marks, entry.ID) {
			keys = append(keys, entry.ID)
		}
	}
	return keys, marks
}

// copy copies a key unless the same is there; another in its place, of a keystore
// that was made anew, it replaces.
func (w *writer) copy(id ID, read func(ID) ([]byte, error)) (bool, error) {
	content, err := read(id)
	if err != nil {
		return false, fmt.Errorf("export key %s: %w", id, err)
	}
	made, err := w.write(id, id.path(w.dir), content)
	if err != nil {
		return false, fmt.Errorf("export key %s: %w", id, err)
	}
	if made {
		return true, nil
	}
	there, err := os.ReadFile(id.path(w.dir))
	if err != nil {
		return false, fmt.Errorf("export key %s: %w", id, err)
	}
	if bytes.Equal(there, content) {
		return false, nil
	}
	if err := w.remove(Entry{ID: id}); err != nil {
		return false, err
	}
	if _, err := w.write(id, id.path(w.dir), content); err != nil {
		return false, fmt.Errorf("export key %s: %w", id, err)
	}
	return true, nil
}
