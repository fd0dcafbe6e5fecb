// Command dictionary makes the public zstd dictionary of the newest report schema
// from reports of the simulated fleet, where that schema has none:
//
//	go run ./scripts/dictionary
//
// Frames name the dictionary that they need, and stay in Kafka for a month, so a
// released one never changes; -new makes another beside it, which new frames use.
// Nobody's data is in it: the words of the metrics catalogue, and the simulator's
// products, releases and operating systems.
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"time"

	schema "rollcall/schemas/avro"
)

func main() {
	dir := flag.String("dir", "schemas/avro", "directory of the schemas")
	another := flag.Bool("new", false, "make another dictionary beside those that there are")
	flag.Parse()
	if err := run(*dir, *another); err != nil {
		fmt.Fprintln(os.Stderr, "dictionary:", err)
		os.Exit(1)
	}
}

func run(dir string, another bool) error {
	newest := schema.Released().Newest("UsageReport")
	made := len(newest.Dictionaries)
	if made > 0 && !another {
		return nil
	}
	content, err := build(uint32(idBase*newest.Number + made + 1))
	if err != nil {
		return err
	}
	path := filepath.Join(dir, fmt.Sprintf("usage_report.v%d.%d.zdict", newest.Number, made+1))
	file, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("write the dictionary: %w", err)
	}
	if _, err := file.Write(content); err != nil {
		return fmt.Errorf("write the dictionary: %w", err)
	}
	if err := file.Close(); err != nil {
		return fmt.Errorf("write the dictionary: %w", err)
	}
	fmt.Printf("%s: %d bytes\n", path, len(content))
	return nil
}

// idBase parts the ids of versions: those of v1 are 11, 12, … An id below 256 takes
// one byte of a frame.
const idBase = 10

// end of the fleet's time: fixed, so that the same catalogue gives the same dictionary.
var end = time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
