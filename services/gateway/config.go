package gateway

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"rollcall/pkg/record"
	"rollcall/pkg/report"
	"rollcall/pkg/topics"
	catalogue "rollcall/schemas/metrics"
)

// The contract's limits; docs/http.md and docs/openapi.yaml name them, so they are
// no configuration.
const (
	maxWireBytes = 256 << 10 // of a body as it comes, compressed or not
	// largestRequestBytes bounds what one acceptable request takes from the budget:
	// its body as it came, inflated, re-encoded from JSON (with room to order it), and sealed.
	largestRequestBytes = 5 * report.MaxBytes
)

// Config says where the gateway listens and what it lets in. The zero value is not
// valid: defaults are in the tags.
type Config struct {
	// Topics says how reports.raw has to be held for the gateway to be ready.
	Topics topics.Options `kong:"-"`
	// Catalogue says which metrics are legacy; nil: the one of this build.
	Catalogue *catalogue.Catalogue `kong:"-"`
	// Records is the format of reports.raw.
	Records record.Format `kong:"-"`

	Listen      string `name:"listen" help:"Address and port on which reports are taken." default:"127.0.0.1:8080"`
	EdgeID      string `name:"edge-id" help:"Name of this gateway, written beside every report." default:"edge"`
	EdgeRegion  string `name:"edge-region" help:"Region of this gateway, written beside every report." default:"local"`
	TLSCertFile string `name:"tls-cert-file" help:"PEM file with the certificate chain; with --tls-key-file it turns TLS on."`
	TLSKeyFile  string `name:"tls-key-file" help:"PEM file with the certificate's private key."`

	TrustedProxies []string `name:"trusted-proxies" help:"Networks, as 10.0.0.0/8, whose X-Forwarded-For is believed."`
	SimulatedTime  bool     `name:"simulated-time" help:"Take the time of receipt from Rollcall-Simulated-Received-At. For simulations; loopback listeners only."`

	HeaderTimeout  time.Duration `name:"header-timeout" help:"Longest time for a request's header." default:"5s"`
	BodyTimeout    time.Duration `name:"body-timeout" help:"Longest time for a request's body." default:"10s"`
	AckTimeout     time.Duration `name:"ack-timeout" help:"Longest wait for the broker's acknowledgement, at least 1s." default:"10s"`
	IdleTimeout    time.Duration `name:"idle-timeout" help:"Longest time for which a connection may stay idle." default:"60s"`
	ShutdownDelay  time.Duration `name:"shutdown-delay" help:"How long reports are still taken at a stop, while readiness already fails: time for load balancers to notice." default:"0s"`
	DrainTimeout   time.Duration `name:"drain-timeout" help:"Longest time for finishing requests at a stop; at least body-timeout and ack-timeout together." default:"20s"`
	MaxHeaderBytes int           `name:"max-header-bytes" help:"Largest request header, in bytes." default:"16384"`
	MaxConnections int           `name:"max-connections" help:"Connections served at a time; more wait." default:"8192"`

	MaxInFlightBytes   int64         `name:"max-in-flight-bytes" help:"Memory for the bodies of all requests at a time, in bytes; at least 5 MiB." default:"67108864"`
	MaxBufferedBytes   int           `name:"max-buffered-bytes" help:"Records that wait for the broker, in bytes; at least 2 MiB." default:"67108864"`
	MaxBufferedRecords int           `name:"max-buffered-records" help:"Records that wait for the broker." default:"50000"`
	Linger             time.Duration `name:"linger" help:"How long a record waits for company in a batch." default:"1ms"`

	NetworkRate      float64 `name:"network-rate" help:"Reports a second from one network (IPv4 /24, IPv6 /48)." default:"200"`
	NetworkBurst     int     `name:"network-burst" help:"Reports that one network may send at once." default:"4000"`
	NetworkTableSize int     `name:"network-table-size" help:"Networks watched at a time; the rest share one rate." default:"65536"`

	NewLicenceRate   float64 `name:"new-licence-rate" help:"Reports a second with licence keys that this process has not seen, together." default:"200"`
	NewLicenceBurst  int     `name:"new-licence-burst" help:"Reports with unseen licence keys at once." default:"10000"`
	LicenceTableSize int     `name:"licence-table-size" help:"Licence keys remembered (16 bytes each, hashed)." default:"500000"`

	UnknownSchemaBytesPerSecond float64 `name:"unknown-schema-bytes-per-second" help:"Bytes a second of reports of unknown schema, by network." default:"16384"`
	UnknownSchemaBurstBytes     int     `name:"unknown-schema-burst-bytes" help:"Bytes at once of reports of unknown schema, by network; at least 1 MiB." default:"4194304"`
}

