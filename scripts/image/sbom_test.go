package main

import (
	"bytes"
	"debug/buildinfo"
	"runtime/debug"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	spdxjson "github.com/spdx/tools-golang/json"
)

const mit = `MIT License

Copyright (c) 2026 Example 0001

Permission is hereby granted, free of charge, to any person obtaining a copy
of this software and associated documentation files (the "Software"), to deal
in the Software without restriction, including without limitation the rights
to use, copy, modify, merge, publish, distribute, sublicense, and/or sell
copies of the Software, and to permit persons to whom the Software is
furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all
copies or substantial portions of the Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR
IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY,
FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE
AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER
LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM,
OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE
SOFTWARE.
`

const isc = `Copyright (c) 2026 Example 0001

Permission to use, copy, modify, and/or distribute this software for any
purpose with or without fee is hereby granted, provided that the above
copyright notice and this permission notice appear in all copies.

THE SOFTWARE IS PROVIDED "AS IS" AND THE AUTHOR DISCLAIMS ALL WARRANTIES
WITH REGARD TO THIS SOFTWARE INCLUDING ALL IMPLIED WARRANTIES OF
MERCHANTABILITY AND FITNESS. IN NO EVENT SHALL THE AUTHOR BE LIABLE FOR
ANY SPECIAL, DIRECT, INDIRECT, OR CONSEQUENTIAL DAMAGES OR ANY DAMAGES
WHATSOEVER RESULTING FROM LOSS OF USE, DATA OR PROFITS, WHETHER IN AN
ACTION OF CONTRACT, NEGLIGENCE OR OTHER TORTIOUS ACTION, ARISING OUT OF
OR IN CONNECTION WITH THE USE OR PERFORMANCE OF THIS SOFTWARE.
`

func TestLicenceExpression(t *testing.T) {
	text := func(name, content string) licenceText {
		return licenceText{"example.org/a@v1.0.0", name, []byte(content)}
	}
	for name, c := range map[string]struct {
		texts []licenceText
		want  string
	}{
		"one":              {[]licenceText{text("LICENSE", mit)}, "MIT"},
		"two":              {[]licenceText{text("LICENSE", mit), text("LICENSE-2", isc)}, "ISC AND MIT"},
		"beside a notice":  {[]licenceText{text("LICENSE", mit), text("NOTICE", "Example 0001 was here.")}, "MIT"},
		"only a notice":    {[]licenceText{text("NOTICE", mit)}, noAssertion},
		"of its own words": {[]licenceText{text("LICENSE", "Do with it what you want, but ask Example 0001 first.")}, noAssertion},
		"mostly other":     {[]licenceText{text("LICENSE", mit+strings.Repeat("And ask Example 0001 first. ", 100))}, noAssertion},
		"another module's": {[]licenceText{{"example.org/b@v1.0.0", "LICENSE", []byte(mit)}}, noAssertion},
	} {
		if got := licenceExpression(c.texts, "example.org/a@v1.0.0"); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

func TestBillOfMaterialsNamesEverything(t *testing.T) {
	built := program{content: []byte("program"), info: &buildinfo.BuildInfo{
		GoVersion: "go1.26.8",
		Deps: []*debug.Module{
			{Path: "example.org/a", Version: "v1.0.0", Sum: "h1:" + "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="},
			{Path: "example.org/b/v2", Version: "v2.1.0", Replace: &debug.Module{Path: "example.org/fork", Version: "v2.1.1"}},
		},
	}}
	texts := []licenceText{
		{"example.org/a@v1.0.0", "LICENSE", []byte(mit)},
		{authoritiesModule + "@v0.1.0", "LICENSE", []byte(mit)},
		{authoritiesModule + "@v0.1.0", "PATENTS", []byte("patents")},
	}
	digest := v1.Hash{Algorithm: "sha256", Hex: strings.Repeat("12", 32)}
	content, err := billOfMaterials(built, texts, digest, somePlatform, someOrigin)
	if err != nil {
		t.Fatal(err)
	}
	document, err := spdxjson.Read(bytes.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, p := range document.Packages {
		got[p.PackageName+"@"+p.PackageVersion] = p.PackageLicenseDeclared
	}
	want := map[string]string{
		"rollcall image for linux/amd64@1.2.3": noAssertion, "rollcall@1.2.3": noAssertion,
		"example.org/a@v1.0.0": "MIT", "example.org/fork@v2.1.1": noAssertion,
		"stdlib@1.26.8": noAssertion, authoritiesModule + "@v0.1.0": "MIT",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for _, text := range []string{
		"sha256%3A" + digest.Hex, // the image's own name
		"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f", // go.sum's hash
		someTime.Format("2006-01-02T15:04:05Z"),
	} {
		if !strings.Contains(string(content), text) {
			t.Errorf("%q is not in the document", text)
		}
	}
	again, err := billOfMaterials(built, texts, digest, somePlatform, someOrigin)
	if err != nil || !bytes.Equal(content, again) {
		t.Errorf("written again it differs (%v)", err)
	}
}
