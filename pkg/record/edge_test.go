package record

import (
	"strings"
	"testing"
)

func TestValidEdge(t *testing.T) {
	for name, want := range map[string]bool{
		"eu": true, "eu-west.1_B": true, strings.Repeat("a", 32): true,
		"": false, strings.Repeat("a", 33): false, "eu west": false, "person@example": false, "søn": false, "a/b": false, "a\n": false, "(other)": false,
	} {
		if ValidEdge(name) != want {
			t.Errorf("%q: %v, want %v", name, !want, want)
		}
	}
}
