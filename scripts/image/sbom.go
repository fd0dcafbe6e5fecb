package main

import (
	"bytes"
	"crypto/sha1" // SPDX asks for it beside SHA-256
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"regexp"
	"runtime/debug"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	spdxjson "github.com/spdx/tools-golang/json"
	"github.com/spdx/tools-golang/spdx/v2/common"
	"github.com/spdx/tools-golang/spdx/v2/v2_3"
	"github.com/spdx/tools-golang/spdxlib"
)

const (
	sbomSuffix  = ".spdx.json"
	noAssertion = "NOASSERTION"
	mainPackage = "rollcall"
)

// Identifiers of what a document is about.
const (
	imageID  common.ElementID = "Package-image"
	mainID   common.ElementID = "Package-rollcall"
	binaryID common.ElementID = "File-rollcall"
)

// bill collects a document's packages and how they hang together.
type bill struct {
	document *v2_3.Document
	texts    []licenceText
}

// billOfMaterials describes one platform's image (SPDX 2.3): the image contains the
// program, which was made of the modules that the binary itself names, and the
// certificate authorities.
func billOfMaterials(built program, texts []licenceText, digest v1.Hash, p platform, o origin) ([]byte, error) {
	b := bill{texts: texts, document: &v2_3.Document{
		SPDXVersion: v2_3.Version, DataLicense: v2_3.DataLicense, SPDXIdentifier: "DOCUMENT",
		DocumentName: title + " " + o.Version + " " + p.String(),
		// The digest makes the name unique, as SPDX asks; nothing is served there.
		DocumentNamespace: "https://rollcall.example.org/sbom/" + digest.Hex,
		CreationInfo: &v2_3.CreationInfo{
			Creators: []common.Creator{{CreatorType: "Tool", Creator: "rollcall-scripts-image"}},
			Created:  o.Created.Format(time.RFC3339),
		},
	}}
	b.addImage(digest, p, o)
	b.addProgram(built, o)
	for _, module := range built.info.Deps {
		if module.Replace != nil {
			module = module.Replace
		}
		b.addModule(module, mainID, "DEPENDS_ON")
	}
	b.addModule(&debug.Module{Path: stdlib, Version: goVersion(built.info)}, mainID, "DEPENDS_ON")
	for _, text := range texts {
		if path, version, _ := strings.Cut(text.module, "@"); path == authoritiesModule {
			b.addModule(&debug.Module{Path: path, Version: version}, imageID, "CONTAINS")
			break // it may have several licence files
		}
	}
	if err := spdxlib.ValidateDocument(b.document); err != nil {
		return nil, fmt.Errorf("bill of materials of %s: %w", p, err)
	}
	var out bytes.Buffer
	if err := spdxjson.Write(b.document, &out, spdxjson.Indent("  ")); err != nil {
		return nil, fmt.Errorf("write the bill of materials of %s: %w", p, err)
	}
	return out.Bytes(), nil
}

func (b *bill) relate(from common.ElementID, relationship string, to common.ElementID) {
	b.document.Relationships = append(b.document.Relationships, &v2_3.Relationship{
		RefA: common.MakeDocElementID("", string(from)), Relationship: relationship, RefB: common.MakeDocElementID("", string(to)),
	})
}

func (b *bill) add(p *v2_3.Package, locator string) {
	p.PackageDownloadLocation = noAssertion
	p.PackageLicenseConcluded, p.PackageCopyrightText = noAssertion, noAssertion
	if p.PackageLicenseDeclared == "" {
		p.PackageLicenseDeclared = noAssertion
	}
	p.IsFilesAnalyzedTagPresent = true // and false: no package's files are listed one by one
	if locator != "" {
		p.PackageExternalReferences = []*v2_3.PackageExternalReference{
			{Category: common.CategoryPackageManager, RefType: common.TypePackageManagerPURL, Locator: locator},
		}
	}
	b.document.Packages = append(b.document.Packages, p)
}

func (b *bill) addImage(digest v1.Hash, p platform, o origin) {
	b.add(&v2_3.Package{
		PackageName: title + " image for " + p.String(), PackageSPDXIdentifier: imageID, PackageVersion: o.Version,
		PrimaryPackagePurpose: "CONTAINER",
		PackageChecksums:      []common.Checksum{{Algorithm: common.SHA256, Value: digest.Hex}},
	}, "pkg:oci/"+title+"@sha256%3A"+digest.Hex+"?arch="+p.Architecture)
	b.relate("DOCUMENT", "DESCRIBES", imageID)
}

func (b *bill) addProgram(built program, o origin) {
	b.add(&v2_3.Package{
		PackageName: mainPackage, PackageSPDXIdentifier: mainID, PackageVersion: o.Version,
		PackageSourceInfo: "revision " + o.Revision, PrimaryPackagePurpose: "APPLICATION",
	}, "")
	b.relate(imageID, "CONTAINS", mainID)
	first, second := sha1.Sum(built.content), sha256.Sum256(built.content)
	b.document.Files = append(b.document.Files, &v2_3.File{
		FileName: "./" + binaryPath, FileSPDXIdentifier: binaryID, FileTypes: []string{"BINARY"},
		Checksums: []common.Checksum{
			{Algorithm: common.SHA1, Value: hex.EncodeToString(first[:])},
			{Algorithm: common.SHA256, Value: hex.EncodeToString(second[:])},
		},
		LicenseConcluded: noAssertion, LicenseInfoInFiles: []string{noAssertion}, FileCopyrightText: noAssertion,
	})
	// Not CONTAINS: that a package has only when all its files are listed.
	b.relate(binaryID, "GENERATED_FROM", mainID)
}

func (b *bill) addModule(m *debug.Module, owner common.ElementID, relationship string) {
	id := common.ElementID("Package-" + identifier(m.Path+"-"+m.Version))
	p := &v2_3.Package{
		PackageName: m.Path, PackageSPDXIdentifier: id, PackageVersion: m.Version, PrimaryPackagePurpose: "LIBRARY",
		PackageLicenseDeclared: licenceExpression(b.texts, m.Path+"@"+m.Version),
	}
	// go.sum's hash is a SHA-256 over the module's files.
	if sum, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(m.Sum, "h1:")); err == nil && len(sum) == sha256.Size {
		p.PackageChecksums = []common.Checksum{{Algorithm: common.SHA256, Value: hex.EncodeToString(sum)}}
	}
	// Upper case stays: to Go it is another path, and scanners compare as Go does.
	b.add(p, "pkg:golang/"+m.Path+"@"+m.Version)
	b.relate(owner, relationship, id)
}

var notInIdentifier = regexp.MustCompile(`[^A-Za-z0-9.-]+`)

// identifier keeps what SPDX allows in one.
func identifier(text string) string { return notInIdentifier.ReplaceAllString(text, "-") }
