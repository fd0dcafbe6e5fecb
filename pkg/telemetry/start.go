package telemetry

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime/debug"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetrichttp"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	otelprometheus "go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/metric"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

const scope = "rollcall"

// Start sets up what cfg asks for under the service's name, as "rollcall-gateway".
// It returns the telemetry, the handler of /metrics (nil where Prometheus is off)
// and a function that sends what is still held back and stops; call it once, after
// everything that records has ended, with a context that bounds the wait. Nothing
// global is set. Receivers are not contacted yet: one that is down is no error.
func Start(ctx context.Context, cfg Config, serviceName string) (Telemetry, http.Handler, func(context.Context) error, error) {
	fail := func(err error) (Telemetry, http.Handler, func(context.Context) error, error) {
		return Telemetry{}, nil, nil, fmt.Errorf("start telemetry: %w", err)
	}
	if err := cfg.Validate(); err != nil {
		return fail(err)
	}
	logger, err := NewLogger(cfg)
	if err != nil {
		return fail(err)
	}
	identity := resource.NewSchemaless(
		attribute.String("service.name", serviceName),
		attribute.String("service.version", Version()),
		attribute.String("service.instance.id", uuid.NewString()),
	)
	meters, metrics, err := newMeters(ctx, cfg, identity)
	if err != nil {
		return fail(err)
	}
	meter := meters.Meter(scope)
	dropped, err := meter.Int64Counter("rollcall.telemetry.attributes.dropped",
		metric.WithUnit("{attribute}"), metric.WithDescription("Span attributes outside the allow-list that were taken away."))
	if err != nil {
		return fail(err)
	}
	options := []sdktrace.TracerProviderOption{
		sdktrace.WithResource(identity),
		sdktrace.WithSampler(sdktrace.ParentBased(sdktrace.TraceIDRatioBased(cfg.TracesSampleRatio))),
	}
	if cfg.OTLPEndpoint == "" {
		// Nobody listens: trace ids are still made, for the log and for Kafka.
		options = append(options, sdktrace.WithSampler(sdktrace.NeverSample()))
	} else {
		exporterOptions := []otlptracehttp.Option{otlptracehttp.WithEndpoint(cfg.OTLPEndpoint)}
		if cfg.OTLPInsecure {
			exporterOptions = append(exporterOptions, otlptracehttp.WithInsecure())
		}
		exporter, err := otlptracehttp.New(ctx, exporterOptions...)
		if err != nil {
			return fail(err)
		}
		options = append(options, sdktrace.WithBatcher(&allowExporter{next: exporter, dropped: dropped, logger: logger}))
	}
	tracers := sdktrace.NewTracerProvider(options...)
	shutdown := func(ctx context.Context) error {
		// Traces first: their shutdown still counts what it drops.
		return errors.Join(tracers.Shutdown(ctx), meters.Shutdown(ctx))
	}
	return Telemetry{Logger: logger, Tracer: tracers.Tracer(scope), Meter: meter}, metrics, shutdown, nil
}

func newMeters(ctx context.Context, cfg Config, identity *resource.Resource) (*sdkmetric.MeterProvider, http.Handler, error) {
	options := []sdkmetric.Option{
		sdkmetric.WithResource(identity),
		sdkmetric.WithView(sdkmetric.NewView(
			sdkmetric.Instrument{Name: "*"},
			sdkmetric.Stream{AttributeFilter: func(kv attribute.KeyValue) bool { return allowed(kv.Key) }},
		)),
	}
	var handler http.Handler
	if cfg.Prometheus {
		registry := prometheus.NewRegistry()
		registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
		reader, err := otelprometheus.New(otelprometheus.WithRegisterer(registry), otelprometheus.WithoutScopeInfo())
		if err != nil {
			return nil, nil, err
		}
		options = append(options, sdkmetric.WithReader(reader))
		handler = promhttp.HandlerFor(registry, promhttp.HandlerOpts{})
	}
	if cfg.OTLPEndpoint != "" {
		exporterOptions := []otlpmetrichttp.Option{otlpmetrichttp.WithEndpoint(cfg.OTLPEndpoint)}
		if cfg.OTLPInsecure {
			exporterOptions = append(exporterOptions, otlpmetrichttp.WithInsecure())
		}
		exporter, err := otlpmetrichttp.New(ctx, exporterOptions...)
		if err != nil {
			return nil, nil, err
		}
		options = append(options, sdkmetric.WithReader(sdkmetric.NewPeriodicReader(exporter)))
	}
	return sdkmetric.NewMeterProvider(options...), handler, nil
}

// version is set by the linker where a build knows it and cannot record it, as that of
// an image: -X rollcall/pkg/telemetry.version=1.2.3.
var version string

// Version returns the program's version: what the linker was given, or else that of the
// main module as the build recorded it.
func Version() string {
	if version != "" {
		return version
	}
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" {
		return "(devel)"
	}
	return info.Main.Version
}
