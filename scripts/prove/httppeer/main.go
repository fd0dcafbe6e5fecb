// Command httppeer is what the gateway is measured beside: a net/http handler that
// reads the body and answers 202, and one that also awaits acks=all from a broker.
// It validates nothing, limits nothing and seals nothing.
//
//	httppeer -listen 127.0.0.1:8081
//	httppeer -listen 127.0.0.1:8081 -brokers 127.0.0.1:9092 -topic peer
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// maxBodyBytes is the gateway's limit on the wire.
const maxBodyBytes = 256 << 10

func main() {
	listen := flag.String("listen", "127.0.0.1:0", "loopback address to serve on")
	brokers := flag.String("brokers", "", "Kafka brokers, comma-separated; empty: only read the body")
	topic := flag.String("topic", "peer", "topic to produce to")
	linger := flag.Duration("linger", 0, "producer linger, the gateway's")
	flag.Parse()
	if err := run(*listen, *brokers, *topic, *linger); err != nil {
		fmt.Fprintln(os.Stderr, "httppeer:", err)
		os.Exit(1)
	}
}

func run(listen, brokers, topic string, linger time.Duration) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	handler := read
	if brokers != "" {
		client, err := kgo.NewClient(
			kgo.SeedBrokers(strings.Split(brokers, ",")...),
			kgo.DefaultProduceTopic(topic),
			kgo.RequiredAcks(kgo.AllISRAcks()),
			kgo.ProducerLinger(linger),
		)
		if err != nil {
			return fmt.Errorf("kafka client: %w", err)
		}
		defer client.Close()
		handler = func(w http.ResponseWriter, r *http.Request) { produce(client, w, r) }
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/reports", handler)
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) })
	server := &http.Server{Addr: listen, Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	go func() {
		<-ctx.Done()
		_ = server.Close() // nothing of a peer needs to be drained
	}()
	if err := server.ListenAndServe(); err != nil && ctx.Err() == nil {
		return err
	}
	return nil
}

func read(w http.ResponseWriter, r *http.Request) {
	if _, err := io.ReadAll(io.LimitReader(r.Body, maxBodyBytes)); err != nil {
		http.Error(w, "unreadable", http.StatusBadRequest)
		return
	}
	w.WriteHeader(http.StatusAccepted)
}

func produce(client *kgo.Client, w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBodyBytes))
	if err != nil {
		http.Error(w, "unreadable", http.StatusBadRequest)
		return
	}
	if err := client.ProduceSync(r.Context(), &kgo.Record{Value: body}).FirstErr(); err != nil {
		http.Error(w, "not acknowledged", http.StatusServiceUnavailable)
		return
	}
	w.WriteHeader(http.StatusAccepted)
}
