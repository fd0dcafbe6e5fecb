// Package envelopetest makes gateways' sealers and anonymizers' openers with a keystore
// of their own, for the tests of other packages.
package envelopetest

import (
	"path/filepath"
	"testing"
	"time"

	"rollcall/pkg/envelope"
	"rollcall/pkg/keystore"
)

// New returns a sealer and an opener, each with no other keys than its holder has, made
// on that day: for it and the two after it.
func New(t testing.TB, day time.Time) (*envelope.HybridSealer, *envelope.HybridOpener) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "keys")
	if _, err := keystore.Maintain(dir, day, keystore.MaintainOptions{}); err != nil {
		t.Fatal(err)
	}
	sealer, err := envelope.NewHybridSealer(export(t, dir, keystore.ForGateway))
	if err != nil {
		t.Fatal(err)
	}
	opener, err := envelope.NewHybridOpener(export(t, dir, keystore.ForAnonymizer))
	if err != nil {
		t.Fatal(err)
	}
	return sealer, opener
}

func export(t testing.TB, dir string, holder keystore.Holder) *keystore.Directory {
	t.Helper()
	to := filepath.Join(t.TempDir(), string(holder))
	if _, err := keystore.Export(dir, to, holder); err != nil {
		t.Fatal(err)
	}
	keys, err := keystore.OpenFor(to, holder)
	if err != nil {
		t.Fatal(err)
	}
	return keys
}
