package anonymizer

import (
	"strings"

	"rollcall/pkg/record"
	"rollcall/pkg/report"
)

// other stands for every text that is outside its vocabulary or pattern.
const other = "(other)"

// maxWordBytes bounds what is compared with a vocabulary; no word of any is longer.
const maxWordBytes = 40

// field that crosses the boundary as text: of the report, filled by a client, and the
// region, filled by whoever wrote the record.
type field int

const (
	fieldApplication field = iota
	fieldVersion
	fieldEdition
	fieldOSName
	fieldOSVersion
	fieldArchitecture
	fieldEdgeRegion
	fieldCount
)

// path is the schema path of the field, in UsageReport or (the region) in RawReport.
func (f field) path() string {
	return [fieldCount]string{"application.name", "application.version", "application.edition", "host.os_name", "host.os_version", "host.architecture", "edge_region"}[f]
}

// vocabulary maps what clients write, in lower case, to the word that passes. Only
// words that stand in it pass; they are constants of this program, never the client's bytes.
type vocabulary map[string]string

func words(list ...string) vocabulary {
	v := make(vocabulary, len(list))
	for _, word := range list {
		v[word] = word
	}
	return v
}

func (v vocabulary) with(word string, synonyms ...string) vocabulary {
	for _, synonym := range append(synonyms, word) {
		v[synonym] = word
	}
	return v
}

// word returns the vocabulary's word for a text, whatever its case and surrounding
// white space.
func (v vocabulary) word(text string) (string, bool) {
	if word, ok := v[text]; ok {
		return word, true
	}
	if len(text) > 2*maxWordBytes { // room for white space; no folding of a long text
		return other, false
	}
	if word, ok := v[strings.ToLower(strings.TrimSpace(text))]; ok {
		return word, true
	}
	return other, false
}

// vocabularies of the fields that have one. Which words there are is described in
// docs/privacy-boundary.md; the enricher gathers operating systems into families.
type vocabularies struct {
	application, edition, osName, architecture vocabulary
}

func newVocabularies() vocabularies {
	return vocabularies{
		application: words("roboserver", "management_console").
			with("management_console", "management console", "managementconsole"),
		edition: words("community", "basic", "standard", "professional", "enterprise", "developer", "trial",
			"evaluation", "academic", "partner", "internal"),
		osName: words("windows", "windows 10", "windows 11", "windows server", "windows server 2012", "windows server 2012 r2",
			"windows server 2016", "windows server 2019", "windows server 2022", "windows server 2025",
			"linux", "alpine", "almalinux", "amazon linux", "arch linux", "centos", "debian", "fedora", "opensuse", "oracle linux",
			"rhel", "rocky linux", "sles", "ubuntu", "macos", "aix", "solaris", "freebsd", "hp-ux").
			with("windows", "win32", "windows_nt").
			with("rhel", "red hat enterprise linux").
			with("sles", "suse linux enterprise server").
			with("macos", "mac os x", "os x", "darwin").
			with("solaris", "sunos"),
		architecture: words("amd64", "arm64", "x86", "arm", "ppc64", "ppc64le", "s390x", "sparcv9", "riscv64", "loongarch64").
			with("amd64", "x86_64", "x64").
			with("arm64", "aarch64").
			with("x86", "i386", "i486", "i586", "i686", "386"),
	}
}

// texts are the report's own, held against vocabularies and patterns.
type texts [fieldCount]string

// texts returns what passes of the texts of a report and of the region that it came
// through, and which were cut.
func (v *vocabularies) texts(r *report.Report, region string) (passed texts, cut [fieldCount]bool) {
	hold := func(f field, text string, ok bool) { passed[f], cut[f] = text, !ok }
	word := func(f field, v vocabulary, text string) {
		text, ok := v.word(text)
		hold(f, text, ok)
	}
	word(fieldApplication, v.application, r.Application.Name)
	word(fieldEdition, v.edition, r.Application.Edition)
	word(fieldOSName, v.osName, r.Host.OSName)
	word(fieldArchitecture, v.architecture, r.Host.Architecture)
	version, ok := release(r.Application.Version)
	hold(fieldVersion, version, ok)
	version, ok = release(kernel(r.Host.OSVersion))
	hold(fieldOSVersion, version, ok)
	if ok = record.ValidEdge(region); !ok {
		region = other
	}
	hold(fieldEdgeRegion, region, ok)
	return passed, cut
}

// kernel returns a kernel's release without what its builder appended, as 5.15.0 of
// 5.15.0-91-generic. What is no builder's suffix stays, for release to refuse.
func kernel(version string) string {
	i := strings.IndexAny(version, "-+")
	if i <= 0 {
		return version
	}
	for _, c := range []byte(version[i:]) {
		switch {
		case c >= '0' && c <= '9', c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', strings.IndexByte("-+._~", c) >= 0:
		default:
			return version
		}
	}
	return version[:i]
}

// release passes one to five numbers parted by dots, the first of up to four digits
// and the others of up to six: ^\d{1,4}(\.\d{1,6}){0,4}$.
func release(text string) (string, bool) {
	digits, most, numbers := 0, 4, 1
	for i := range len(text) {
		switch c := text[i]; {
		case c >= '0' && c <= '9':
			if digits++; digits > most {
				return other, false
			}
		case c == '.' && digits > 0 && numbers < 5:
			digits, most, numbers = 0, 6, numbers+1
		default:
			return other, false
		}
	}
	if digits == 0 {
		return other, false
	}
	return text, true
}
