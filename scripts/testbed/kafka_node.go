package testbed

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"rollcall/pkg/childprocess"
)

// KafkaNode is one broker process. It is safe for concurrent use.
type KafkaNode struct {
	id                   int
	dir, libs            string
	clientPort, raftPort int
	brokerPort           int // of the listener between brokers, of a secure cluster
	nodes, heapMB        int
	security             *security
	acls                 bool
	proxy                *Proxy // nil: clients reach the node directly
	mu                   sync.Mutex
	child                *childprocess.Child // nil before the first start
}

func newKafkaNode(id int, dir, libs string, o KafkaOptions) (*KafkaNode, error) {
	n := &KafkaNode{id: id, dir: dir, libs: libs, nodes: o.Nodes, heapMB: o.HeapMB, acls: o.ACLs}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("make the node's directory: %w", err)
	}
	var err error
	if n.clientPort, err = FreePort(); err != nil {
		return nil, err
	}
	if n.raftPort, err = FreePort(); err != nil {
		return nil, err
	}
	if o.Secure {
		if n.brokerPort, err = FreePort(); err != nil {
			return nil, err
		}
	}
	if o.Proxied {
		if n.proxy, err = StartProxy(loopback(n.clientPort)); err != nil {
			return nil, err
		}
	}
	return n, nil
}

// Address is where clients reach the broker: through its proxy, if it has one.
func (n *KafkaNode) Address() string {
	if n.proxy != nil {
		return n.proxy.Address()
	}
	return loopback(n.clientPort)
}

// Proxy returns what stands in front of a proxied node, else nil.
func (n *KafkaNode) Proxy() *Proxy { return n.proxy }

func (n *KafkaNode) logPath() string    { return filepath.Join(n.dir, "broker.log") }
func (n *KafkaNode) configPath() string { return filepath.Join(n.dir, "server.properties") }

// format writes the configuration and prepares the storage for the cluster.
func (n *KafkaNode) format(ctx context.Context, clusterID string, all []*KafkaNode) error {
	if err := os.WriteFile(n.configPath(), []byte(n.properties(all)), 0o644); err != nil {
		return fmt.Errorf("write the configuration: %w", err)
	}
	if err := os.WriteFile(filepath.Join(n.dir, "log4j2.yaml"), []byte(log4j), 0o644); err != nil {
		return fmt.Errorf("write the log configuration: %w", err)
	}
	arguments := []string{"-Xmx128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", n.libs + "/*",
		"kafka.tools.StorageTool", "format", "-t", clusterID, "-c", n.configPath()}
	if n.nodes == 1 {
		arguments = append(arguments, "--standalone")
	}
	if n.security != nil {
		arguments = append(arguments, "--add-scram", fmt.Sprintf("%s=[name=%s,password=%s]", scramSHA512, adminUser, n.security.adminPassword))
	}
	output, err := exec.CommandContext(ctx, "java", arguments...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("format the storage of node %d: %w: %s", n.id, err, output)
	}
	return nil
}

