package telemetry

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
)

// Formats of the log.
const (
	formatText = "text"
	formatJSON = "json"
)

// Config says what is recorded and where it goes. Nothing leaves the process but
// the log where OTLPEndpoint is empty and Prometheus is off.
type Config struct {
	OTLPEndpoint      string  `name:"otlp-endpoint" help:"OTLP/HTTP receiver of traces and metrics, host:port; none where empty."`
	OTLPInsecure      bool    `name:"otlp-insecure" help:"Speak plain HTTP to the OTLP receiver." default:"false"`
	TracesSampleRatio float64 `name:"traces-sample-ratio" help:"Share of traces begun here that are recorded, 0 to 1." default:"0.01"`
	Prometheus        bool    `help:"Serve /metrics on the private listener." default:"true" negatable:""`
	LogLevel          string  `name:"log-level" help:"Least severity that is logged: debug, info, warn or error." default:"info" enum:"debug,info,warn,error"`
	LogFormat         string  `name:"log-format" help:"Form of the log: text or json." default:"text" enum:"text,json"`
	// Log is where the log goes; standard error where nil.
	Log io.Writer `kong:"-"`
}

// Validate reports every value outside its range.
func (c Config) Validate() error {
	var errs []error
	if c.OTLPEndpoint != "" {
		if _, _, err := net.SplitHostPort(c.OTLPEndpoint); err != nil {
			// The value is not quoted: it may hold a password where none belongs.
			errs = append(errs, errors.New("telemetry.otlp_endpoint must be host:port"))
		}
	}
	if !(c.TracesSampleRatio >= 0 && c.TracesSampleRatio <= 1) { // NaN is neither
		errs = append(errs, fmt.Errorf("telemetry.traces_sample_ratio is %v, want 0 to 1", c.TracesSampleRatio))
	}
	if _, err := c.level(); err != nil {
		errs = append(errs, err)
	}
	if c.LogFormat != "" && c.LogFormat != formatText && c.LogFormat != formatJSON {
		errs = append(errs, fmt.Errorf("telemetry.log_format is %q, want text or json", c.LogFormat))
	}
	return errors.Join(errs...)
}

func (c Config) level() (slog.Level, error) {
	if c.LogLevel == "" {
		return slog.LevelInfo, nil
	}
	var level slog.Level
	if err := level.UnmarshalText([]byte(c.LogLevel)); err != nil {
		return level, fmt.Errorf("telemetry.log_level is %q, want debug, info, warn or error", c.LogLevel)
	}
	return level, nil
}
