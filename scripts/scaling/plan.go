package main

import "math"

// assumed is what nobody has measured: how a fleet behaves, and what a deployment wants
// and pays. The page says each.
type assumed struct {
	reportsADay           float64 // of an installation: one as it starts, one a day
	sessionDaysADay       float64 // of an installation
	installationsALicence float64
	peak                  float64 // highest rate of reports over the mean: closing days come at midnight UTC
	busy                  float64 // share of a CPU that a process is planned to use at that peak
	fewest                float64 // processes of each service, so that one may go
	podCPUs               float64 // at most, of a process
	brokerCopies          float64
	replicas              float64 // of each shard: an insert waits for most of them, so of two none may be away
	freshness             float64 // seconds from a change of a day to its rollup
	threads, duty         float64 // sink.rollup.threads; share of the time that licence_day takes (sink.rollup.duty_percent)
	beside                float64 // share of the time that what is computed beside it takes, at most (sink.rollup.answers_duty_percent)
	storeMemory           float64 // GiB of a server of ClickHouse
	serverDisk            float64 // GB of a server of ClickHouse that are planned to be used
	brokerCPU             float64 // of three brokers, beside what the services take: as much as the gateway again
	cpuHour, gbMonth      float64 // price units
}

func assumptions() assumed {
	return assumed{
		reportsADay: 2, sessionDaysADay: 1.2, installationsALicence: 50, peak: 4, busy: 0.5, fewest: 2, podCPUs: 2, brokerCopies: 3, replicas: 3,
		freshness: 60, threads: 4, duty: 0.25, beside: 0.05, storeMemory: 16, serverDisk: 4000, brokerCPU: 1, cpuHour: 0.04, gbMonth: 0.10,
	}
}

// Days that rows and records are kept (docs/topics.md, docs/clickhouse.md), and the hours of a month.
const (
	rawDays, cleanDays     = 30, 8
	sessionDays            = 100
	receiptDays            = 31
	rollupDays             = 365 // for ever, so: in the first year
	monthHours, daySeconds = 730, 86400
	gigabyte               = 1e9
)

// deployment is what a fleet of that size asks for.
type deployment struct {
	installations, licences        float64
	mean, highest                  float64 // reports a second
	cpuMean                        float64 // CPUs of services and ClickHouse at the mean rate, without rollups
	pods                           map[string]float64
	partitions                     float64
	shards, servers                float64
	dayCPU                         float64 // CPU seconds that computing a whole day of licence_day takes
	rollupCPUs, besideCPUs         float64 // CPUs of all shards that licence_day, and what is computed beside it, take at most
	storeCPUs                      float64 // of one server, at the peak, rollups included
	topicGB, storeGB, serverGB     float64 // on all brokers; on all servers; on one server
	memoryGB                       float64
	cpuCost, diskCost, perThousand float64 // a month
}

// plan computes a deployment.
func plan(installations float64, m measured, a assumed) deployment {
	d := deployment{installations: installations, licences: installations / a.installationsALicence}
	d.mean = installations * a.reportsADay / daySeconds
	d.highest = d.mean * a.peak
	d.cpuMean = d.mean * (m.gateway + m.anonymizer + m.enricher + m.sink + m.store) / 1e6
	d.pods = map[string]float64{}
	most := 0.0
	for service, micros := range map[string]float64{"gateway": m.gateway, "anonymizer": m.anonymizer, "enricher": m.enricher, "sink": m.sink} {
		d.pods[service] = max(a.fewest, math.Ceil(d.highest*micros/1e6/a.busy/a.podCPUs))
		d.memoryGB += d.pods[service] * m.memory[service] / 1024
		if service != "gateway" { // which consumes nothing
			most = max(most, d.pods[service])
		}
	}
	// Twice the consumers, so that one more takes a share; a multiple of six divides evenly by many.
	d.partitions = 6 * math.Ceil(2*most/6)

	sessionDaysOfDay := installations * a.sessionDaysADay
	perCopy := (sessionDaysOfDay*sessionDays*m.sessionDay + installations*a.reportsADay*receiptDays*m.receipt + d.licences*rollupDays*m.licenceDay) / gigabyte
	d.dayCPU = sessionDaysOfDay / m.computed * m.computing
	byFreshness := d.dayCPU / (a.freshness * a.duty * a.threads)
	d.shards = max(1, math.Ceil(max(byFreshness, perCopy/a.serverDisk)))
	d.servers = d.shards * a.replicas
	d.storeGB, d.serverGB = perCopy*a.replicas, perCopy/d.shards
	d.rollupCPUs, d.besideCPUs = d.shards*a.threads*a.duty, d.shards*a.threads*a.beside
	// Every replica merges and stores what its shard gets; any of them may be the one that computes.
	// The threads of licence_day are busy a part of the time, but all of them at once. What is
	// computed beside it promises no time, so it gets what it takes on average, as inserts do.
	d.storeCPUs = math.Ceil((d.highest*m.store/1e6+d.besideCPUs)/d.shards/a.busy) + a.threads
	d.memoryGB += d.servers * a.storeMemory

	records := installations * a.reportsADay
	d.topicGB = records * (rawDays*m.raw + cleanDays*(m.clean+m.usage)) * a.brokerCopies / gigabyte

	brokers := 3 * max(1, math.Ceil(d.highest*m.gateway*a.brokerCPU/1e6/a.busy/3))
	cpus := d.servers*d.storeCPUs + brokers
	for service, micros := range map[string]float64{"gateway": m.gateway, "anonymizer": m.anonymizer, "enricher": m.enricher, "sink": m.sink} {
		cpus += max(d.pods[service]*0.25, d.highest*micros/1e6/a.busy) // a quarter of a CPU is asked for at least
	}
	d.cpuCost = cpus * monthHours * a.cpuHour
	d.diskCost = (d.topicGB + d.storeGB) * a.gbMonth
	d.perThousand = (d.cpuCost + d.diskCost) / installations * 1000
	return d
}
