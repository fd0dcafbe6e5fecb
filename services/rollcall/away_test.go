//go:build embedded

package main

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"

	"rollcall/pkg/clickhouse"
	"rollcall/pkg/localclickhouse"
	"rollcall/pkg/localclickhouse/localclickhousetest"
	"rollcall/pkg/topics"
)

// door is before a server; while it is shut, whoever comes is turned away.
type door struct {
	net.Listener
	open atomic.Bool
}

func newDoor(t *testing.T, server string) *door {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	d := &door{Listener: listener}
	t.Cleanup(func() { _ = d.Close() })
	go func() {
		for {
			outside, err := d.Accept()
			if err != nil {
				return
			}
			if !d.open.Load() {
				_ = outside.Close()
				continue
			}
			inside, err := net.Dial("tcp", server)
			if err != nil {
				_ = outside.Close()
				continue
			}
			for _, way := range [][2]net.Conn{{outside, inside}, {inside, outside}} {
				go func() {
					_, _ = io.Copy(way[0], way[1])
					_ = way[0].Close()
				}()
			}
		}
	}()
	return d
}

// What serves may be started before ClickHouse: it waits, says so, and goes on by itself.
func TestStartBeforeClickHouse(t *testing.T) {
	brokers, err := kfake.NewCluster(kfake.NumBrokers(1),
		kfake.SeedTopics(2, topics.Usage, topics.Raw), kfake.SeedTopics(1, topics.DeadLetters, topics.Licences, topics.Identities))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(brokers.Close)
	server := localclickhousetest.Start(t, localclickhouse.Options{})
	store := clickhouse.Config{Addresses: []string{server.Address()}, Database: "rollcall", User: "default", DialTimeout: time.Minute, ReadTimeout: time.Minute}
	if _, err := clickhouse.Migrate(t.Context(), store); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		args  []string
		waits string // said in the log while ClickHouse is away
		path  string // of the private listener, whose answer then has the text
		has   string
	}{
		{[]string{"sink", "--sink.max-backoff", "100ms"}, "sink cannot start yet", "/readyz", `"ready":true`},
		{[]string{"audit", "--every", "100ms"}, "audit failed and will be tried again", "/metrics", "rollcall_audit_missing"},
	} {
		t.Run(test.args[0], func(t *testing.T) {
			away := newDoor(t, server.Address())
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			a, _, _ := newApp()
			log, writer := io.Pipe()
			a.stderr = writer
			ended := make(chan int, 1)
			go func() {
				ended <- run(ctx, a, slices.Concat(test.args, []string{
					"--kafka.brokers", brokers.ListenAddrs()[0], "--clickhouse.addresses", away.Addr().String(), "--private.listen", "127.0.0.1:0",
				}))
				_ = writer.Close()
			}()
			listens := regexp.MustCompile(`private listener open.* address=(\S+)`)
			var private, said string
			for lines := bufio.NewScanner(log); lines.Scan() && !strings.Contains(lines.Text(), test.waits); said += lines.Text() + "\n" {
				if found := listens.FindStringSubmatch(lines.Text()); found != nil {
					private = found[1]
				}
			}
			go func() { _, _ = io.Copy(io.Discard, log) }() // ends with the command
			if private == "" {
				t.Fatalf("exit %d, it does not listen: %s", <-ended, said)
			}
			if answer := ask(t, private, test.path); strings.Contains(answer, test.has) {
				t.Errorf("%s while ClickHouse is away: %s", test.path, answer)
			}
			away.open.Store(true)
			for deadline := time.Now().Add(time.Minute); !strings.Contains(ask(t, private, test.path), test.has); time.Sleep(50 * time.Millisecond) {
				if time.Now().After(deadline) {
					t.Fatalf("%s a minute after ClickHouse came: %s", test.path, ask(t, private, test.path))
				}
			}
			cancel()
			if code := <-ended; code != exitDone {
				t.Errorf("it ended with %d", code)
			}
		})
	}
}

func ask(t *testing.T, address, path string) string {
	t.Helper()
	response, err := http.Get("http://" + address + path)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}
