// Command jail runs a program as a container engine would run it: in a file system of
// its own that is read-only but for what is mounted, as a user without any right, and
// with no variable but those given. It needs no engine and no root, but a user
// namespace that is its own already:
//
//	unshare --user --map-user=65532 --map-group=65532 --mount --keep-caps -- \
//	    jail -root ROOTFS -user 65532 -bind /data:/var/lib/rollcall:rw -env NAME=VALUE /rollcall version
//
// It fails where it finds that it could have written to what is to be read-only.
// Network and process ids are those of the machine.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

func main() {
	// What is set below belongs to a thread, and the thread that executes the program
	// becomes it.
	runtime.LockOSThread()
	fmt.Fprintln(os.Stderr, "jail:", run(os.Args[1:]))
	os.Exit(125) // as container engines say that the program was not started
}

// mount is a directory or file of the machine within the jail.
type mount struct {
	source, target string
	writable       bool
}

// mounts is a flag that can be repeated.
type mounts []mount

func (m *mounts) String() string { return "" }

// Set reads SOURCE:TARGET or SOURCE:TARGET:rw, both absolute.
func (m *mounts) Set(text string) error {
	parts := strings.Split(text, ":")
	if len(parts) < 2 || len(parts) > 3 || len(parts) == 3 && parts[2] != "rw" ||
		!filepath.IsAbs(parts[0]) || !filepath.IsAbs(parts[1]) {
		return fmt.Errorf("%q is not SOURCE:TARGET or SOURCE:TARGET:rw", text)
	}
	*m = append(*m, mount{parts[0], filepath.Clean(parts[1]), len(parts) == 3})
	return nil
}

type variables []string

func (v *variables) String() string { return "" }

func (v *variables) Set(text string) error {
	*v = append(*v, text)
	return nil
}

// run becomes the program; it returns only with what went wrong.
func run(arguments []string) error {
	var (
		flags       = flag.NewFlagSet("jail", flag.ContinueOnError)
		root        = flags.String("root", "", "directory that becomes the file system; mount points in it exist")
		user        = flags.Int("user", 0, "user id that this process must have already")
		binds       mounts
		environment variables
	)
	flags.Var(&binds, "bind", "mount SOURCE:TARGET read-only, or SOURCE:TARGET:rw; can be repeated")
	flags.Var(&environment, "env", "variable NAME=VALUE; can be repeated")
	if err := flags.Parse(arguments); err != nil {
		return err
	}
	if *root == "" || flags.NArg() == 0 {
		return errors.New("want -root and a program")
	}
	if os.Getuid() != *user || *user == 0 {
		return fmt.Errorf("this is user %d, not %d, or it is root", os.Getuid(), *user)
	}
	if err := enclose(*root, binds); err != nil {
		return err
	}
	if err := inspect(binds); err != nil {
		return err
	}
	if err := renounce(); err != nil {
		return err
	}
	if err := unix.Exec(flags.Arg(0), flags.Args(), environment); err != nil {
		return fmt.Errorf("execute %s: %w", flags.Arg(0), err)
	}
	return nil // never reached
}

// enclose makes root the file system of this process: the machine's is gone.
func enclose(root string, binds mounts) error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("part from the machine's mounts: %w", err)
	}
	if err := bind(mount{source: root, target: root}); err != nil {
		return err
	}
	for _, m := range binds {
		m.target = filepath.Join(root, m.target)
		if err := bind(m); err != nil {
			return err
		}
	}
	if err := unix.Chdir(root); err != nil {
		return fmt.Errorf("enter %s: %w", root, err)
	}
	// The old root lands upon the new one, and is taken off.
	if err := unix.PivotRoot(".", "."); err != nil {
		return fmt.Errorf("change the root: %w", err)
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return fmt.Errorf("leave the machine's root: %w", err)
	}
	return unix.Chdir("/")
}

// bind mounts without set-user-id programs and devices, and read-only unless told
// otherwise. It adds restrictions to those that the source has, for a user namespace
// may take none away.
func bind(m mount) error {
	if err := unix.Mount(m.source, m.target, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("mount %s at %s: %w", m.source, m.target, err)
	}
	attributes := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV}
	if !m.writable {
		attributes.Attr_set |= unix.MOUNT_ATTR_RDONLY
	}
	if err := unix.MountSetattr(unix.AT_FDCWD, m.target, unix.AT_RECURSIVE, &attributes); err != nil {
		return fmt.Errorf("restrict %s: %w", m.target, err)
	}
	return nil
}

// inspect tries to write where nothing may be written.
func inspect(binds mounts) error {
	readOnly := []string{"/", "/tmp", "/etc", "/var/lib"}
	for _, m := range binds {
		if !m.writable {
			readOnly = append(readOnly, m.target)
		}
	}
	for _, directory := range readOnly {
		if info, err := os.Stat(directory); err != nil || !info.IsDir() {
			continue // a file, or not there at all
		}
		var statistics unix.Statfs_t
		if err := unix.Statfs(directory, &statistics); err != nil {
			return fmt.Errorf("inspect %s: %w", directory, err)
		}
		err := os.WriteFile(filepath.Join(directory, ".written"), nil, 0o600)
		if statistics.Flags&unix.ST_RDONLY == 0 || err == nil {
			return fmt.Errorf("%s can be written, or its file system can", directory)
		}
	}
	return nil
}

// renounce gives up every right that made the jail, for good, and dies with the parent.
func renounce() error {
	if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0); err != nil {
		return fmt.Errorf("give up capabilities: %w", err)
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("forbid new privileges: %w", err)
	}
	if err := unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0, 0, 0); err != nil {
		return fmt.Errorf("bind to the parent's life: %w", err)
	}
	if os.Getppid() == 1 {
		return errors.New("the parent has died meanwhile")
	}
	return nil
}
