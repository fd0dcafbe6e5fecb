// Command parts fetches the real parts that the demo and the tests run with, into a
// per-user cache, and checks what must be installed beforehand.
//
//	go run ./scripts/parts clickhouse kafka geoip
//	go run ./scripts/parts -print kafka
//	go run ./scripts/parts -check test
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"rollcall/scripts/parts/partstore"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "parts:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	printPath := flag.Bool("print", false, "print the path of each part, one a line")
	check := flag.String("check", "", "check that what `demo` or test needs is installed")
	flag.Usage = func() {
		fmt.Fprintf(flag.CommandLine.Output(), "usage: parts [-print] PART… | -check demo|test\nparts: %s\n",
			strings.Join(append(partstore.Names(), partstore.Browser), ", "))
		flag.PrintDefaults()
	}
	flag.Parse()
	if *check != "" {
		if err := partstore.Check(*check); err != nil {
			return fmt.Errorf("missing for make %s:\n%w", *check, err)
		}
	}
	store, err := partstore.Open(os.Stderr)
	if err != nil {
		return err
	}
	for _, name := range flag.Args() {
		path, err := store.Ensure(ctx, name)
		if err != nil {
			return err
		}
		if *printPath {
			fmt.Println(path)
		}
	}
	return nil
}
