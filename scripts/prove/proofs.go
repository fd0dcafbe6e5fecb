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
		{Name: "gateway-cpu", Claim: "the gateway needs little more CPU than a handler that awaits acks=all", Run: proveGatewayCPU},
		{Name: "sink-cpu", Claim: "beside a bare write, the sink costs at most a third of what ClickHouse's own Kafka engine does", Run: proveSinkCPU},
		{Name: "pipeline-cpu", Claim: "four services and ClickHouse take 8,000 reports per CPU second", Run: provePipelineCPU},
		{Name: "freshness", Claim: "a report is visible within a second, and in the rollup within a minute", Run: proveFreshness},
		{Name: "growth", Claim: "a long history makes neither reports dearer nor services larger", Run: proveGrowth},
	}
}
