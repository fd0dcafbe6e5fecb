package enricher

import (
	"strings"

	"rollcall/pkg/record"
)

// other stands for every text outside its vocabulary or pattern, as the anonymizer
// writes it.
const other = "(other)"

const (
	versionNumbers   = 4 // of an application's release
	osVersionNumbers = 2 // of an operating system's: patch levels would only scatter its users
)

// normalise replaces what would part the same thing in two: releases written with
// leading zeros or more numbers than matter, and operating systems of one family.
func normalise(clean *record.Clean) {
	clean.Version = release(clean.Version, versionNumbers)
	clean.OSName = osFamily(clean.OSName)
	clean.OSVersion = release(clean.OSVersion, osVersionNumbers)
}

// release returns the first numbers of a release without leading zeros, or (other)
// where it is not numbers parted by dots.
func release(text string, numbers int) string {
	parts := strings.Split(text, ".")
	for i, part := range parts {
		if part == "" || strings.Trim(part, "0123456789") != "" {
			return other
		}
		if part = strings.TrimLeft(part, "0"); part == "" {
			part = "0"
		}
		parts[i] = part
	}
	return strings.Join(parts[:min(len(parts), numbers)], ".")
}

// osFamily gathers the anonymizer's words for operating systems into families. A
// word that is not known here, perhaps because the anonymizer is newer, is (other).
func osFamily(name string) string {
	switch name {
	case "windows", "linux", "macos", "aix", "solaris":
		return name
	case "alpine", "almalinux", "amazon linux", "arch linux", "centos", "debian", "fedora", "opensuse", "oracle linux", "rhel",
		"rocky linux", "sles", "ubuntu":
		return "linux"
	}
	if strings.HasPrefix(name, "windows ") {
		return "windows"
	}
	return other
}
