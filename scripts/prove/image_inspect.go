package main

import (
	"context"
	"crypto/sha256"
	"debug/buildinfo"
	"debug/elf"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"rollcall/scripts/parts/partstore"
	"rollcall/scripts/testbed"
)

// inspected is what was found in one platform's image.
type inspected struct {
	platform ociPlatform
	files    int
	modules  int      // of the binary
	licensed int      // packages of the document with a licence that is known
	problems []string // each a reason why the claim falls short
}

func (i inspected) good() bool {
	return len(i.problems) == 0 && i.platform.size < imageLimit && i.modules > 0
}

func (i inspected) String() string {
	text := fmt.Sprintf("%s: %.1f MB compressed (%.0f wanted), %d files, a static binary; SPDX valid, with %d of %d modules of the binary, %d with their licence",
		i.platform.name, float64(i.platform.size)/1e6, imageLimit/1e6, i.files, i.modules, i.modules, i.licensed)
	if len(i.problems) > 0 {
		text = fmt.Sprintf("%s: %.1f MB compressed; %s", i.platform.name, float64(i.platform.size)/1e6, strings.Join(i.problems, ", "))
	}
	return text
}

// inspectPlatform compares the image with what its binary says of itself.
func inspectPlatform(ctx context.Context, env *Environment, image *ociImage, p ociPlatform) (inspected, error) {
	found := inspected{platform: p}
	files, err := p.unpack(env.Path("unpacked-" + strings.ReplaceAll(p.name, "/", "-")))
	if err != nil {
		return found, err
	}
	found.files = files.files
	config := p.config.Config
	if config.User != "65532:65532" || !slices.Equal(config.Entrypoint, []string{"/rollcall"}) || len(config.Env) > 0 {
		found.problems = append(found.problems, fmt.Sprintf("it runs %v as %q with %v", config.Entrypoint, config.User, config.Env))
	}
	binary := filepath.Join(files.directory, "rollcall")
	static, err := inspectBinary(binary)
	if err != nil {
		return found, err
	}
	found.problems = append(found.problems, static...)
	missing, err := found.inspectBill(binary)
	if err != nil {
		return found, err
	}
	found.problems = append(found.problems, missing...)
	if err := validateBill(ctx, env, p); err != nil {
		found.problems = append(found.problems, err.Error())
	}
	// The layout's document must be the one beside it.
	beside, err := os.ReadFile(filepath.Join(filepath.Dir(image.directory), "rollcall-"+strings.ReplaceAll(p.name, "/", "-")+".spdx.json"))
	if err != nil || string(beside) != string(p.sbom) {
		found.problems = append(found.problems, fmt.Sprintf("the bill of materials beside the image is another (%v)", err))
	}
	return found, nil
}

// inspectBinary says what keeps the binary from running in an empty image, or is in it
// and should not be.
func inspectBinary(path string) (problems []string, err error) {
	file, err := elf.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read the binary: %w", err)
	}
	defer file.Close()
	for _, program := range file.Progs {
		if program.Type == elf.PT_INTERP || program.Type == elf.PT_DYNAMIC {
			problems = append(problems, "the binary is not static: "+program.Type.String())
		}
	}
	info, err := buildinfo.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the binary: %w", err)
	}
	for _, setting := range info.Settings {
		if setting.Key == "-tags" || setting.Key == "CGO_ENABLED" && setting.Value != "0" {
			problems = append(problems, "the binary was built with "+setting.Key+"="+setting.Value)
		}
	}
	return problems, nil
}

// spdxDocument is what the proof reads of a bill of materials.
type spdxDocument struct {
	Packages []struct {
		Name, VersionInfo string
		LicenseDeclared   string
	}
	Files []struct {
		FileName  string
		Checksums []struct{ Algorithm, ChecksumValue string }
	}
}

// inspectBill looks for every module that the binary names, and for the binary itself.
func (i *inspected) inspectBill(binary string) (problems []string, err error) {
	var document spdxDocument
	if err := json.Unmarshal(i.platform.sbom, &document); err != nil {
		return nil, fmt.Errorf("read the bill of materials: %w", err)
	}
	info, err := buildinfo.ReadFile(binary)
	if err != nil {
		return nil, fmt.Errorf("read the binary: %w", err)
	}
	listed := map[string]bool{}
	for _, p := range document.Packages {
		listed[p.Name+"@"+p.VersionInfo] = true
		if p.LicenseDeclared != "" && p.LicenseDeclared != "NOASSERTION" {
			i.licensed++
		}
	}
	release, _, _ := strings.Cut(info.GoVersion, " ")
	wanted := []string{"stdlib@" + strings.TrimPrefix(release, "go")}
	for _, module := range info.Deps {
		if module.Replace != nil {
			module = module.Replace
		}
		wanted = append(wanted, module.Path+"@"+module.Version)
	}
	i.modules = len(wanted)
	for _, name := range wanted {
		if !listed[name] {
			problems = append(problems, name+" is not in the bill of materials")
		}
	}
	content, err := os.ReadFile(binary)
	if err != nil {
		return nil, fmt.Errorf("read the binary: %w", err)
	}
	sum := sha256.Sum256(content)
	for _, file := range document.Files {
		for _, checksum := range file.Checksums {
			if checksum.Algorithm == "SHA256" && checksum.ChecksumValue == hex.EncodeToString(sum[:]) {
				return problems, nil
			}
		}
	}
	return append(problems, "the bill of materials is of another binary"), nil
}

// validateBill asks the SPDX project's own library.
func validateBill(ctx context.Context, env *Environment, p ociPlatform) error {
	python, err := env.Part(ctx, partstore.SPDXTools)
	if err != nil {
		return err
	}
	root, err := testbed.Root(ctx)
	if err != nil {
		return err
	}
	path := env.Path("bill-" + strings.ReplaceAll(p.name, "/", "-") + ".spdx.json")
	if err := os.WriteFile(path, p.sbom, 0o644); err != nil {
		return fmt.Errorf("write the bill of materials: %w", err)
	}
	if _, err := output(ctx, nil, python, filepath.Join(root, "scripts", "image", "spdx", "validate.py"), path); err != nil {
		return fmt.Errorf("the bill of materials is not valid: %w", err)
	}
	return nil
}
