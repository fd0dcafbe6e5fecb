package access

import "slices"

// ShardDatabase returns the name of the database of a shard's own tables, on a cluster
// whose database over all shards has this name.
func ShardDatabase(database string) string { return database + "_shard" }

// ShardPlace is the table in which a server of a cluster says which shard it is.
const ShardPlace = "shard_place"

// onCluster are the grants that a role needs beside its own where the tables are spread
// over several servers.
func onCluster(role string) []Grant {
	switch role {
	case RoleMigrator:
		engines := []string{"Distributed", "ReplicatedMergeTree", "ReplicatedReplacingMergeTree", "ReplicatedAggregatingMergeTree"}
		grants := []Grant{
			{Privileges: []string{"REMOTE"}, Scope: Server, Object: "*.*", Why: "makes tables over all shards"},
			{Privileges: []string{Select}, Scope: Server, Object: "system.clusters", Why: "checks that the server knows as many shards"},
			{Privileges: []string{Select, Insert}, Scope: Main, Object: ShardPlace, Why: "remembers which shard the server is"},
		}
		for _, engine := range engines {
			grants = append(grants, Grant{Privileges: []string{"TABLE ENGINE"}, Scope: Engine, Object: engine, Why: "tables of this engine"})
		}
		return grants
	case RoleSink:
		return []Grant{
			{Privileges: []string{"SYSTEM SYNC REPLICA"}, Scope: Main, Object: "*", Why: "computes a day from what the other replicas have"},
			{Privileges: []string{Select}, Scope: Main, Object: ShardPlace, Why: "lands nothing on another shard's server"},
		}
	case RoleQuarantine:
		return []Grant{{Privileges: []string{Select}, Scope: Main, Object: ShardPlace, Why: "changes nothing on another shard's server"}}
	case Definer:
		return []Grant{
			{Privileges: []string{Select}, Scope: Main, Object: "v1_*", Why: "what a shard answers about its own licences"},
			{Privileges: []string{Select}, Scope: Main, Object: "shards_*", Why: "what the views put together from all shards"},
		}
	}
	return nil
}

// within returns in which of the databases the role has its grants: the one over all
// shards, for who asks and what answers, and that of a shard, for who makes and fills it.
// Who asks tables over all shards, not views, needs both: ClickHouse reads the shard that
// is on the same server with the rights of who asks.
func (r Role) within(main, shard string) []string {
	switch r.Name {
	case RoleMigrator, Definer, RoleAuditor, RoleSteward:
		return []string{main, shard}
	case RoleSink, RoleQuarantine:
		return []string{shard}
	}
	return []string{main}
}

// clustered returns the roles with what they need on a cluster.
func clustered(roles []Role) []Role {
	all := slices.Clone(roles)
	for i, role := range all {
		all[i].Grants = slices.Concat(role.Grants, onCluster(role.Name))
	}
	return all
}
