package main

// proofs are all that can be run, in the order in which they are listed. A claim
// without a proof here is not made anywhere.
func proofs() []Proof {
	return []Proof{
		{Name: "demo-exact", Claim: "make demo EXIT=1 in a fresh clone with empty caches and only Go and Node: every count is exact, within 3 minutes after the downloads", Run: proveDemoExact},
		{Name: "kafka-exact", Claim: "every count is exact over real Kafka while every process of every service is killed again and again", Tested: true, Run: proveKafkaExact},
		{Name: "mutants", Claim: "the oracle can fail: defects made on purpose are caught, the same scenarios without them hold", Tested: true, Run: proveMutants},
		{Name: "outage", Claim: "no acknowledged report is lost while the broker and then ClickHouse are away, and memory stays bounded", Tested: true, Run: proveOutage},
		{Name: "bad-input", Claim: "each bad input gets its answer, no service dies and nothing else is lost", Tested: true, Run: proveBadInput},
		{Name: "interop", Claim: "three Avro libraries' encodings of one report become identical rows", Tested: true, Run: proveInterop},
		{Name: "one-trace", Claim: "one trace from the gateway to the insert, and nothing personal in any span", Tested: true, Run: proveOneTrace},
		{Name: "taint", Claim: "of a fleet with a mark in all that it can choose nothing stands behind the boundary, in any form, whatever goes wrong; a leaky build shows that all of it would be found", Run: proveTaint},
		{Name: "key-death", Claim: "an address's pseudonym can be recomputed while its day's keys live, and by nothing that is left once they are destroyed", Tested: true, Run: proveKeyDeath},
		{Name: "sealed", Claim: "nothing of a sealed report can be read with all that a broker has, nothing opens with all that a gateway has, and every flipped bit is found", Tested: true, Run: proveSealed},
		{Name: "consent", Claim: "no optional value from a time without consent is stored, whatever a client sends and however late, and required ones are exact", Tested: true, Run: proveConsent},
		{Name: "access", Claim: "who reaches for what is not theirs is refused by ClickHouse and Kafka themselves, and the pipeline runs exactly under these rights", Tested: true, Run: proveAccess},
		{Name: "access-log", Claim: "a removed, edited or reordered entry of the stewards' log is found, and a missing tail; nothing is decrypted that is not logged", Tested: true, Run: proveAccessLog},
		{Name: "cookbook", Claim: "every question of docs/analytics.md, asked as the analyst, is answered with the truth and as the page says; whole views are the truth in every dimension", Tested: true, Run: proveCookbook},
		{Name: "new-counter", Claim: "a counter that is added to the catalogue's files alone is in every view that speaks of metrics after one report: no code, no DDL", Tested: true, Run: proveNewCounter},
		{Name: "sealing-cost", Claim: "sealing takes at most a quarter more CPU of gateway and anonymizer, and at most twice the bytes on the broker", Run: proveSealingCost},
		{Name: "replay", Claim: "reports refused by a release too old for them count once they are replayed, and replaying the whole topic changes nothing", Tested: true, Run: proveReplay},
		{Name: "operations", Claim: "the procedures of docs/operations.md do what the page says: keys of passing days, dead letters of three weeks ago, added partitions, and a lost ClickHouse restored from a backup leave every count exact", Tested: true, Run: proveOperations},
		{Name: "compliance-truth", Claim: "peak CPUs in use are exact where sessions are complete, and a bracket that holds the truth where they are not; what is told of entitlements and abuse is true", Tested: true, Run: proveComplianceTruth},
		{Name: "retirement-truth", Claim: "the bounds of who uses a legacy feature hold the truth whoever is dark, and removal is never advised where it breaks too many", Tested: true, Run: proveRetirementTruth},
		{Name: "forged", Claim: "forged reports for another's licence, on open and closed days, are found, taken out of every count and put back, exactly, whatever is sent again", Tested: true, Run: proveForged},
		{Name: "page", Claim: "the page of rollcall report works on a phone and a desk, in light and dark, by keys alone and without a network, and axe finds nothing", Tested: true, Run: provePage},
		{Name: "views-at-scale", Claim: "over a synthetic year of 20 million reports every view answers what it is for within a second, and what is about one licence within a tenth; rollups say what the session-days say", Tested: true, Run: proveViewsAtScale},
		{Name: "image", Claim: "the image is the same however often it is built, is small, says what is in it, and runs as deploy/compose.yaml has it, as no privileged user on a read-only file system", Tested: true, Run: proveImage},
		{Name: "chart-matrix", Claim: "whatever values the chart is given, it renders objects that Kubernetes and rollcall take; wrong values are refused by name", Tested: true, Run: proveChartMatrix},
		{Name: "network-policy", Claim: "the pods of the chart may speak to those that docs/kubernetes.md lists, and to nobody else", Tested: true, Run: proveNetworkPolicy},
		{Name: "gateway-cpu", Claim: "the gateway needs little more CPU than a handler that awaits acks=all", Run: proveGatewayCPU},
		{Name: "sink-cpu", Claim: "beside a bare write, the sink costs at most a third of what ClickHouse's own Kafka engine does", Run: proveSinkCPU},
		{Name: "pipeline-cpu", Claim: "four services and ClickHouse take 8,000 reports per CPU second", Run: provePipelineCPU},
		{Name: "freshness", Claim: "a report is visible within a second, and in the rollup within a minute", Run: proveFreshness},
		{Name: "alert-rules", Claim: "every alert fires in a test of promtool, is quiet in another, and has a runbook", Tested: true, Run: proveAlertRules},
		{Name: "alerts", Claim: "every alert fires in a real run of its fault and none while all is well; every series that rules and dashboards read is exposed", Run: proveAlerts},
		{Name: "collector", Claim: "the example's Collector keeps every trace with an error, every slow one and a hundredth of the rest, and no address", Run: proveCollector},
		{Name: "growth", Claim: "a long history makes neither reports dearer nor services larger", Run: proveGrowth},
	}
}
