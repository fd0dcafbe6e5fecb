package main

import (
	"fmt"
	"net"
	"os"
	"strings"

	"github.com/alecthomas/kong"

	"rollcall/pkg/geoip"
	"rollcall/pkg/health"
	"rollcall/pkg/kafka"
	"rollcall/pkg/record"
	"rollcall/pkg/telemetry"
	catalogue "rollcall/schemas/metrics"
)

const configCommand = "config"

const description = `Receives the usage reports of product installations and turns them into exact
counts per licence and day.

Configuration comes from a YAML file (--config), the environment and flags; the
later wins. The flag --kafka.client-id is the key client_id of the section kafka in
the file, and the variable ROLLCALL_KAFKA_CLIENT_ID. Keys and variables that nothing
knows are refused. "rollcall config" shows what is in force.`

// cli is the grammar of the command line.
type cli struct {
	Config string `help:"YAML file with the configuration; also $$ROLLCALL_CONFIG." placeholder:"FILE"`

	Gateway    gatewayCommand    `cmd:"" group:"Services" help:"Receive reports over HTTP and put them into reports.raw."`
	Anonymizer anonymizerCommand `cmd:"" group:"Services" help:"Turn reports.raw into reports.clean, without personal data."`
	Enricher   enricherCommand   `cmd:"" group:"Services" help:"Join catalogue and licences to reports.clean; judge plausibility."`
	Sink       sinkCommand       `cmd:"" group:"Services" help:"Insert usage, receipts and dead letters into ClickHouse; run the rollup."`

	Standalone standaloneCommand `cmd:"" group:"One machine" help:"Run everything on this machine."`
	Demo       demoCommand       `cmd:"" group:"One machine" help:"Watch a simulated fleet call home to this machine; compare every count."`

	Simulate simulateCommand `cmd:"" group:"Proof" help:"Play a seeded fleet of installations against gateways."`
	Verify   verifyCommand   `cmd:"" group:"Proof" help:"Compare every cell in ClickHouse with what a simulated fleet truly did."`
	Audit    auditCommand    `cmd:"" group:"Proof" help:"Prove from receipts that each offset of reports.raw has its end."`

	Licences licencesCommand `cmd:"" group:"Operation" help:"Load, end and list licences."`
	Keys     keysCommand     `cmd:"" group:"Operation" help:"Make, list and destroy keys."`
	Topics   topicsCommand   `cmd:"" group:"Operation" help:"Bring Kafka's topics to their specification, or compare them."`
	Migrate  migrateCommand  `cmd:"" group:"Operation" help:"Apply ClickHouse's migrations, or list them."`
	Grants   grantsCommand   `cmd:"" group:"Operation" help:"Show who may do what in ClickHouse, as SQL or as a users file."`
	Replay   replayCommand   `cmd:"" group:"Operation" help:"Write reports of reports.raw again: those of a class of dead letters, or a range of offsets."`
	Rewind   rewindCommand   `cmd:"" group:"Operation" help:"Let the pipeline read again what a restored ClickHouse does not hold."`

	Quarantine quarantineCommand `cmd:"" group:"Operation" help:"Take what a licence, installation or session reported out of every count, and back."`

	Steward   stewardCommand   `cmd:"" group:"Privacy" help:"Say who is behind a licence, once it is logged who asked and why."`
	AccessLog accessLogCommand `cmd:"" name:"access-log" group:"Privacy" help:"List and verify the log of the steward's accesses."`

	Compliance complianceCommand `cmd:"" group:"Questions" help:"Compare use with entitlements, and tell signs of abuse with the rows behind them."`
	Retirement retirementCommand `cmd:"" group:"Questions" help:"Say which legacy features can be removed: who uses them, and what is not known."`
	Report     reportCommand     `cmd:"" group:"Questions" help:"Write a page to look at: use of features, retirement, compliance, uptake and data quality."`

	Send  sendCommand  `cmd:"" group:"Questions" help:"Post one report to a gateway and show the answer."`
	Probe probeCommand `cmd:"" group:"Questions" help:"Post a report and wait until it is found in ClickHouse."`
	Where whereCommand `cmd:"" group:"Questions" help:"Say where a report ended: landed, dead letter and reason, or pending."`

	ConfigShow configShowCommand `cmd:"" name:"config" group:"Other" help:"Show the configuration in force and where each value comes from."`
	Version    versionCommand    `cmd:"" group:"Other" help:"Show what this build is."`
	Completion completionCommand `cmd:"" group:"Other" help:"Show how to switch on tab completion."`

	ClickHouse clickhouseCommand `cmd:"" name:"clickhouse" hidden:"" help:"Run a local ClickHouse, for development."`
	Kafka      brokerCommand     `cmd:"" name:"kafka" hidden:"" help:"Run the embedded broker, for development."`
}

