package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"rollcall/pkg/localclickhouse"
	"rollcall/pkg/telemetry"
)

// The parts of standalone one by one, for development: not listed in the help.

type clickhouseCommand struct {
	Data     string `help:"Directory of the data; made where missing." required:"" placeholder:"DIR"`
	Port     int    `help:"Loopback port of the native protocol; 0 picks one." default:"9000"`
	HTTPPort int    `name:"http-port" help:"Loopback port of the HTTP interface; 0 picks one." default:"8123"`
	Library  string `help:"The embedded engine's libchdb.so; empty: the per-user cache." placeholder:"FILE"`
}

func (clickhouseCommand) Help() string {
	return page("Runs the ClickHouse of rollcall standalone alone, until it is told to stop.",
		[]string{"rollcall clickhouse --data ./clickhouse"}, "")
}

func (c *clickhouseCommand) Run(ctx context.Context, a *app) error {
	logger, err := telemetry.NewLogger(telemetry.Config{Log: a.stderr})
	if err != nil {
		return err
	}
	server, err := localclickhouse.Start(ctx, localclickhouse.Options{
		Dir: c.Data, TCPPort: c.Port, HTTPPort: c.HTTPPort, LibraryPath: c.Library, Logger: logger,
	})
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintf(a.stdout, "%s\n%s\n", server.Address(), server.HTTPURL()); err != nil {
		return errors.Join(fmt.Errorf("write addresses: %w", err), server.Stop(context.WithoutCancel(ctx)))
	}
	select {
	case <-ctx.Done():
		return server.Stop(context.WithoutCancel(ctx))
	case <-server.Done():
		return fmt.Errorf("ClickHouse ended: %w", server.Wait())
	}
}

type brokerCommand struct {
	Data string `help:"Directory of the log; made where missing." required:"" placeholder:"DIR"`
	Port int    `help:"Loopback port; 0 picks one." default:"9092"`
}

func (brokerCommand) Help() string {
	return page("Runs the embedded development broker of rollcall standalone alone, until it is told to stop.",
		[]string{"rollcall kafka --data ./kafka"}, "")
}

func (c *brokerCommand) Run(ctx context.Context, a *app) (err error) {
	logger, err := telemetry.NewLogger(telemetry.Config{Log: a.stderr})
	if err != nil {
		return err
	}
	lock, err := lockData(c.Data)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	broker, err := openBroker(filepath.Join(c.Data, "log"), c.Port, logger)
	if err != nil {
		return err
	}
	defer broker.Close()
	if _, err := fmt.Fprintln(a.stdout, broker.config().Brokers[0]); err != nil {
		return fmt.Errorf("write address: %w", err)
	}
	<-ctx.Done()
	return nil
}
