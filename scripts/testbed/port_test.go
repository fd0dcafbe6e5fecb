package testbed_test

import (
	"testing"

	"rollcall/scripts/testbed"
)

func TestFreePortGivesNoneTwice(t *testing.T) {
	given := map[int]bool{}
	for range 1_000 { // by chance alone some thirty would come again
		port, err := testbed.FreePort()
		if err != nil {
			t.Fatal(err)
		}
		if given[port] {
			t.Fatalf("port %d was given twice", port)
		}
		given[port] = true
	}
}
