package anonymizer

import (
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestTexts(t *testing.T) {
	v := newVocabularies()
	for _, test := range []struct {
		field      field
		text, want string
	}{
		{fieldApplication, "roboserver", "roboserver"},
		{fieldApplication, "RoboServer ", "roboserver"},
		{fieldApplication, "Management Console", "management_console"},
		{fieldApplication, "roboserver2", other},
		{fieldApplication, "", other},
		{fieldEdition, "Enterprise", "enterprise"},
		{fieldEdition, "somebody's edition", other},
		{fieldVersion, "11.5.0.2", "11.5.0.2"},
		{fieldVersion, "7", "7"},
		{fieldVersion, "1.2.3.4.123456", "1.2.3.4.123456"},
		{fieldVersion, "1.2.3.4.5.6", other},
		{fieldVersion, "12345.1", other},
		{fieldVersion, "1.1234567", other},
		{fieldVersion, "1..2", other},
		{fieldVersion, ".1", other},
		{fieldVersion, "1.", other},
		{fieldVersion, "", other},
		{fieldVersion, "11.5-beta", other},
		{fieldVersion, "admin@example.org", other},
		{fieldVersion, "11.5\n", other},
		{fieldVersion, "１１.5", other}, // digits, but not these
		{fieldOSName, "Windows Server 2019", "windows server 2019"},
		{fieldOSName, "Mac OS X", "macos"},
		{fieldOSName, "Darwin", "macos"},
		{fieldOSName, "Red Hat Enterprise Linux", "rhel"},
		{fieldOSName, "Somebody's Linux", other},
		{fieldOSName, strings.Repeat(" ", 1000) + "linux", other},
		{fieldOSVersion, "10.0.19045", "10.0.19045"},
		{fieldOSVersion, "5.15.0-91-generic", "5.15.0"},
		{fieldOSVersion, "4.18.0-553.el8_10.x86_64", "4.18.0"},
		{fieldOSVersion, "6.1.0+rpt", "6.1.0"},
		{fieldOSVersion, "6.9-user@example.org", other},
		{fieldOSVersion, "6.9 of somebody", other},
		{fieldOSVersion, "-1", other},
		{fieldArchitecture, "x86_64", "amd64"},
		{fieldArchitecture, "AArch64", "arm64"},
		{fieldArchitecture, "my laptop", other},
	} {
		r := sample()
		*[fieldCount]*string{
			&r.Application.Name, &r.Application.Version, &r.Application.Edition, &r.Host.OSName, &r.Host.OSVersion, &r.Host.Architecture,
		}[test.field] = test.text
		passed, cut := v.texts(r, "eu")
		if passed[test.field] != test.want || cut[test.field] != (test.want == other) {
			t.Errorf("%s %q became %q, cut %t; want %q", test.field.path(), test.text, passed[test.field], cut[test.field], test.want)
		}
		for f, wasCut := range cut {
			if field(f) != test.field && wasCut {
				t.Errorf("%s %q: %s was cut too", test.field.path(), test.text, field(f).path())
			}
		}
	}
}

// TestReleaseProperty holds the hand-written scan against the pattern that is documented.
func TestReleaseProperty(t *testing.T) {
	pattern := regexp.MustCompile(`^[0-9]{1,4}(\.[0-9]{1,6}){0,4}$`)
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.OneOf(rapid.StringMatching(`[0-9]{0,5}(\.[0-9]{0,7}){0,6}`), rapid.String()).Draw(t, "text")
		got, ok := release(text)
		if want := pattern.MatchString(text) && !strings.HasSuffix(text, "\n"); ok != want || ok && got != text || !ok && got != other {
			t.Fatalf("%q became %q, %t", text, got, ok)
		}
	})
}

// vocabularyWords returns the words that can pass, by field.
func vocabularyWords() map[field][]string {
	v := newVocabularies()
	words := map[field][]string{}
	for f, vocabulary := range map[field]vocabulary{
		fieldApplication: v.application, fieldEdition: v.edition, fieldOSName: v.osName, fieldArchitecture: v.architecture,
	} {
		words[f] = slices.Compact(slices.Sorted(maps.Values(vocabulary)))
	}
	return words
}

// TestVocabularyIsWellFormed: every word stands for itself, in lower case, and is
// short enough to be found.
func TestVocabularyIsWellFormed(t *testing.T) {
	v := newVocabularies()
	for _, vocabulary := range []vocabulary{v.application, v.edition, v.osName, v.architecture} {
		for text, word := range vocabulary {
			if vocabulary[word] != word || strings.ToLower(text) != text || len(text) > maxWordBytes {
				t.Errorf("%q stands for %q, which stands for %q", text, word, vocabulary[word])
			}
		}
	}
}

// TestVocabularyIsDocumented holds docs/privacy-boundary.md to the words that pass.
func TestVocabularyIsDocumented(t *testing.T) {
	page, err := os.ReadFile("../../docs/privacy-boundary.md")
	if err != nil {
		t.Fatal(err)
	}
	for f, words := range vocabularyWords() {
		line := ""
		for _, l := range strings.Split(string(page), "\n") {
			if strings.HasPrefix(l, "| `"+f.path()+"` |") {
				line = l
			}
		}
		if line == "" {
			t.Errorf("%s has no row", f.path())
		}
		for _, word := range words {
			if !strings.Contains(line, "`"+word+"`") {
				t.Errorf("%s: the word %q is not in its row", f.path(), word)
			}
		}
		documented := len(regexp.MustCompile("`[^`]+`").FindAllString(line, -1)) - 1 // but for the path itself
		if documented != len(words) {
			t.Errorf("%s: %d words in its row, %d can pass", f.path(), documented, len(words))
		}
	}
}

func BenchmarkTexts(b *testing.B) {
	v, r := newVocabularies(), sample()
	b.ReportAllocs()
	for b.Loop() {
		v.texts(r, "eu")
	}
}
