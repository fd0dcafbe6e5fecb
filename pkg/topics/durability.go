package topics

import "slices"

// durabilitySettings are those that decide whether an acknowledged record can be lost.
var durabilitySettings = []string{settingReplication, "min.insync.replicas", "unclean.leader.election.enable"}

// Weakens reports whether the difference is one by which a record that was
// acknowledged can be lost; any other concerns how long it stays or how large it may be.
func (d Difference) Weakens() bool { return slices.Contains(durabilitySettings, d.Setting) }
