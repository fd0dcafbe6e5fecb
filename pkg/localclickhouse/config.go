package localclickhouse

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"text/template"

	"rollcall/pkg/access"
)

// layout names the files of one server below its directory.
type layout struct{ dir string }

func (l layout) config() string   { return filepath.Join(l.dir, "config.xml") }
func (l layout) users() string    { return filepath.Join(l.dir, "users.xml") }
func (l layout) data() string     { return filepath.Join(l.dir, "data") }
func (l layout) backups() string  { return filepath.Join(l.dir, "backups") }
func (l layout) lock() string     { return filepath.Join(l.dir, "lock") }
func (l layout) output() string   { return filepath.Join(l.dir, "output.log") }
func (l layout) log() string      { return filepath.Join(l.dir, "server.log") }
func (l layout) errorLog() string { return filepath.Join(l.dir, "server.error.log") }

// configTemplate holds a small machine's limits: a local ClickHouse shares it with the
// services and often a broker. The pools' sizes bound the threads that merge; the
// merge_tree settings must fit below pool size × ratio, or the server refuses to start.
//
//nolint:misspell // the settings are ClickHouse's
const configTemplate = `<clickhouse>
  <logger>
    <level>information</level>
    <log>{{xml .Log}}</log>
    <errorlog>{{xml .ErrorLog}}</errorlog>
    <size>20M</size>
    <count>2</count>
  </logger>
  <listen_host>127.0.0.1</listen_host>
  <tcp_port>{{.TCPPort}}</tcp_port>
  <http_port>{{.HTTPPort}}</http_port>
  <path>{{xml .Data}}/</path>
  <tmp_path>{{xml .Data}}/tmp/</tmp_path>
  <user_files_path>{{xml .Data}}/user_files/</user_files_path>
  <format_schema_path>{{xml .Data}}/format_schemas/</format_schema_path>
  <backups><allowed_path>{{xml .Backups}}/</allowed_path></backups>
  <user_directories><users_xml><path>{{xml .Users}}</path></users_xml></user_directories>
  <default_profile>default</default_profile>
  <access_control_improvements>
    <users_without_row_policies_can_read_rows>true</users_without_row_policies_can_read_rows>
    <on_cluster_queries_require_cluster_grant>true</on_cluster_queries_require_cluster_grant>
    <select_from_system_db_requires_grant>true</select_from_system_db_requires_grant>
    <select_from_information_schema_requires_grant>true</select_from_information_schema_requires_grant>
    <settings_constraints_replace_previous>true</settings_constraints_replace_previous>
    <table_engines_require_grant>true</table_engines_require_grant>
  </access_control_improvements>
  <default_database>default</default_database>
  <timezone>UTC</timezone>
  <mlock_executable>false</mlock_executable>
  <max_server_memory_usage>{{.MemoryBytes}}</max_server_memory_usage>
  <max_concurrent_queries>100</max_concurrent_queries>
  <max_connections>256</max_connections>
  <mark_cache_size>67108864</mark_cache_size>
  <uncompressed_cache_size>0</uncompressed_cache_size>
  <background_pool_size>2</background_pool_size>
  <background_merges_mutations_concurrency_ratio>2</background_merges_mutations_concurrency_ratio>
  <background_common_pool_size>2</background_common_pool_size>
  <background_move_pool_size>1</background_move_pool_size>
  <background_fetches_pool_size>1</background_fetches_pool_size>
  <background_schedule_pool_size>8</background_schedule_pool_size>
  <background_message_broker_schedule_pool_size>2</background_message_broker_schedule_pool_size>
  <background_distributed_schedule_pool_size>4</background_distributed_schedule_pool_size>
  <merge_tree>
    <number_of_free_entries_in_pool_to_execute_mutation>2</number_of_free_entries_in_pool_to_execute_mutation>
    <number_of_free_entries_in_pool_to_lower_max_size_of_merge>2</number_of_free_entries_in_pool_to_lower_max_size_of_merge>
    <number_of_free_entries_in_pool_to_execute_optimize_entire_partition>2</number_of_free_entries_in_pool_to_execute_optimize_entire_partition>
  </merge_tree>
{{- with .Remote}}
  <remote_servers>
    <{{.Name}}>
      {{- range .Shards}}
      <shard>
        <internal_replication>true</internal_replication>
        {{- range .}}
        <replica><host>{{xml .Host}}</host><port>{{xml .Port}}</port></replica>
        {{- end}}
      </shard>
      {{- end}}
    </{{.Name}}>
  </remote_servers>
{{- end}}
{{- with .ZooKeeper}}
  <zookeeper>
    {{- range .}}
    <node><host>{{xml .Host}}</host><port>{{xml .Port}}</port></node>
    {{- end}}
  </zookeeper>
{{- end}}
{{- with .Macros}}
  <macros>{{range $name, $value := .}}<{{$name}}>{{xml $value}}</{{$name}}>{{end}}</macros>
{{- end}}
{{- range .Logs}}
  <{{.}}>
    <database>system</database>
    <table>{{.}}</table>
    <partition_by>toMonday(event_date)</partition_by>
    <ttl>event_date + INTERVAL 3 DAY DELETE</ttl>
    <flush_interval_milliseconds>7500</flush_interval_milliseconds>
    <max_size_rows>65536</max_size_rows>
    <reserved_size_rows>1024</reserved_size_rows>
    <buffer_size_rows_flush_threshold>32768</buffer_size_rows_flush_threshold>
  </{{.}}>
{{- end}}
</clickhouse>
`

