package telemetry

import (
	"io/fs"
	"os"
	"regexp"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/attribute"
)

// What the code records must be on the list, or it silently never arrives; what the
// list has must be recorded somewhere, or it is a door that nobody needs.
func TestListIsWhatTheCodeRecords(t *testing.T) {
	recorded := map[attribute.Key]string{"exception.type": "the SDK, of recorded errors"}
	literal := regexp.MustCompile(`attribute\.(?:String|StringSlice|Int|IntSlice|Int64|Bool|Float64|Key)\("([^"]+)"`)
	listed := regexp.MustCompile(`"([a-z_]+(?:\.[a-z_]+)+)"`)
	var list string
	for _, root := range []string{"../../pkg", "../../services"} {
		err := fs.WalkDir(os.DirFS(root), ".", func(path string, _ fs.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			source, err := os.ReadFile(root + "/" + path)
			if err != nil {
				return err
			}
			if path == "telemetry/allow.go" {
				list = string(source)
			}
			for _, found := range literal.FindAllStringSubmatch(string(source), -1) {
				recorded[attribute.Key(found[1])] = path
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for key, path := range recorded {
		identity := strings.HasPrefix(string(key), "service.") // of the process, not of what it handles
		if !identity && !allowed(key) {
			t.Errorf("%s records %s, which is not on the list", path, key)
		}
	}
	for _, found := range listed.FindAllStringSubmatch(list, -1) {
		key := attribute.Key(found[1])
		if allowed(key) && recorded[key] == "" {
			t.Errorf("the list has %s, which nothing records", key)
		}
	}
}
