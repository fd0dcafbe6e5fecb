package staticpage

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

// What a page consists of. The first is enough to look at it; the second is the same
// for programs.
const (
	indexFile = "index.html"
	dataFile  = "data.json"
)

// generator is how a page is known as one of ours.
const generator = `<meta name="generator" content="Rollcall report">`

// ErrForeign says that a directory holds something else than a page of ours.
var ErrForeign = errors.New("the directory is not empty and holds no report of Rollcall; --force writes into it all the same")

// Written says what was written where.
type Written struct {
	Dir   string   `json:"dir"`
	Files []string `json:"files"`
	Bytes int64    `json:"bytes"` // of all files
}

// Write puts the page into a directory, which it makes where it is missing. Nobody sees
// half a page: files are written beside the directory and renamed into it, index.html
// last. Other files of the directory stay. A directory that is neither empty nor holds
// an earlier page is refused with ErrForeign unless forced.
func Write(dir string, c *Content, force bool) (*Written, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("find the directory: %w", err)
	}
	if err := Check(dir, force); err != nil {
		return nil, err
	}
	var page bytes.Buffer
	if err := Render(&page, c); err != nil {
		return nil, err
	}
	data, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encode the page's data: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return nil, fmt.Errorf("make the directory: %w", err)
	}
	work, err := os.MkdirTemp(filepath.Dir(dir), "."+filepath.Base(dir)+"-")
	if err != nil {
		return nil, fmt.Errorf("make a temporary directory: %w", err)
	}
	defer os.RemoveAll(work)
	written := &Written{Dir: dir}
	for _, file := range []struct {
		name    string
		content []byte
	}{{dataFile, append(data, '\n')}, {indexFile, page.Bytes()}} {
		if err := writeSynced(filepath.Join(work, file.name), file.content); err != nil {
			return nil, err
		}
		written.Files, written.Bytes = append(written.Files, file.name), written.Bytes+int64(len(file.content))
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("make the directory: %w", err)
	}
	for _, name := range written.Files {
		if err := os.Rename(filepath.Join(work, name), filepath.Join(dir, name)); err != nil {
			return nil, fmt.Errorf("put the page in place: %w", err)
		}
	}
	slices.Sort(written.Files)
	return written, nil
}

// Check tells whether Write would refuse a directory, before anything is computed.
func Check(dir string, force bool) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) || err == nil && (len(entries) == 0 || force) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look into the directory: %w", err)
	}
	page, err := os.ReadFile(filepath.Join(dir, indexFile))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("look at the earlier page: %w", err)
	}
	if !bytes.Contains(page, []byte(generator)) {
		return ErrForeign
	}
	return nil
}

// writeSynced writes a file that survives the machine's power once it has its name.
func writeSynced(path string, content []byte) error {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("write the page: %w", err)
	}
	_, err = file.Write(content)
	if err := errors.Join(err, file.Sync(), file.Close()); err != nil {
		return fmt.Errorf("write the page: %w", err)
	}
	return nil
}