// writeConfig writes the configuration and the users; the latter may hold passwords'
// hashes, so only the owner reads them.
func writeConfig(l layout, o Options) error {
	memoryBytes := o.MemoryBytes
	if memoryBytes == 0 {
		memoryBytes = defaultMemoryBytes
	}
	remote, err := o.Remote.view()
	if err != nil {
		return err
	}
	keepers, err := nodes(o.ZooKeeper)
	if err != nil {
		return err
	}
	err = writeTemplate(l.config(), configTemplate, map[string]any{
		"Remote": remote, "ZooKeeper": keepers, "Macros": o.Macros,
		"Log": l.log(), "ErrorLog": l.errorLog(), "Data": l.data(), "Backups": l.backups(), "Users": l.users(),
		"TCPPort": o.TCPPort, "HTTPPort": o.HTTPPort, "MemoryBytes": memoryBytes,
		"Logs": logTables(),
	})
	if err != nil {
		return err
	}
	return writeUsers(l, o)
}

// node is an address as the template has it.
type node struct{ Host, Port string }

func nodes(addresses []string) ([]node, error) {
	var all []node
	for _, address := range addresses {
		host, port, err := net.SplitHostPort(address)
		if err != nil {
			return nil, fmt.Errorf("local ClickHouse: an address of another server: %w", err)
		}
		all = append(all, node{host, port})
	}
	return all, nil
}

// view is the cluster as the template has it; nil: there is none.
func (r Remote) view() (any, error) {
	if r.Name == "" {
		return nil, nil
	}
	if !userName.MatchString(r.Name) {
		return nil, fmt.Errorf("local ClickHouse: %q is no name for a cluster: lower-case letters, digits and _", r.Name)
	}
	var shards [][]node
	for _, addresses := range r.Shards {
		replicas, err := nodes(addresses)
		if err != nil {
			return nil, err
		}
		shards = append(shards, replicas)
	}
	return struct {
		Name   string
		Shards [][]node
	}{r.Name, shards}, nil
}

// logTables are what the server logs into tables of its own.
func logTables() []string { return []string{"query_log", "part_log"} }

// forgetLogs removes the log tables of the directory's former servers. The library does
// not read the metadata of the database system at its start: it can neither show those
// tables nor make new ones while their files are there (seen with 26.7).
func forgetLogs(l layout) error {
	for _, table := range logTables() {
		link := filepath.Join(l.data(), "data", "system", table)
		files, err := filepath.EvalSymlinks(link)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return fmt.Errorf("look for former logs: %w", err)
		}
		if err := errors.Join(os.RemoveAll(files), os.RemoveAll(link)); err != nil {
			return fmt.Errorf("remove former logs: %w", err)
		}
	}
	return nil
}

// writeUsers lets only this machine in, and nobody as the definer of the views. The
// library's own terminal is the user default without a password, whatever the options
// say; where another user has one, default may do no more than what the terminal needs.
func writeUsers(l layout, o Options) error {
	loopback := []string{"127.0.0.1", "::1"}
	file := access.UsersFile{Databases: o.Databases, Clustered: o.Remote.Name != "", Administrators: []access.Administrator{{Name: "default", Networks: loopback}}}
	if len(file.Databases) == 0 {
		file.Databases = []string{access.DefaultDatabase}
	}
	if o.User != "" {
		file.Administrators[0].Grants = []string{"GRANT SYSTEM LISTEN ON *.*"}
		file.Administrators = append(file.Administrators, access.Administrator{Name: o.User, Password: o.Password, Networks: loopback})
	}
	for _, user := range o.Users {
		user.Networks = loopback
		file.Users = append(file.Users, user)
	}
	content, err := file.Render()
	if err != nil {
		return err
	}
	if err := os.WriteFile(l.users(), content, 0o600); err != nil {
		return fmt.Errorf("write the users: %w", err)
	}
	return nil
}

func writeTemplate(path, text string, values map[string]any) error {
	parsed, err := template.New(filepath.Base(path)).Funcs(template.FuncMap{"xml": escapeXML}).Parse(text)
	if err != nil {
		return fmt.Errorf("parse the template of %s: %w", path, err)
	}
	var out bytes.Buffer
	if err := parsed.Execute(&out, values); err != nil {
		return fmt.Errorf("fill the template of %s: %w", path, err)
	}
	if err := os.WriteFile(path, out.Bytes(), 0o600); err != nil {
		return fmt.Errorf("write the configuration: %w", err)
	}
	return nil
}

func escapeXML(text string) (string, error) {
	var out bytes.Buffer
	if err := xml.EscapeText(&out, []byte(text)); err != nil {
		return "", err
	}
	return out.String(), nil
}
