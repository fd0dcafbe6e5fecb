package migrations

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"strings"
)

// Names are those of the databases that migrations speak of.
type Names struct {
	// Main is the database of the tables and views. A view that takes parameters is looked
	// for in the reader's own database, unless it is named with that of the view.
	Main string
	// Restricted is the database of identities and of who asked for them.
	Restricted string
}

// rendered is a file system of migrations in which @database@ and @restricted@ are names: one server
// may hold the databases of several installations.
type rendered struct {
	fs.FS
	names *strings.Replacer
}

func render(files fs.FS, names Names) rendered {
	return rendered{files, strings.NewReplacer("@database@", names.Main, "@restricted@", names.Restricted)}
}

// Open implements fs.FS.
func (r rendered) Open(name string) (fs.File, error) {
	file, err := r.FS.Open(name)
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err != nil || info.IsDir() {
		return file, err
	}
	defer file.Close()
	text, err := io.ReadAll(file)
	if err != nil {
		return nil, fmt.Errorf("read migration: %w", err)
	}
	content := []byte(r.names.Replace(string(text)))
	return &renderedFile{Reader: bytes.NewReader(content), info: renderedInfo{info, int64(len(content))}}, nil
}

type renderedFile struct {
	*bytes.Reader
	info renderedInfo
}

func (f *renderedFile) Stat() (fs.FileInfo, error) { return f.info, nil }
func (f *renderedFile) Close() error               { return nil }

type renderedInfo struct {
	fs.FileInfo
	size int64
}

func (i renderedInfo) Size() int64 { return i.size }
