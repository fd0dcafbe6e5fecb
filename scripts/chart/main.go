// Command chart judges what the chart renders with Kubernetes' own types and
// definitions. It is a module of its own: nothing of it is in rollcall's binary.
//
//	go run . decode FILE…               # every object strictly, against the API's Go types
//	go run . schemas DIR                # JSON schemas for kubeconform, from the API's own definitions
//	go run . definitions DIR            # definitions of other projects' kinds, for a cluster
//	go run . policies -table PAGE FILE  # who may reach whom, compared with a page's table
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
)

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "chart:", err)
		os.Exit(1)
	}
}

func run(arguments []string, out io.Writer) error {
	if len(arguments) < 2 {
		return errors.New("usage: chart decode FILE… | schemas DIR | definitions DIR | policies [-table PAGE] FILE…")
	}
	command, rest := arguments[0], arguments[1:]
	switch command {
	case "decode":
		return decodeFiles(out, rest)
	case "schemas":
		return writeSchemas(out, rest[0])
	case "definitions":
		return copyDefinitions(out, rest[0])
	case "policies":
		flags := flag.NewFlagSet("policies", flag.ContinueOnError)
		table := flags.String("table", "", "page whose table lists what must be allowed; empty: the boundary's rules alone are checked")
		if err := flags.Parse(rest); err != nil {
			return err
		}
		if *table == "" {
			return checkBoundaries(out, flags.Args())
		}
		if flags.NArg() != 1 {
			return errors.New("policies -table wants one file of manifests")
		}
		return compareWithPage(out, *table, flags.Arg(0))
	}
	return fmt.Errorf("no command is called %q", command)
}
