package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/mattfenwick/cyclonus/pkg/matcher"
	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// endpoint is a pod of the chart, or somebody outside of it: a pod of another
// namespace, or an address beyond the cluster.
type endpoint struct {
	name      string
	ours      bool
	namespace string // empty: beyond the cluster
	labels    map[string]string
	address   string
}

func (e endpoint) peer() *matcher.TrafficPeer {
	peer := &matcher.TrafficPeer{IP: e.address}
	if e.namespace != "" {
		peer.Internal = &matcher.InternalPeer{
			PodLabels: e.labels, Namespace: e.namespace,
			NamespaceLabels: map[string]string{core.LabelMetadataName: e.namespace},
		}
	}
	return peer
}

// strangers are everybody else whom a pod might want to reach, or who might want to
// reach it; namespace is the release's.
func strangers(namespace string) []endpoint {
	return []endpoint{
		{name: "kafka", namespace: "kafka", address: "10.50.0.1", labels: map[string]string{"app": "kafka"}},
		{name: "clickhouse", namespace: "clickhouse", address: "10.50.0.2", labels: map[string]string{"app": "clickhouse"}},
		{name: "dns", namespace: "kube-system", address: "10.50.0.3", labels: map[string]string{"k8s-app": "kube-dns"}},
		{name: "kube-system", namespace: "kube-system", address: "10.50.0.4", labels: map[string]string{"k8s-app": "other"}},
		{name: "collector", namespace: "observability", address: "10.50.0.5", labels: map[string]string{"app": "collector"}},
		{name: "prometheus", namespace: "monitoring", address: "10.50.0.6", labels: map[string]string{"app": "prometheus"}},
		{name: "ingress controller", namespace: "ingress-nginx", address: "10.50.0.7", labels: map[string]string{"app": "ingress-nginx"}},
		{name: "neighbour", namespace: namespace, address: "10.50.0.8", labels: map[string]string{"app": "neighbour"}},
		{name: "stranger", namespace: "other", address: "10.50.0.9", labels: map[string]string{"app.kubernetes.io/name": "rollcall", "app.kubernetes.io/component": "gateway"}},
		{name: "node", address: "192.0.2.10"},
		{name: "internet", address: "203.0.113.10"},
		{name: "internet (IPv6)", address: "2001:db8::10"},
	}
}

// cluster is what a rendering puts into a namespace, and who is around it.
type cluster struct {
	pods     []endpoint
	holdings holdings
	users    users
	around   []endpoint
	policies []*networking.NetworkPolicy
	ports    []port
}

type port struct {
	number   int
	protocol core.Protocol
}

func (p port) String() string { return fmt.Sprintf("%d/%s", p.number, p.protocol) }

// connection is a pair of endpoints and a port on the second.
type connection struct{ from, to, port string }

func (c connection) String() string { return c.from + " → " + c.to + " " + c.port }

