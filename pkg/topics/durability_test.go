package topics

import "testing"

// What lets an acknowledged record go weakens a topic; what keeps it longer does not.
func TestWeakens(t *testing.T) {
	for _, c := range []struct {
		setting, want, have string
		weakens             bool
	}{
		{settingReplication, "3", "1", true},
		{"min.insync.replicas", "2", "1", true},
		{"unclean.leader.election.enable", "false", "true", true},
		{"cleanup.policy", "delete", "compact,delete", true},
		{"cleanup.policy", "compact", "delete", true},
		{"retention.bytes", "-1", "1073741824", true},
		{"retention.ms", "2592000000", "604800000", true},
		{"retention.ms", "2592000000", "0", true},
		{"retention.ms", "-1", "2592000000", true},
		{"retention.ms", "2592000000", "", true},
		{"retention.ms", "2592000000", "2592000001", false},
		{"retention.ms", "2592000000", "-1", false},
		{"segment.ms", "86400000", "604800000", false},
		{"max.message.bytes", "2097152", "1048588", false},
		{settingPartitions, "6", "4", false},
	} {
		if d := (Difference{Raw, c.setting, c.want, c.have}); d.Weakens() != c.weakens {
			t.Errorf("%s: weakens is %v", d, !c.weakens)
		}
	}
}
