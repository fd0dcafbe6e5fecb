// Package telemetry carries logs, traces and metrics into the services, and sets up
// their exporters.
package telemetry

import (
	"log/slog"

	"go.opentelemetry.io/otel/metric"
	metricnoop "go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/trace"
	tracenoop "go.opentelemetry.io/otel/trace/noop"
)

// Telemetry is what a service needs to be seen. No field is nil.
type Telemetry struct {
	Logger *slog.Logger
	Tracer trace.Tracer
	Meter  metric.Meter
}

// Discard returns telemetry that goes nowhere, for tests and short commands.
func Discard() Telemetry {
	return Telemetry{
		Logger: slog.New(slog.DiscardHandler),
		Tracer: tracenoop.NewTracerProvider().Tracer("rollcall"),
		Meter:  metricnoop.NewMeterProvider().Meter("rollcall"),
	}
}
