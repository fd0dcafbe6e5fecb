package catalogue

import "testing"

func TestEmbeddedCatalogueIsWhole(t *testing.T) {
	var features, legacyFeatures int
	for _, m := range Embedded().All() {
		if m.Collection != Optional {
			continue
		}
		features++
		if m.Lifecycle == Legacy {
			legacyFeatures++
			if m.ReplacedBy == "" || m.DeprecatedIn == "" {
				t.Errorf("legacy metric %s lacks what replaces it or when it was deprecated", m.Name)
			}
		}
	}
	if features < 20 || legacyFeatures < 6 {
		t.Errorf("%d feature counters, %d of them legacy; want at least 20 and 6", features, legacyFeatures)
	}
}
