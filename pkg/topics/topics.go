// Package topics names Rollcall's Kafka topics and says how each is to be configured.
package topics

// The topics (docs/topics.md).
const (
	Raw         = "reports.raw"
	Clean       = "reports.clean"
	Usage       = "usage"
	Identities  = "identities"
	Licences    = "licences"
	DeadLetters = "dead-letters"
)
