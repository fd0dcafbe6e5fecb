// Package keystore keeps Rollcall's keys: one file a key, by class and epoch, in a
// directory outside Kafka and outside backups. One writer makes keys ahead of time
// and destroys them when their lifetime ends (Maintain); everyone else reads (Open),
// best from a directory with no other keys than theirs (Export). A key that is
// destroyed takes with it whatever it protected.
//
// The layout is DIR/CLASS/EPOCH.key, each file 32 bytes as one line of standard
// base64: random ones, or an X25519 key. Directories have mode 0700 and files 0600;
// looser ones are refused. The public class alone may be read by everyone (0755 and
// 0644), and so may a directory that holds nothing else.
package keystore

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"rollcall/pkg/retention"
)

// Size is the length of every key, in bytes.
const Size = 32

// Class says what a key is for, and so how long it lives.
type Class string

// The classes.
const (
	// Pepper keys every pseudonym that lives longer than a day. There is one, of
	// epoch PepperEpoch, made once: a new one would part every licence from its past.
	Pepper Class = "pepper"
	// Day keys pseudonymise addresses. The epoch is a UTC day, as 2006-01-02.
	Day Class = "day"
	// Identity keys encrypt who is behind a licence. The epoch is a UTC month, as 2006-01.
	Identity Class = "identity"
	// Opening keys are the private halves of the pairs to which gateways seal. The epoch
	// is the UTC day of receipt, as 2006-01-02. Nobody is given one: Unwrap uses it.
	Opening Class = "opening"
	// Sealing keys are the public halves, by the same epochs: all that a gateway needs.
	Sealing Class = "sealing"
)

// public reports whether everyone may read keys of the class.
func (c Class) public() bool { return c == Sealing }

// PepperEpoch is the epoch of the only pepper.
const PepperEpoch = "1"

const (
	dayLayout   = "2006-01-02"
	monthLayout = "2006-01"
	// identityMonths is how many months an identity key lives after its month.
	identityMonths = 3
)

// ID names a key.
type ID struct {
	Class Class
	Epoch string
}

func (id ID) String() string { return string(id.Class) + "/" + id.Epoch }

func (id ID) less(other ID) int {
	return strings.Compare(id.String(), other.String())
}

// DayEpoch returns the epoch of the day, opening and sealing keys for what was
// received at t.
func DayEpoch(t time.Time) string { return t.UTC().Format(dayLayout) }

// MonthEpoch returns the epoch of the identity key for what was received at t.
func MonthEpoch(t time.Time) string { return t.UTC().Format(monthLayout) }

// ErrNotYet says that a key is not there: its epoch is ahead of what the writer
// has made, or the writer has not run. It may be there later.
var ErrNotYet = errors.New("key is not there yet")

// ErrDestroyed says that a key's lifetime is over, or that it was destroyed
// before. It will not come back.
var ErrDestroyed = errors.New("key is destroyed")

// Keys gives out keys.
type Keys interface {
	// Key returns the 32 bytes of a key, which the caller must not change. The
	// error wraps ErrNotYet or ErrDestroyed where the key is not to be had. Opening
	// keys are given to nobody.
	Key(class Class, epoch string) ([]byte, error)
}

// Due returns when a key's lifetime ends: 31 days after the end of its day, three
// months after the end of its month. It reports false for a key without an end.
// An epoch that its class does not have is an error.
func Due(id ID) (time.Time, bool, error) {
	switch id.Class {
	case Pepper:
		if id.Epoch == PepperEpoch {
			return time.Time{}, false, nil
		}
	case Day, Opening, Sealing:
		if day, err := time.Parse(dayLayout, id.Epoch); err == nil {
			return day.AddDate(0, 0, 1+retention.KeyDays), true, nil
		}
	case Identity:
		if month, err := time.Parse(monthLayout, id.Epoch); err == nil {
			return month.AddDate(0, 1+identityMonths, 0), true, nil
		}
	default:
		return time.Time{}, false, fmt.Errorf("keystore: no class of keys is called %q (pepper, day, identity, opening, sealing)", id.Class)
	}
	return time.Time{}, false, fmt.Errorf("keystore: %q is not an epoch of the class %s", id.Epoch, id.Class)
}

const (
	keySuffix = ".key"
	// destroyedSuffix marks a key destroyed before its time: an empty file, so that
	// readers stop waiting for the key and the writer does not make another.
	destroyedSuffix = ".destroyed"
	// newPrefix begins the name of a key file that is not finished.
	newPrefix = ".new-"
	dirMode   = 0o700
	fileMode  = 0o600
	// Of what everyone may read.
	publicDirMode  = 0o755
	publicFileMode = 0o644
)

func (id ID) path(dir string) string {
	return filepath.Join(dir, string(id.Class), id.Epoch+keySuffix)
}

func (id ID) destroyedPath(dir string) string {
	return filepath.Join(dir, string(id.Class), id.Epoch+destroyedSuffix)
}

// checkMode refuses a file or directory that others may use: at all, or, where it
// is public, to write in.
func checkMode(path string, info fs.FileInfo, public bool) error {
	forbidden, file, dir := fs.FileMode(0o077), fs.FileMode(fileMode), fs.FileMode(dirMode)
	if public {
		forbidden, file, dir = 0o022, publicFileMode, publicDirMode
	}
	if info.Mode().Perm()&forbidden == 0 {
		return nil
	}
	want := file
	if info.IsDir() {
		want = dir
	}
	return fmt.Errorf("%s has mode %04o and could be used by others: chmod %04o %s", path, info.Mode().Perm(), want, path)
}

// readKey reads one key file and refuses a loose mode or anything but a whole key.
func readKey(path string, public bool) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read key: %w", err)
	}
	defer file.Close()
	info, err := file.Stat() // of the open file, so that it is the one that is read
	if err != nil {
		return nil, fmt.Errorf("read key: %w", err)
	}
	if err := checkMode(path, info, public); err != nil {
		return nil, err
	}
	text, err := io.ReadAll(io.LimitReader(file, 2*Size)) // a whole file has 45 bytes
	if err != nil {
		return nil, fmt.Errorf("read key %s: %w", path, err)
	}
	key, err := base64.StdEncoding.Strict().DecodeString(strings.TrimSuffix(string(text), "\n"))
	if err != nil || len(key) != Size {
		// The decoder's error would quote a byte of the key.
		return nil, fmt.Errorf("%s does not hold one line of base64 of %d bytes", path, Size)
	}
	return key, nil
}
