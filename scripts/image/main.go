// Command image builds Rollcall's container image without a container engine: the
// static binary for servers in an otherwise empty image, for several platforms, as an
// OCI image layout with an SPDX bill of materials for each platform.
//
//	go run -C scripts/image . build -root ../.. -to ../../bin/image
//	go run -C scripts/image . rootfs -root ../.. -platform linux/amd64 -to /rootfs
//	go run -C scripts/image . compose ../../deploy/compose.yaml
//
// The same sources, revision, version, time and Go release make the same bytes.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
)

const usage = `usage: image build   [-root DIR] [-to DIR] [-platform OS/ARCH,…] [-revision R] [-version V] [-epoch SECONDS]
       image rootfs  [-root DIR] [-to DIR] [-platform OS/ARCH]    [-revision R] [-version V] [-epoch SECONDS]
       image compose FILE`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "image:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, arguments []string, stdout, stderr io.Writer) error {
	if len(arguments) == 0 {
		return errors.New(usage)
	}
	switch command, rest := arguments[0], arguments[1:]; command {
	case "build", "rootfs":
		o, err := parseOptions(ctx, command, rest, stderr)
		if err != nil {
			return err
		}
		if command == "rootfs" {
			return writeRootfs(ctx, o)
		}
		return build(ctx, o, stdout)
	case "compose":
		if len(rest) != 1 {
			return errors.New(usage)
		}
		return showCompose(ctx, rest[0], stdout)
	default:
		return errors.New(usage)
	}
}

// options say what is built from what.
type options struct {
	root, to  string // of the sources, and of what is made; absolute
	platforms []platform
	origin    origin
}

// platform is an operating system and a processor, as Go and OCI name them.
type platform struct{ OS, Architecture string }

func (p platform) String() string { return p.OS + "/" + p.Architecture }

// file is the platform's name as a part of a file's name.
func (p platform) file() string { return p.OS + "-" + p.Architecture }

func parseOptions(ctx context.Context, command string, arguments []string, stderr io.Writer) (options, error) {
	o := options{}
	flags := newFlags(command, &o)
	flags.SetOutput(stderr)
	platforms := flags.String("platform", "linux/amd64,linux/arm64", "platforms, comma-separated; rootfs takes one")
	if err := flags.Parse(arguments); err != nil {
		return o, err
	}
	if flags.NArg() > 0 {
		return o, fmt.Errorf("unexpected argument %q\n%s", flags.Arg(0), usage)
	}
	var err error
	for text := range strings.SplitSeq(*platforms, ",") {
		system, architecture, ok := strings.Cut(text, "/")
		if !ok || system == "" || architecture == "" || strings.Contains(architecture, "/") {
			return o, fmt.Errorf("platform %q is not OS/ARCH", text)
		}
		o.platforms = append(o.platforms, platform{system, architecture})
	}
	if command == "rootfs" && len(o.platforms) != 1 {
		return o, errors.New("rootfs wants one -platform")
	}
	if o.root, err = filepath.Abs(o.root); err != nil {
		return o, fmt.Errorf("find the sources: %w", err)
	}
	if o.to, err = filepath.Abs(o.to); err != nil {
		return o, fmt.Errorf("find the place to write to: %w", err)
	}
	o.origin, err = o.origin.complete(ctx, o.root)
	return o, err
}

// newFlags are those of both commands but for -platform, which is split.
func newFlags(command string, o *options) *flag.FlagSet {
	flags := flag.NewFlagSet(command, flag.ContinueOnError)
	flags.StringVar(&o.root, "root", "../..", "directory of the sources")
	flags.StringVar(&o.to, "to", "../../bin/image", "directory to write; what an earlier run wrote there is replaced")
	flags.StringVar(&o.origin.Revision, "revision", os.Getenv("REVISION"), "revision of the sources; empty: git's")
	flags.StringVar(&o.origin.Version, "version", os.Getenv("VERSION"), "version; empty: git's tag, or one made of the commit's time and hash")
	flags.StringVar(&o.origin.epoch, "epoch", os.Getenv("SOURCE_DATE_EPOCH"), "time of everything in the image, in seconds since 1970; empty: the commit's")
	return flags
}
