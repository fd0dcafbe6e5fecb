// Package geoip tells the country and the autonomous system of an address, from
// files held in memory: no address leaves the process to be looked up.
//
// Countries come from a MaxMind DB file. Systems come from a MaxMind DB file, or
// from the CSV files of ip-location-db (first,last,number,name), which are for
// demonstrations. In production the operator brings files of their own licence.
package geoip

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"sync"

	"github.com/oschwald/maxminddb-golang/v2"
)

// Config names the files. Both may be empty: then nothing is known of any address.
type Config struct {
	CountryFile string   `name:"country-file" help:"MaxMind DB file with the country of an address (GeoLite2 or GeoIP2 Country, DB-IP); empty: no countries."`
	ASNFiles    []string `name:"asn-files" help:"Files with the autonomous system of an address: MaxMind DB, or CSV of first,last,number,name (one for IPv4, one for IPv6); empty: no systems."`
}

// Open reads the files of the configuration.
func (c Config) Open() (*DB, error) { return Open(c.CountryFile, c.ASNFiles...) }

// DB is immutable but for a bounded cache, and safe for concurrent use.
type DB struct {
	country *maxminddb.Reader // nil: no countries
	// countries caches decoded country codes by the offset of their record: a file
	// has one record a country, shared by its networks.
	countries sync.Map // uintptr → string
	systems   []systems
}

// systems is a source of autonomous system numbers; 0: unknown.
type systems interface {
	lookup(netip.Addr) uint32
}

// Open reads a country file and files of autonomous systems whole into memory, so
// that replacing a file under a running process changes nothing and breaks nothing.
// An empty name is a file that is not there to be read. A file that is cut short, or is
// something else, is an error that says so.
func Open(countryFile string, asnFiles ...string) (*DB, error) {
	db := &DB{}
	if countryFile != "" {
		content, err := os.ReadFile(countryFile)
		if err != nil {
			return nil, fmt.Errorf("open country file: %w", err)
		}
		if db.country, err = openMMDB(content, "asn", "isp"); err != nil {
			return nil, fmt.Errorf("country file %s: %w", countryFile, err)
		}
	}
	for _, path := range asnFiles {
		if path == "" {
			continue
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("open file of autonomous systems: %w", err)
		}
		source, err := openSystems(content)
		if err != nil {
			return nil, fmt.Errorf("file of autonomous systems %s: %w", path, err)
		}
		db.systems = append(db.systems, source)
	}
	return db, nil
}

// Lookup returns the country as ISO 3166-1 alpha-2 and the autonomous system number
// of an address; an empty string and 0 stand for what is not known. A private,
// loopback, link-local or multicast address is not known.
func (db *DB) Lookup(a netip.Addr) (country string, asn uint32) {
	a = a.Unmap().WithZone("")
	if !a.IsValid() || a.IsPrivate() || a.IsLoopback() || a.IsLinkLocalUnicast() || a.IsMulticast() || a.IsUnspecified() {
		return "", 0
	}
	for _, source := range db.systems {
		if asn = source.lookup(a); asn != 0 {
			break
		}
	}
	return db.lookupCountry(a), asn
}

func (db *DB) lookupCountry(a netip.Addr) string {
	if db.country == nil {
		return ""
	}
	result := db.country.Lookup(a)
	if !result.Found() { // also an address of a family that the file does not have
		return ""
	}
	if code, ok := db.countries.Load(result.Offset()); ok {
		return code.(string)
	}
	code := countryOf(result)
	db.countries.Store(result.Offset(), code)
	return code
}

func countryOf(result maxminddb.Result) string {
	var record struct {
		Code    string `maxminddb:"country_code"` // ip-location-db
		Country struct {
			Code string `maxminddb:"iso_code"` // MaxMind, DB-IP
		} `maxminddb:"country"`
	}
	if err := result.Decode(&record); err != nil {
		return "" // a broken record is an unknown country
	}
	if code := cmp.Or(record.Code, record.Country.Code); isCountry(code) {
		return code
	}
	return ""
}

// isCountry keeps whatever else a file may hold out of the records.
func isCountry(code string) bool {
	return len(code) == 2 && 'A' <= code[0] && code[0] <= 'Z' && 'A' <= code[1] && code[1] <= 'Z'
}

// mmdbMarker begins the metadata at the end of every MaxMind DB file.
const mmdbMarker = "\xab\xcd\xefMaxMind.com"

// openMMDB opens a file unless its type says that it is for something else.
func openMMDB(content []byte, unwanted ...string) (*maxminddb.Reader, error) {
	if !bytes.Contains(content, []byte(mmdbMarker)) {
		return nil, errors.New("not a MaxMind DB file, or one that is cut short")
	}
	reader, err := maxminddb.OpenBytes(content)
	if err != nil {
		return nil, fmt.Errorf("not a whole MaxMind DB file: %w", err)
	}
	for _, word := range unwanted {
		if strings.Contains(strings.ToLower(reader.Metadata.DatabaseType), word) {
			return nil, fmt.Errorf("a MaxMind DB file of the type %q, which is for something else", reader.Metadata.DatabaseType)
		}
	}
	return reader, nil
}

func openSystems(content []byte) (systems, error) {
	if !bytes.Contains(content, []byte(mmdbMarker)) {
		return parseRanges(content)
	}
	reader, err := openMMDB(content, "country", "city")
	if err != nil {
		return nil, err
	}
	return mmdbSystems{reader}, nil
}

type mmdbSystems struct{ reader *maxminddb.Reader }

func (s mmdbSystems) lookup(a netip.Addr) uint32 { return systemOf(s.reader.Lookup(a)) }

func systemOf(result maxminddb.Result) uint32 {
	var number uint32
	// A broken record, like an absent one, is an unknown system.
	if err := result.DecodePath(&number, "autonomous_system_number"); err != nil {
		return 0
	}
	return number
}
