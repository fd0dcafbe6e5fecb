package clickhouse

import (
	"context"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"rollcall/pkg/credentials"
	"rollcall/pkg/telemetry"
)

// observed adds client spans and db.client.operation.duration to a connection. A
// span starts only below another: a poll on its own is no trace. Neither the text of
// a query nor its parameters are recorded, only its verb and table.
type observed struct {
	driver.Conn
	tracer   trace.Tracer
	duration metric.Float64Histogram
	closing  func()
}

// observe takes nil for files where there is no TLS.
func observe(plain driver.Conn, files *credentials.Client, tel telemetry.Telemetry) (driver.Conn, error) {
	duration, err := tel.Meter.Float64Histogram("db.client.operation.duration", metric.WithUnit("s"),
		metric.WithDescription("Duration of queries and inserts, as the client sees it."),
		metric.WithExplicitBucketBoundaries(0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 60))
	if err != nil {
		return nil, fmt.Errorf("make ClickHouse metrics: %w", err)
	}
	c := &observed{Conn: plain, tracer: tel.Tracer, duration: duration, closing: func() {}}
	if files != nil {
		if c.closing, err = files.Observe(tel.Meter, "clickhouse"); err != nil {
			return nil, fmt.Errorf("make ClickHouse metrics: %w", err)
		}
	}
	return c, nil
}

// Close implements driver.Conn.
func (c *observed) Close() error {
	c.closing()
	return c.Conn.Close()
}

// operation is a query under way.
type operation struct {
	conn       *observed
	ctx        context.Context
	span       trace.Span // nil: not traced
	started    time.Time
	attributes []attribute.KeyValue
}

func (c *observed) begin(ctx context.Context, query string) (context.Context, *operation) {
	verb, table := describe(query)
	op := &operation{conn: c, ctx: ctx, started: time.Now(), attributes: []attribute.KeyValue{
		attribute.String("db.system.name", "clickhouse"), attribute.String("db.operation.name", verb),
	}}
	name := verb
	if table != "" {
		name += " " + table
		op.attributes = append(op.attributes, attribute.String("db.collection.name", table))
	}
	if trace.SpanContextFromContext(ctx).IsValid() {
		ctx, op.span = c.tracer.Start(ctx, name, trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(op.attributes...))
	}
	return ctx, op
}

func (o *operation) end(err error) {
	if err != nil {
		kind := "connection"
		if code, ok := Code(err); ok {
			kind = strconv.Itoa(int(code))
		}
		o.attributes = append(o.attributes, attribute.String("error.type", kind))
	}
	o.conn.duration.Record(o.ctx, time.Since(o.started).Seconds(), metric.WithAttributes(o.attributes...))
	if o.span == nil {
		return
	}
	if err != nil {
		o.span.SetStatus(codes.Error, "")
		o.span.SetAttributes(o.attributes[len(o.attributes)-1])
	}
	o.span.End()
}

// tableName finds the table of a statement: staging tables are one name, so that
// their random parts make no series.
var (
	tableName = regexp.MustCompile(`(?is)^\s*(?:INSERT\s+INTO|ALTER\s+TABLE|(?:CREATE|DROP|TRUNCATE)\s+TABLE(?:\s+IF(?:\s+NOT)?\s+EXISTS)?|SELECT\b.*?\bFROM)\s+([A-Za-z_][\w.]*)`)
	random    = regexp.MustCompile(`^(.*?staging).*$`)
)

func describe(query string) (verb, table string) {
	verb = "QUERY"
	if words := strings.Fields(query); len(words) > 0 {
		verb = strings.ToUpper(words[0])
	}
	if m := tableName.FindStringSubmatch(query); m != nil {
		table = random.ReplaceAllString(m[1], "$1")
	}
	return verb, table
}

func (c *observed) Select(ctx context.Context, dest any, query string, args ...any) error {
	ctx, op := c.begin(ctx, query)
	err := c.Conn.Select(ctx, dest, query, args...)
	op.end(err)
	return err
}

func (c *observed) Query(ctx context.Context, query string, args ...any) (driver.Rows, error) {
	ctx, op := c.begin(ctx, query)
	rows, err := c.Conn.Query(ctx, query, args...)
	op.end(err)
	return rows, err
}

func (c *observed) QueryRow(ctx context.Context, query string, args ...any) driver.Row {
	ctx, op := c.begin(ctx, query)
	row := c.Conn.QueryRow(ctx, query, args...)
	op.end(row.Err())
	return row
}

func (c *observed) Exec(ctx context.Context, query string, args ...any) error {
	ctx, op := c.begin(ctx, query)
	err := c.Conn.Exec(ctx, query, args...)
	op.end(err)
	return err
}

func (c *observed) PrepareBatch(ctx context.Context, query string, opts ...driver.PrepareBatchOption) (driver.Batch, error) {
	ctx, op := c.begin(ctx, query)
	batch, err := c.Conn.PrepareBatch(ctx, query, opts...)
	if err != nil {
		op.end(err)
		return nil, err
	}
	return &observedBatch{Batch: batch, operation: op}, nil
}

// observedBatch ends its operation when the batch is sent or given up.
type observedBatch struct {
	driver.Batch
	operation *operation
}

func (b *observedBatch) Send() error {
	if b.operation != nil && b.operation.span != nil {
		b.operation.span.SetAttributes(attribute.Int("db.operation.batch.size", b.Rows()))
	}
	err := b.Batch.Send()
	b.finish(err)
	return err
}

func (b *observedBatch) Abort() error {
	err := b.Batch.Abort()
	b.finish(err)
	return err
}

func (b *observedBatch) Close() error {
	err := b.Batch.Close()
	b.finish(err)
	return err
}

func (b *observedBatch) finish(err error) {
	if b.operation != nil {
		b.operation.end(err)
		b.operation = nil
	}
}
