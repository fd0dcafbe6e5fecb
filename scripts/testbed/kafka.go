package testbed

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"golang.org/x/sync/errgroup"

	"rollcall/pkg/kafka"
	"rollcall/pkg/telemetry"
	"rollcall/scripts/parts/partstore"
)

const (
	kafkaStartLimit = 3 * time.Minute // two loaded cores; 3 s when idle
	kafkaStopLimit  = 2 * time.Minute
	pollPeriod      = 50 * time.Millisecond
)

// KafkaOptions say how many brokers run and how they are reached.
type KafkaOptions struct {
	// Nodes is 1 or 3, each broker and controller in one process; 0 means 1.
	Nodes int
	// HeapMB bounds each node's Java heap; 0 means 512.
	HeapMB int
	// Proxied puts a proxy in front of each node, so that its network can be cut.
	Proxied bool
	// Secure asks clients for TLS and SASL (SCRAM-SHA-512), and allows them nothing
	// that no ACL allows: Admin and User connect.
	Secure bool
	// ACLs makes the brokers obey ACLs; what none is about, everybody may do. Secure does so anyway.
	ACLs bool
	// Progress gets the downloads' progress; nil: standard error.
	Progress io.Writer
}

// Kafka is a cluster of real Apache Kafka brokers on this machine.
type Kafka struct {
	nodes    []*KafkaNode
	security *security // nil: everybody may do everything
}

// StartKafka formats and starts a cluster below dir, which must be empty or absent,
// and returns once all of its brokers answer. ctx bounds the start only.
func StartKafka(ctx context.Context, dir string, o KafkaOptions) (*Kafka, error) {
	if o.Nodes == 0 {
		o.Nodes = 1
	}
	if o.Nodes != 1 && o.Nodes != 3 {
		return nil, fmt.Errorf("start Kafka: %d nodes, not 1 or 3", o.Nodes)
	}
	if o.HeapMB == 0 {
		o.HeapMB = 512
	}
	if o.Progress == nil {
		o.Progress = os.Stderr
	}
	store, err := partstore.Open(o.Progress)
	if err != nil {
		return nil, err
	}
	libs, err := store.Ensure(ctx, partstore.Kafka)
	if err != nil {
		return nil, err
	}
	k := &Kafka{}
	if err := k.prepare(ctx, dir, libs, o); err != nil {
		k.Kill()
		return nil, fmt.Errorf("prepare Kafka: %w", err)
	}
	if err := k.Restart(ctx); err != nil {
		k.Kill()
		return nil, err
	}
	return k, nil
}

// prepare picks ports, writes the configurations and formats the storage.
func (k *Kafka) prepare(ctx context.Context, dir, libs string, o KafkaOptions) error {
	absolute, err := filepath.Abs(dir)
	if err != nil {
		return fmt.Errorf("find the directory: %w", err)
	}
	if o.Secure {
		if k.security, err = newSecurity(filepath.Join(absolute, "security")); err != nil {
			return err
		}
	}
	for id := 1; id <= o.Nodes; id++ {
		node, err := newKafkaNode(id, filepath.Join(absolute, fmt.Sprintf("node-%d", id)), libs, o)
		if err != nil {
			return err
		}
		node.security = k.security
		k.nodes = append(k.nodes, node)
	}
	id := make([]byte, 16)
	if _, err := rand.Read(id); err != nil {
		return fmt.Errorf("pick a cluster id: %w", err)
	}
	id[0] &= 0x7f // Kafka takes no id that begins with a dash
	clusterID := base64.RawURLEncoding.EncodeToString(id)
	group, ctx := errgroup.WithContext(ctx)
	for _, node := range k.nodes {
		group.Go(func() error { return node.format(ctx, clusterID, k.nodes) })
	}
	return group.Wait()
}

// Brokers returns the addresses for clients, host:port each.
func (k *Kafka) Brokers() []string {
	var addresses []string
	for _, node := range k.nodes {
		addresses = append(addresses, node.Address())
	}
	return addresses
}

// Nodes returns the brokers, in the order of their ids from 1.
func (k *Kafka) Nodes() []*KafkaNode { return k.nodes }

// Restart starts every node that does not run, on its former ports and data, and
// returns once all brokers of the cluster answer. ctx bounds the start only.
func (k *Kafka) Restart(ctx context.Context) error {
	for _, node := range k.nodes {
		if err := node.start(); err != nil {
			return err
		}
	}
	return k.await(ctx)
}

// await returns when every node is registered as a broker.
func (k *Kafka) await(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, kafkaStartLimit)
	defer cancel()
	client, err := kafka.NewClient(k.Admin(), telemetry.Discard(), kgo.RequestRetries(0), kgo.DialTimeout(time.Second))
	if err != nil {
		return fmt.Errorf("await Kafka: %w", err)
	}
	defer client.Close()
	ticker := time.NewTicker(pollPeriod)
	defer ticker.Stop()
	for {
		err := k.complete(ctx, client)
		if err == nil {
			return nil
		}
		for _, node := range k.nodes {
			if !node.Running() {
				return fmt.Errorf("Kafka node %d has ended while starting; its log ends with:\n%s", node.id, fileTail(node.logPath()))
			}
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return fmt.Errorf("Kafka does not answer (%w, %w); its log ends with:\n%s",
				context.Cause(ctx), err, fileTail(k.nodes[0].logPath()))
		}
	}
}

// complete returns nil when each broker answers and knows of all the others. (kadm's
// metadata would come from the client's cache.)
func (k *Kafka) complete(ctx context.Context, client *kgo.Client) error {
	for _, seed := range client.SeedBrokers() {
		request := kmsg.NewPtrMetadataRequest()
		request.Topics = []kmsg.MetadataRequestTopic{} // none; nil would mean all
		response, err := seed.Request(ctx, request)
		if err != nil {
			return fmt.Errorf("ask a broker for its metadata: %w", err)
		}
		metadata, ok := response.(*kmsg.MetadataResponse)
		if !ok || len(metadata.Brokers) < len(k.nodes) {
			return errors.New("a broker does not know all others yet")
		}
	}
	return nil
}

// Stop ends every node in order, killing those that take over 2 minutes.
func (k *Kafka) Stop(ctx context.Context) error {
	var group errgroup.Group
	for _, node := range k.nodes {
		group.Go(func() error { return node.Stop(ctx) })
	}
	err := group.Wait()
	for _, node := range k.nodes {
		if node.proxy != nil {
			err = errors.Join(err, node.proxy.Close())
		}
	}
	return err
}

// Kill ends every node at once (SIGKILL) and gives its proxies up. Data stays;
// proxied clusters cannot restart after it.
func (k *Kafka) Kill() {
	for _, node := range k.nodes {
		node.Kill()
		if node.proxy != nil {
			_ = node.proxy.Close() // nothing depends on it any more
		}
	}
}