// BeforeResolve reads file and environment, once it is known which file; kong calls
// it. Commands without configuration go without both.
func (c *cli) BeforeResolve(parsed *kong.Context, a *app) error {
	path, configured := "", false
	for _, element := range parsed.Path {
		if element.Flag != nil && element.Flag.Name == "config" {
			path = element.Flag.Target.String()
			if given, ok := parsed.FlagValue(element.Flag).(string); ok {
				path = given
			}
		}
		for _, flag := range element.Flags {
			configured = configured || keyOf(flag.Name) != ""
		}
	}
	if !configured {
		return nil
	}
	if err := a.settings.load(path, knownKeys(a.model)); err != nil {
		return err
	}
	parsed.AddResolver(a.settings)
	return nil
}

// privateSection is the listener for operators, never for the internet.
type privateSection struct {
	Listen   string `help:"Private listener with /livez, /readyz and /metrics, host:port; port 0 picks one; empty: none." default:"127.0.0.1:9464"`
	Profiles bool   `help:"Serve /debug/pprof/ on the private listener." default:"false"`
}

func (s privateSection) Validate() error {
	if s.Listen == "" {
		return nil
	}
	if _, _, err := net.SplitHostPort(s.Listen); err != nil {
		return fmt.Errorf("private.listen: %w", err)
	}
	return nil
}

func (s privateSection) handler(checks *health.Checks, metrics metricsHandler) metricsHandler {
	return health.Handler(checks, metrics, s.Profiles)
}

// keystoreSection names the directory of keys.
type keystoreSection struct {
	Dir string `help:"Directory of the keys; see rollcall keys maintain." default:"/var/lib/rollcall/keys"`
}

// catalogueSection names a catalogue that replaces the one compiled in.
type catalogueSection struct {
	Dir string `help:"Directory of the metrics catalogue's YAML files; empty: the catalogue of this build."`
}

func (s catalogueSection) load() (*catalogue.Catalogue, error) {
	if s.Dir == "" {
		return catalogue.Embedded(), nil
	}
	loaded, err := catalogue.Load(os.DirFS(s.Dir))
	if err != nil {
		return nil, fmt.Errorf("catalogue.dir %s: %w", s.Dir, err)
	}
	return loaded, nil
}

// kafkaSections is what every command that speaks to Kafka has.
type kafkaSections struct {
	Kafka kafka.Config `embed:"" prefix:"kafka." group:"Kafka"`
}

// serviceSections is what every service has.
type serviceSections struct {
	kafkaSections
	Telemetry telemetry.Config `embed:"" prefix:"telemetry." group:"Telemetry"`
	Private   privateSection   `embed:"" prefix:"private." group:"Private listener"`
}

// recordsSection says in which format internal records are written.
type recordsSection struct {
	Format record.Format `help:"Record format that is written: a number (rollcall version lists them), previous (what the release before this one reads) or current. Every released one is read. Raise it once no older process runs (docs/upgrades.md)." default:"previous"`
}

// recordsSections is what every command that writes internal records has.
type recordsSections struct {
	Records recordsSection `embed:"" prefix:"records." group:"Records"`
}

type geoipSections struct {
	GeoIP geoip.Config `embed:"" prefix:"geoip." group:"GeoIP"`
}

// page is the detailed help of a command.
func page(about string, examples []string, differs string) string {
	var b strings.Builder
	b.WriteString(about)
	b.WriteString("\n\nExamples:\n\n")
	for _, example := range examples {
		b.WriteString("    " + example + "\n")
	}
	b.WriteString("\nExit codes:\n\n")
	b.WriteString("    0  done\n    1  failed\n    2  wrong usage or configuration\n")
	if differs != "" {
		b.WriteString("    3  " + differs + "\n")
	}
	return b.String()
}
