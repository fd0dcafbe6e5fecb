package migrations

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"regexp"
	"strings"
)

// Names are those of the databases that migrations speak of.
type Names struct {
	// Main is the database of the tables and views. A view that takes parameters is looked
	// for in the reader's own database, unless it is named with that of the view.
	Main string
	// Restricted is the database of identities and of who asked for them.
	Restricted string
	// Replicated makes tables with Replicated engines: each replica of a shard has had the
	// migrations, and the tables find each other by their paths.
	Replicated bool
}

// rendered is a file system of migrations in which @database@ and @restricted@ are names: one server
// may hold the databases of several installations.
type rendered struct {
	fs.FS
	names Names
}

func render(files fs.FS, names Names) rendered { return rendered{files, names} }

// tablesAndEngines finds the names of tables that are made, and their engines with what
// these are given.
var tablesAndEngines = regexp.MustCompile(`CREATE TABLE IF NOT EXISTS (\S+)|ENGINE = (\w*MergeTree)(?:\(([^)\n]*)\))?`)

// text is a migration with the names of its databases, and the engines that go with them.
func (n Names) text(migration string) string {
	if n.Replicated {
		table := ""
		migration = tablesAndEngines.ReplaceAllStringFunc(migration, func(found string) string {
			parts := tablesAndEngines.FindStringSubmatch(found)
			if parts[1] != "" {
				table = strings.ReplaceAll(parts[1], ".", "/")
				if table == parts[1] {
					table = "@database@/" + table
				}
				return found
			}
			arguments := "'/clickhouse/tables/{shard}/" + table + "', '{replica}'"
			if parts[3] != "" {
				arguments += ", " + parts[3]
			}
			return "ENGINE = Replicated" + parts[2] + "(" + arguments + ")"
		})
	}
	return strings.NewReplacer("@database@", n.Main, "@restricted@", n.Restricted).Replace(migration)
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
	content := []byte(r.names.text(string(text)))
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