// Validate reports every value that cannot be.
func (c Config) Validate() error {
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf("gateway: "+format, args...))
		}
	}
	host, _, err := net.SplitHostPort(c.Listen)
	check(err == nil, "listen: %q is no host:port", c.Listen)
	check(!c.SimulatedTime || loopback(host), "simulated-time needs a loopback listener, not %q: anybody could choose the time of receipt", c.Listen)
	check(record.ValidEdge(c.EdgeID), "edge-id must be 1 to 32 letters, digits, dots, dashes or underscores")
	check(record.ValidEdge(c.EdgeRegion), "edge-region must be 1 to 32 letters, digits, dots, dashes or underscores")
	check((c.TLSCertFile == "") == (c.TLSKeyFile == ""), "tls-cert-file and tls-key-file go together")
	if _, err := parsePrefixes(c.TrustedProxies); err != nil {
		errs = append(errs, err)
	}
	for name, value := range map[string]time.Duration{
		"header-timeout": c.HeaderTimeout, "body-timeout": c.BodyTimeout, "ack-timeout": c.AckTimeout,
		"idle-timeout": c.IdleTimeout, "drain-timeout": c.DrainTimeout,
	} {
		check(value > 0, "%s must be positive", name)
	}
	// The client library's least.
	check(c.AckTimeout >= time.Second, "ack-timeout must be at least 1s")
	// Else a stop would cut off requests that are in time.
	check(c.DrainTimeout >= c.BodyTimeout+c.AckTimeout, "drain-timeout is %v, less than the %v of body-timeout and ack-timeout together", c.DrainTimeout, c.BodyTimeout+c.AckTimeout)
	check(c.ShutdownDelay >= 0, "shutdown-delay must not be negative")
	check(c.Linger >= 0 && c.Linger <= time.Second, "linger must be between 0 and 1s")
	for name, value := range map[string]float64{
		"max-header-bytes": float64(c.MaxHeaderBytes), "max-connections": float64(c.MaxConnections),
		"max-buffered-records": float64(c.MaxBufferedRecords),
		"network-rate":         c.NetworkRate, "network-burst": float64(c.NetworkBurst), "network-table-size": float64(c.NetworkTableSize),
		"new-licence-rate": c.NewLicenceRate, "new-licence-burst": float64(c.NewLicenceBurst), "licence-table-size": float64(c.LicenceTableSize),
		"unknown-schema-bytes-per-second": c.UnknownSchemaBytesPerSecond,
	} {
		check(value > 0, "%s must be positive", name)
	}
	// One report that is as large as may be must fit, else it could never pass.
	check(c.MaxInFlightBytes >= largestRequestBytes, "max-in-flight-bytes must be at least %d", largestRequestBytes)
	check(c.MaxBufferedBytes >= topics.MaxMessageBytes, "max-buffered-bytes must be at least %d", topics.MaxMessageBytes)
	check(c.UnknownSchemaBurstBytes >= report.MaxBytes, "unknown-schema-burst-bytes must be at least %d", report.MaxBytes)
	return errors.Join(errs...)
}

func loopback(host string) bool {
	if host == "localhost" {
		return true
	}
	address, err := netip.ParseAddr(host)
	return err == nil && address.Unmap().IsLoopback()
}

func parsePrefixes(texts []string) ([]netip.Prefix, error) {
	var (
		prefixes []netip.Prefix
		errs     []error
	)
	for _, text := range texts {
		prefix, err := netip.ParsePrefix(text)
		if err != nil {
			errs = append(errs, fmt.Errorf("gateway: trusted-proxies: %q is no network such as 10.0.0.0/8", text))
			continue
		}
		prefixes = append(prefixes, prefix.Masked())
	}
	return prefixes, errors.Join(errs...)
}
