package partstore

import (
	"os"
	"strings"
	"testing"
)

// The name of a part's directory has the version that its module builds: another
// version is another part.
func TestVersionsOfGoToolsAreThoseOfTheirModules(t *testing.T) {
	for file, required := range map[string]string{
		"../../prometheus/go.mod":   "github.com/prometheus/prometheus v" + prometheusVersion,
		"../../collector/go.mod":    "go.opentelemetry.io/collector/otelcol v" + collectorVersion,
		"../../controlplane/go.mod": "k8s.io/kubernetes v" + kubernetesVersion,
	} {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(content), required+"\n") {
			t.Errorf("%s does not require %s", file, required)
		}
	}
}
