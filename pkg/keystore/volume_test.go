package keystore

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// volume is a folder as Kubernetes mounts one for a pod with fsGroup: the group may
// write, and what is made in it belongs to the group.
func volume(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "volume")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o775|os.ModeSetgid); err != nil {
		t.Fatal(err)
	}
	return dir
}

// Below such a folder keys keep the modes that are wanted, in the keystore, in an
// export and in what a Secret is unpacked to; in the folder itself they are refused.
func TestKeysOnAVolumeOfAGroup(t *testing.T) {
	master, exported, unpacked := filepath.Join(volume(t), "keys"), filepath.Join(volume(t), "keys"), filepath.Join(volume(t), "keys")
	if _, err := Maintain(master, at("2026-01-31 12:00"), MaintainOptions{}); err != nil {
		t.Fatal(err)
	}
	export(t, master, exported, ForAnonymizer)
	unpack(t, flatFolder(t, flatten(t, master, ForAnonymizer)), unpacked, ForAnonymizer)
	for _, dir := range []string{master, exported, unpacked} {
		if _, err := Open(dir); err != nil {
			t.Error(err)
		}
	}
	if _, err := Export(master, volume(t), ForAnonymizer); err == nil {
		t.Error("private keys were exported into a folder that a group may read")
	}
	maintain(t, master, at("2026-02-01 12:00"), time.Time{})
}