// readCluster reads a rendering: the pod templates of whatever runs pods, each once,
// and the policies.
func readCluster(path string) (*cluster, error) {
	decode, err := decoder()
	if err != nil {
		return nil, err
	}
	documents, err := readDocuments(path)
	if err != nil {
		return nil, err
	}
	c := &cluster{holdings: holdings{}, users: users{}}
	pods := map[string]endpoint{}
	for _, document := range documents {
		object, _, err := decode.Decode(document, nil, nil)
		if runtime.IsNotRegisteredError(err) {
			continue // a kind without pods and policies; decode and kubeconform judge it
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		if err := c.users.read(object); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		if policy, ok := object.(*networking.NetworkPolicy); ok {
			c.policies = append(c.policies, policy)
			continue
		}
		if template, namespace := podTemplate(object); template != nil {
			name := template.Labels[componentLabel]
			if before, there := pods[name]; there && !maps.Equal(before.labels, template.Labels) {
				return nil, fmt.Errorf("%s: pods of %s have labels that differ: the policies may tell them apart", path, name)
			}
			c.holdings[name] = template
			pods[name] = endpoint{name: name, ours: true, namespace: namespace, labels: template.Labels, address: fmt.Sprintf("10.60.0.%d", len(pods)+1)}
		}
	}
	if len(pods) == 0 {
		return nil, fmt.Errorf("%s: there are no pods in it", path)
	}
	for _, name := range slices.Sorted(maps.Keys(pods)) {
		c.pods = append(c.pods, pods[name])
	}
	c.around = strangers(c.pods[0].namespace)
	c.ports = c.portsOfInterest()
	return c, nil
}

// portsOfInterest are all that policies name, and some that none should.
func (c *cluster) portsOfInterest() []port {
	all := map[port]bool{{22, core.ProtocolTCP}: true, {53, core.ProtocolUDP}: true, {443, core.ProtocolTCP}: true, {9464, core.ProtocolTCP}: true, {8080, core.ProtocolTCP}: true}
	for _, policy := range c.policies {
		var named []networking.NetworkPolicyPort
		for _, rule := range policy.Spec.Ingress {
			named = append(named, rule.Ports...)
		}
		for _, rule := range policy.Spec.Egress {
			named = append(named, rule.Ports...)
		}
		for _, p := range named {
			if p.Port == nil {
				continue // every port: found by those above
			}
			protocol := core.ProtocolTCP
			if p.Protocol != nil {
				protocol = *p.Protocol
			}
			all[port{p.Port.IntValue(), protocol}] = true
		}
	}
	return slices.SortedFunc(maps.Keys(all), func(a, b port) int { return strings.Compare(a.String(), b.String()) })
}

// allowed evaluates the policies over every pair of which one is a pod of the chart,
// and every port of interest. It returns how many it asked about, too.
func (c *cluster) allowed(policies []*networking.NetworkPolicy) (map[connection]bool, int) {
	return c.evaluate(policies, func(r *matcher.AllowedResult) bool { return r.IsAllowed() })
}

// sent is what the senders' own policies allow: the receivers' may still refuse it.
func (c *cluster) sent(policies []*networking.NetworkPolicy) map[connection]bool {
	open, _ := c.evaluate(policies, func(r *matcher.AllowedResult) bool { return r.Egress.IsAllowed() })
	return open
}

func (c *cluster) evaluate(policies []*networking.NetworkPolicy, passes func(*matcher.AllowedResult) bool) (map[connection]bool, int) {
	engine := matcher.BuildNetworkPolicies(false, policies)
	all := slices.Concat(c.pods, c.around)
	open, asked := map[connection]bool{}, 0
	for _, from := range all {
		for _, to := range all {
			if !from.ours && !to.ours || from.name == to.name {
				continue
			}
			for _, p := range c.ports {
				asked++
				traffic := &matcher.Traffic{Source: from.peer(), Destination: to.peer(), ResolvedPort: p.number, Protocol: p.protocol}
				if passes(engine.IsTrafficAllowed(traffic)) {
					open[connection{from.name, to.name, p.String()}] = true
				}
			}
		}
	}
	return open, asked
}

// differences lists what one has and the other has not, sorted.
func differences(want, got map[connection]bool) (missing, excess []string) {
	for c := range want {
		if !got[c] {
			missing = append(missing, c.String())
		}
	}
	for c := range got {
		if !want[c] {
			excess = append(excess, c.String())
		}
	}
	slices.Sort(missing)
	slices.Sort(excess)
	return missing, excess
}

// compareWithPage holds what is allowed to the table of a page, and then breaks each
// policy in turn: a table that would hold all the same checks nothing.
func compareWithPage(out io.Writer, page, manifests string) error {
	want, err := readTable(page)
	if err != nil {
		return err
	}
	c, err := readCluster(manifests)
	if err != nil {
		return err
	}
	got, asked := c.allowed(c.policies)
	if missing, excess := differences(want, got); len(missing)+len(excess) > 0 {
		return fmt.Errorf("%s and the policies differ\nin the table, not allowed:\n  %s\nallowed, not in the table:\n  %s",
			page, strings.Join(missing, "\n  "), strings.Join(excess, "\n  "))
	}
	found, guarded, intact := 0, 0, c.sent(c.policies)
	for _, defect := range c.defects() {
		open, _ := c.allowed(defect.policies)
		if missing, excess := differences(want, open); len(missing)+len(excess) > 0 {
			found++
			continue
		}
		if missing, excess := differences(intact, c.sent(defect.policies)); len(missing)+len(excess) == 0 {
			return fmt.Errorf("%s: and nothing differs: this check checks nothing", defect.what)
		}
		guarded++ // the other end is one of ours, and its own policy still refuses
	}
	fmt.Fprintf(out, "%d pairs of %d pods and %d others over %d ports evaluated: %d allowed, as the table lists; of %d policies broken on purpose %d found, %d held by the policy of the other end\n",
		asked, len(c.pods), len(c.around), len(c.ports), len(got), found+guarded, found, guarded)
	return nil
}

type defect struct {
	what     string
	policies []*networking.NetworkPolicy
}

// defects are the policies with one of them removed, or one of its rules, or with a
// rule that is open to everybody.
func (c *cluster) defects() []defect {
	var all []defect
	for i, policy := range c.policies {
		all = append(all, defect{policy.Name + " removed", slices.Delete(slices.Clone(c.policies), i, i+1)})
		change := func(what string, do func(*networking.NetworkPolicySpec)) {
			changed := policy.DeepCopy()
			do(&changed.Spec)
			policies := slices.Clone(c.policies)
			policies[i] = changed
			all = append(all, defect{policy.Name + ": " + what, policies})
		}
		for j := range policy.Spec.Egress {
			change(fmt.Sprintf("rule %d of egress removed", j), func(s *networking.NetworkPolicySpec) { s.Egress = slices.Delete(s.Egress, j, j+1) })
			change(fmt.Sprintf("rule %d of egress to everybody", j), func(s *networking.NetworkPolicySpec) { s.Egress[j].To = nil })
			change(fmt.Sprintf("rule %d of egress to every port", j), func(s *networking.NetworkPolicySpec) { s.Egress[j].Ports = nil })
		}
		for j := range policy.Spec.Ingress {
			change(fmt.Sprintf("rule %d of ingress removed", j), func(s *networking.NetworkPolicySpec) { s.Ingress = slices.Delete(s.Ingress, j, j+1) })
			change(fmt.Sprintf("rule %d of ingress from everybody", j), func(s *networking.NetworkPolicySpec) { s.Ingress[j].From = nil })
		}
	}
	return all
}
