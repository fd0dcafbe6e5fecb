// Command year writes a synthetic year into a local ClickHouse of its own: what so many
// reports leave behind, for looking at how answers behave at scale (docs/scale.md).
//
//	go run -tags embedded ./scripts/year --dir DIR --reports 20000000
//
// It goes on where an earlier run with the same flags was cut off.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"rollcall/pkg/access"
	"rollcall/pkg/clickhouse"
	"rollcall/pkg/localclickhouse"
	"rollcall/pkg/telemetry"
	"rollcall/scripts/parts/partstore"
	"rollcall/scripts/year/pastyear"
)

func main() {
	if localclickhouse.Main() {
		return // this process was the ClickHouse
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "year:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, arguments []string) (err error) {
	flags := flag.NewFlagSet("year", flag.ContinueOnError)
	dir := flags.String("dir", "", "directory of ClickHouse's data; made where it is missing")
	reports := flags.Uint64("reports", 20_000_000, "reports of the year, about")
	licences := flags.Uint("licences", 20_000, "licences in the registry")
	days := flags.Int("days", pastyear.Year, "days of the year, counted from its end")
	seed := flags.Uint64("seed", 1, "one seed, one year")
	serve := flags.Bool("serve", false, "stay up afterwards, until interrupted")
	if err := flags.Parse(arguments); err != nil {
		return err
	}
	if *dir == "" {
		return errors.New("--dir is required")
	}
	options := pastyear.Options{Seed: *seed, Licences: uint32(*licences), Days: *days, Reports: *reports, Now: time.Now(), Say: say}
	if err := options.Validate(); err != nil {
		return err
	}
	server, err := start(ctx, *dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.Stop(context.WithoutCancel(ctx))) }()
	if err := load(ctx, server, options); err != nil {
		return err
	}
	if *serve {
		say("native protocol %s, HTTP %s", server.Address(), server.HTTPURL())
		<-ctx.Done()
	}
	return nil
}

// memoryBytes lets aggregations of the size have their room.
const memoryBytes = 6 << 30

func start(ctx context.Context, dir string) (*localclickhouse.Server, error) {
	store, err := partstore.Open(os.Stderr)
	if err != nil {
		return nil, err
	}
	library, err := store.Ensure(ctx, partstore.ClickHouse)
	if err != nil {
		return nil, err
	}
	return localclickhouse.Start(ctx, localclickhouse.Options{Dir: dir, LibraryPath: library, MemoryBytes: memoryBytes})
}

func load(ctx context.Context, server *localclickhouse.Server, o pastyear.Options) (err error) {
	config := clickhouse.Config{
		Addresses: []string{server.Address()}, Database: access.DefaultDatabase, User: "default", DialTimeout: 5 * time.Second, ReadTimeout: 10 * time.Minute,
	}
	if _, err := clickhouse.Migrate(ctx, config); err != nil {
		return err
	}
	conn, err := clickhouse.Open(ctx, config, telemetry.Discard())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	started := time.Now()
	summary, err := pastyear.Load(ctx, conn, o)
	if err != nil {
		return err
	}
	fmt.Printf("%stook %v\n", summary, time.Since(started).Round(time.Second))
	return nil
}

func say(format string, values ...any) {
	fmt.Fprintf(os.Stderr, time.Now().Format(time.TimeOnly)+" "+format+"\n", values...)
}
