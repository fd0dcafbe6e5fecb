package topics

import "strconv"

// Weakens reports whether the difference is one by which a record that was acknowledged
// can be lost: fewer copies, another leader, or a record that goes before its time. Any
// other concerns how long it stays beyond that, or how large it may be.
func (d Difference) Weakens() bool {
	switch d.Setting {
	case settingReplication, "min.insync.replicas", "unclean.leader.election.enable", "cleanup.policy", "retention.bytes":
		return true
	case "retention.ms":
		return d.shorter()
	}
	return false
}

// shorter reports whether a retention ends before it should; below 0 it never ends.
func (d Difference) shorter() bool {
	have, err := strconv.ParseInt(d.Have, 10, 64)
	if err != nil {
		return true // not a figure of Kafka's: nothing is known to be kept
	}
	want, err := strconv.ParseInt(d.Want, 10, 64)
	return err != nil || have >= 0 && (want < 0 || have < want)
}
