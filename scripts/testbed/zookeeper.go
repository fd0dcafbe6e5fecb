package testbed

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"rollcall/pkg/childprocess"
	"rollcall/scripts/parts/partstore"
)

const (
	zooKeeperLimit  = 2 * time.Minute // of ZooKeeper's start
	zooKeeperAnswer = 3 * time.Second // of one question: ZooKeeper leaves some that it takes while it starts
)

// ZooKeeper is one real ZooKeeper server.
type ZooKeeper struct {
	port  int
	child *childprocess.Child
}

// StartZooKeeper starts a server in dir and returns once it serves.
func StartZooKeeper(ctx context.Context, dir string, progress io.Writer) (*ZooKeeper, error) {
	store, err := partstore.Open(progress)
	if err != nil {
		return nil, err
	}
	libs, err := store.Ensure(ctx, partstore.ZooKeeper)
	if err != nil {
		return nil, err
	}
	port, err := FreePort()
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("make ZooKeeper's directory: %w", err)
	}
	config := filepath.Join(dir, "zoo.cfg")
	settings := "tickTime=2000\ndataDir=" + filepath.Join(dir, "data") + "\nclientPort=" + strconv.Itoa(port) +
		"\nclientPortAddress=127.0.0.1\nadmin.enableServer=false\n"
	if err := os.WriteFile(config, []byte(settings), 0o600); err != nil {
		return nil, fmt.Errorf("write ZooKeeper's configuration: %w", err)
	}
	log, err := os.OpenFile(filepath.Join(dir, "zookeeper.log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open ZooKeeper's log: %w", err)
	}
	defer log.Close()
	command := exec.Command("java", "-Xmx128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", filepath.Join(libs, "*"),
		"org.apache.zookeeper.server.ZooKeeperServerMain", config)
	command.Dir = dir
	command.Stdout, command.Stderr = log, log
	command.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // a terminal's Ctrl-C is ours to handle
	child, err := childprocess.Start(command)
	if err != nil {
		return nil, err
	}
	z := &ZooKeeper{port: port, child: child}
	if err := awaitServing(ctx, z.Address(), zooKeeperAnswer, z.child.Running); err != nil {
		z.Kill()
		return nil, err
	}
	return z, nil
}

// awaitServing returns once the server at address serves, which it does some time after it
// takes connections; a question that has no answer within the time given is asked anew.
func awaitServing(ctx context.Context, address string, answer time.Duration, running func() bool) error {
	ctx, cancel := context.WithTimeout(ctx, zooKeeperLimit)
	defer cancel()
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	for {
		err := serves(ctx, address, answer)
		if err == nil {
			return nil
		}
		if !running() {
			return fmt.Errorf("ZooKeeper ended at its start: %w", err)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("ZooKeeper does not answer: %w", err)
		case <-ticker.C:
		}
	}
}

// serves asks the server at address for its state with its command of four letters, which
// has a mode only when it serves. A question without an answer within the time given is an
// error.
func serves(ctx context.Context, address string, within time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return fmt.Errorf("connect to ZooKeeper: %w", err)
	}
	defer conn.Close()
	deadline, _ := ctx.Deadline()
	if err := conn.SetDeadline(deadline); err != nil {
		return fmt.Errorf("ask ZooKeeper: %w", err)
	}
	if _, err := conn.Write([]byte("srvr")); err != nil {
		return fmt.Errorf("ask ZooKeeper: %w", err)
	}
	answer, err := io.ReadAll(conn)
	if err != nil {
		return fmt.Errorf("ask ZooKeeper: %w", err)
	}
	if !strings.Contains(string(answer), "Mode: ") {
		return errors.New("ZooKeeper does not serve yet")
	}
	return nil
}

// Address is host:port for clients.
func (z *ZooKeeper) Address() string { return loopback(z.port) }

// Kill ends the server at once and waits for its end.
func (z *ZooKeeper) Kill() { z.child.Kill() }
