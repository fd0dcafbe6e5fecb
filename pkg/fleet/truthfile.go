package fleet

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// Truth is what a fleet's installations had counted, by licence, day, application
// and metric. docs/simulator.md defines it.
type Truth struct {
	Header Header
	Cells  []Cell // ascending by licence key, day, application, metric
}

// Header says where a truth comes from and how much there is of it.
type Header struct {
	Options       Options       `json:"options"`
	Licences      int           `json:"licences"`
	Installations int           `json:"installations"`
	Sessions      int           `json:"sessions"`
	SessionDays   int           `json:"session_days"`
	Network       NetworkCounts `json:"network"`
	Cells         int           `json:"cells"`
}

// WriteFile writes the truth as JSON lines, the header first and then a cell a
// line. The file is there whole or not at all; as it holds licence keys, only its
// owner may read it.
func (t *Truth) WriteFile(path string) (err error) {
	file, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return fmt.Errorf("write truth: %w", err)
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("write truth: %w", errors.Join(err, file.Close(), os.Remove(file.Name())))
		}
	}()
	if err := t.write(file); err != nil {
		return err
	}
	if err := file.Sync(); err != nil {
		return err
	}
	return os.Rename(file.Name(), path)
}

func (t *Truth) write(w io.Writer) error {
	buffered := bufio.NewWriter(w)
	out := json.NewEncoder(buffered)
	if err := out.Encode(t.Header); err != nil {
		return err
	}
	for _, c := range t.Cells {
		if err := out.Encode(c); err != nil {
			return err
		}
	}
	return buffered.Flush()
}

// ReadTruth reads what WriteFile wrote, and refuses a file that is cut short.
func ReadTruth(path string) (*Truth, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read truth: %w", err)
	}
	defer file.Close()
	in := json.NewDecoder(bufio.NewReader(file))
	var t Truth
	if err := in.Decode(&t.Header); err != nil {
		return nil, fmt.Errorf("read truth: header: %w", err)
	}
	for {
		var c Cell
		if err := in.Decode(&c); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, fmt.Errorf("read truth: cell %d: %w", len(t.Cells)+1, err)
		}
		t.Cells = append(t.Cells, c)
	}
	if len(t.Cells) != t.Header.Cells {
		return nil, fmt.Errorf("read truth: %d cells where the header says %d", len(t.Cells), t.Header.Cells)
	}
	return &t, nil
}
