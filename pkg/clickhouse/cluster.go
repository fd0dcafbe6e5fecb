package clickhouse

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"regexp"
	"slices"
	"strings"

	chgo "github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/google/uuid"

	"rollcall/pkg/access"
	"rollcall/pkg/telemetry"
)

// Cluster says how the tables are spread over several servers
// (docs/decisions/clickhouse-cluster.md). Without a name there is one server.
type Cluster struct {
	Name       string   `help:"Name of the cluster in the servers' remote_servers. Empty: one server, no shards."`
	Shards     []string `help:"Shards in the order of remote_servers, each as the native addresses of its replicas, host:port with spaces between; of a shard the first that answers is asked, and an insert waits for most of them. Their order and number place the licences."`
	Replicated bool     `help:"Make tables with Replicated engines: the servers have Keeper or ZooKeeper and the macros shard and replica." default:"false"`
}

var clusterName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.-]{0,63}$`)

func (c Cluster) validate() error {
	if c.Name == "" {
		if len(c.Shards) > 0 || c.Replicated {
			return errors.New("clickhouse.cluster.shards or replicated is set, but clickhouse.cluster.name is not")
		}
		return nil
	}
	var errs []error
	if !clusterName.MatchString(c.Name) {
		errs = append(errs, errors.New("clickhouse.cluster.name must be a letter or _, then up to 63 letters, digits, _, . or -"))
	}
	if len(c.Shards) == 0 {
		errs = append(errs, errors.New("clickhouse.cluster.shards is empty"))
	}
	seen := map[string]bool{}
	for i, shard := range c.Shards {
		replicas := strings.Fields(shard)
		if len(replicas) == 0 {
			errs = append(errs, fmt.Errorf("clickhouse.cluster.shards: number %d has no address", i+1))
		}
		if len(replicas) > 1 && !c.Replicated {
			errs = append(errs, fmt.Errorf("clickhouse.cluster.shards: number %d has replicas, but clickhouse.cluster.replicated is false", i+1))
		}
		for _, address := range replicas {
			if _, _, err := net.SplitHostPort(address); err != nil {
				errs = append(errs, fmt.Errorf("clickhouse.cluster.shards: an address of number %d is not host:port", i+1))
			}
			if seen[address] {
				errs = append(errs, fmt.Errorf("clickhouse.cluster.shards: number %d has an address that stands there before", i+1))
			}
			seen[address] = true
		}
	}
	return errors.Join(errs...)
}

// Clustered reports whether the tables are spread over shards.
func (c Config) Clustered() bool { return c.Cluster.Name != "" }

// ShardDatabase is the database of a shard's own tables; c.Database is then the one that
// speaks for all shards. On one server both are the same.
func (c Config) ShardDatabase() string {
	if !c.Clustered() {
		return c.Database
	}
	return access.ShardDatabase(c.Database)
}

// Shards returns how to reach the tables of each shard, in their order: its database,
// on the first replica that answers. One server is one shard.
func (c Config) Shards() []Config {
	if !c.Clustered() {
		return []Config{c}
	}
	shards := make([]Config, len(c.Cluster.Shards))
	for i, replicas := range c.Cluster.Shards {
		shards[i] = c.shard(i, strings.Fields(replicas))
	}
	return shards
}

// servers returns how to reach the tables on every server: of each shard each replica.
func (c Config) servers() []Config {
	if !c.Clustered() {
		return []Config{c}
	}
	var servers []Config
	for i, replicas := range c.Cluster.Shards {
		for _, address := range strings.Fields(replicas) {
			servers = append(servers, c.shard(i, []string{address}))
		}
	}
	return servers
}

// quorum is how many replicas have what is inserted when it is acknowledged: most of all
// that there are, so of two both.
const quorum = "auto"

// shard is a configuration of one shard, from 0, which speaks of no cluster any more, but
// that what it inserts is on most replicas when it is acknowledged.
func (c Config) shard(number int, addresses []string) Config {
	of := c
	of.Addresses, of.Database, of.Cluster = addresses, c.ShardDatabase(), Cluster{}
	of.replicated, of.place = c.Cluster.Replicated, Place{number + 1, len(c.Cluster.Shards)}
	return of
}

// OpenShards is Open for each shard, in their order. Of a cluster it fails where a server
// says that it is another shard. The caller closes them all.
func OpenShards(ctx context.Context, cfg Config, tel telemetry.Telemetry) ([]driver.Conn, error) {
	conns, err := DialShards(cfg, tel)
	if err != nil {
		return nil, err
	}
	if err := CheckShards(ctx, cfg, conns); err != nil {
		return nil, errors.Join(err, CloseAll(conns))
	}
	return conns, nil
}

// DialShards is OpenShards for servers that may be away: nothing may be written before
// CheckShards has found each of them where it is expected. The caller closes them all.
func DialShards(cfg Config, tel telemetry.Telemetry) ([]driver.Conn, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	var conns []driver.Conn
	for _, shard := range cfg.Shards() {
		conn, err := Dial(shard, tel)
		if err != nil {
			return nil, errors.Join(err, CloseAll(conns))
		}
		conns = append(conns, conn)
	}
	return conns, nil
}

// CheckShards fails where a server of what DialShards returned does not answer, and, of a
// cluster, where it is not the shard that cfg takes it for: that is an ErrOtherShard where
// it says that it is another one, which no waiting mends.
func CheckShards(ctx context.Context, cfg Config, conns []driver.Conn) error {
	for i, shard := range cfg.Shards() {
		if err := shard.check(ctx, conns[i]); err != nil {
			return err
		}
	}
	return nil
}

// OpenShard is OpenShards for the shard of this number, from 0 (ShardOf). The caller
// closes it.
func OpenShard(ctx context.Context, cfg Config, number int, tel telemetry.Telemetry) (driver.Conn, error) {
	shard := cfg.Shards()[number]
	conn, err := Dial(shard, tel)
	if err != nil {
		return nil, err
	}
	if err := shard.check(ctx, conn); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return conn, nil
}

// check fails where the server does not answer, or is another shard than c takes it for.
func (c Config) check(ctx context.Context, conn driver.Conn) error {
	err := c.answers(ctx, conn)
	if c.place.Shards == 0 { // the one server
		return err
	}
	if err != nil {
		return fmt.Errorf("shard %d: %w", c.place.Shard, err)
	}
	return c.checkPlace(ctx, conn)
}

// Foreground makes what is inserted through a table over all shards be on its shard when
// it is acknowledged, and there on most replicas: a server without replicas takes no notice
// of that. It is no setting of the connection: those who only read may not set it.
func Foreground(ctx context.Context) context.Context {
	return chgo.Context(ctx, chgo.WithSettings(chgo.Settings{"async_insert": 0, "distributed_foreground_insert": 1, "insert_quorum": quorum}))
}

// CloseAll closes connections.
func CloseAll(conns []driver.Conn) error {
	var errs []error
	for _, conn := range slices.Backward(conns) {
		errs = append(errs, conn.Close())
	}
	return errors.Join(errs...)
}

// ShardOf returns which of so many shards, from 0, has a licence's rows, all of them: the
// second half of its pseudonym, big-endian, modulo their number. A pseudonym is a keyed
// hash, so licences spread evenly. To change this, or the number or order of shards, is
// to move licences: schemas/clickhouse has the same as SQL.
func ShardOf(licence uuid.UUID, shards int) int {
	return int(binary.BigEndian.Uint64(licence[8:]) % uint64(max(shards, 1)))
}

// ShardOfPartition returns which of so many shards, from 0, has the receipts of a
// partition and its dead letters: an offset may end twice, and the later end replaces
// the earlier one only where both stand in one table.
func ShardOfPartition(partition int32, shards int) int {
	return int(uint32(partition) % uint32(max(shards, 1)))
}