// properties are those of a development broker in everything that costs start-up time
// or memory, and of production in what decides about loss.
func (n *KafkaNode) properties(all []*KafkaNode) string {
	replicas := min(n.nodes, 3)
	minimum := 1
	if n.nodes == 3 {
		minimum = 2
	}
	lines := []string{
		"process.roles=broker,controller",
		"node.id=" + strconv.Itoa(n.id),
		"listeners=" + n.listeners(loopback(n.clientPort)),
		"advertised.listeners=" + n.listeners(n.Address()),
		"controller.listener.names=CONTROLLER",
		"log.dirs=" + filepath.Join(n.dir, "data"),
		"auto.create.topics.enable=false",
		"unclean.leader.election.enable=false",
		"offsets.topic.num.partitions=4",
		"transaction.state.log.num.partitions=4",
		fmt.Sprintf("default.replication.factor=%d", replicas),
		fmt.Sprintf("min.insync.replicas=%d", minimum),
		fmt.Sprintf("offsets.topic.replication.factor=%d", replicas),
		fmt.Sprintf("transaction.state.log.replication.factor=%d", replicas),
		fmt.Sprintf("transaction.state.log.min.isr=%d", minimum),
		"group.initial.rebalance.delay.ms=0",
		"broker.session.timeout.ms=18000", // long enough for a loaded machine; a killed broker may come back only after this
		"num.network.threads=2",
		"num.io.threads=4",
		"log.cleaner.dedupe.buffer.size=16777216",
	}
	switch {
	case n.security != nil:
		lines = append(lines, n.security.properties()...)
	case n.acls:
		lines = append(lines, authorizer, "allow.everyone.if.no.acl.found=true")
	}
	if n.nodes == 1 {
		lines = append(lines, "controller.quorum.bootstrap.servers="+loopback(n.raftPort))
	} else {
		var voters []string
		for _, other := range all {
			voters = append(voters, fmt.Sprintf("%d@%s", other.id, loopback(other.raftPort)))
		}
		lines = append(lines, "controller.quorum.voters="+strings.Join(voters, ","))
	}
	return strings.Join(lines, "\n") + "\n"
}

// listeners names them with their addresses; clients reach the first at theirs.
func (n *KafkaNode) listeners(clients string) string {
	raft := ",CONTROLLER://" + loopback(n.raftPort)
	if n.security == nil {
		return "PLAINTEXT://" + clients + raft
	}
	return "CLIENT://" + clients + ",BROKER://" + loopback(n.brokerPort) + raft
}

const log4j = `Configuration:
  Appenders:
    Console:
      name: STDOUT
      PatternLayout:
        Pattern: "[%d] %p %m (%c)%n"
  Loggers:
    Root:
      level: WARN
      AppenderRef:
        - ref: STDOUT
`

// start starts the process unless it runs.
func (n *KafkaNode) start() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.child != nil && n.child.Running() {
		return nil
	}
	log, err := os.OpenFile(n.logPath(), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return fmt.Errorf("open the broker's log: %w", err)
	}
	defer log.Close()
	command := exec.Command("java", "-Xms256m", fmt.Sprintf("-Xmx%dm", n.heapMB), "-XX:+UseSerialGC",
		"-Dlog4j2.configurationFile="+filepath.Join(n.dir, "log4j2.yaml"), "-cp", n.libs+"/*", "kafka.Kafka", n.configPath())
	command.Dir = n.dir
	command.Stdout, command.Stderr = log, log
	command.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // a terminal's Ctrl-C is ours to handle
	n.child, err = childprocess.Start(command)
	return err
}

func (n *KafkaNode) current() *childprocess.Child {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.child
}

// Running says whether the broker's process runs (a paused one does).
func (n *KafkaNode) Running() bool {
	child := n.current()
	return child != nil && child.Running()
}

// PID returns the process id of the last start, 0 before the first.
func (n *KafkaNode) PID() int {
	if child := n.current(); child != nil {
		return child.PID()
	}
	return 0
}

// Kill ends the broker at once (SIGKILL) and waits for its end.
func (n *KafkaNode) Kill() {
	if child := n.current(); child != nil {
		child.Kill()
	}
}

// Stop ends the broker in order; it is killed where that takes over 30 s.
func (n *KafkaNode) Stop(ctx context.Context) error {
	child := n.current()
	if child == nil {
		return nil
	}
	return terminate(ctx, child, kafkaStopLimit)
}

// Pause freezes the broker's process (SIGSTOP): connections stay, nothing answers.
func (n *KafkaNode) Pause() error { return n.signal(syscall.SIGSTOP) }

// Resume lets a paused broker go on.
func (n *KafkaNode) Resume() error { return n.signal(syscall.SIGCONT) }

func (n *KafkaNode) signal(signal os.Signal) error {
	child := n.current()
	if child == nil {
		return errors.New("the node was never started")
	}
	return child.Signal(signal)
}
