// Package health gathers the conditions under which a process is ready, and says
// which of them fails and why.
package health

import (
	"encoding/json"
	"net/http"
	"strings"
	"sync"
)

// Checks is a set of named conditions; a process becomes ready when all of them hold, and
// stays so through an Outage. The zero value has none and is ready. It is safe for
// concurrent use.
type Checks struct {
	parent *Checks // nil at the root, which holds the conditions of all below it
	prefix string

	mu         sync.Mutex
	conditions map[string]condition
}

// condition is what is known of one.
type condition struct {
	why    string // it does not hold; empty: it does
	outage bool   // for a fault of a peer
	held   bool   // now or before
}

// blocks reports whether the condition keeps the process from being ready.
func (c condition) blocks() bool { return c.why != "" && (!c.outage || !c.held) }

// Part returns checks whose conditions are those of c, under names that begin with
// name and a slash: several services in one process do not meet.
func (c *Checks) Part(name string) *Checks { return &Checks{parent: c, prefix: name + "/"} }

// Fail marks the named condition as not holding, for that reason (no personal data).
func (c *Checks) Fail(name, why string) { c.set(name, condition{why: why}) }

// Outage is Fail for a fault of a peer that this process will outlive. A condition that
// has held before is told and measured, but does not end readiness: every process would
// turn unready at once, a balancer would have nobody left who tells clients to come again,
// and no restart mends a peer. One that never held may be this process's own fault, and
// counts as Fail does.
func (c *Checks) Outage(name, why string) { c.set(name, condition{why: why, outage: true}) }

// Tell marks a condition as not holding that is not this process's own and never ends its
// readiness: it is told and measured.
func (c *Checks) Tell(name, why string) { c.set(name, condition{why: why, outage: true, held: true}) }

// Pass marks the named condition as holding.
func (c *Checks) Pass(name string) { c.set(name, condition{held: true}) }

func (c *Checks) set(name string, is condition) {
	if c.parent != nil {
		c.parent.set(c.prefix+name, is)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.conditions == nil {
		c.conditions = map[string]condition{}
	}
	is.held = is.held || c.conditions[name].held
	c.conditions[name] = is
}

// Failing returns each condition that does not hold, with the reason. A part tells
// of its own only, under their short names.
func (c *Checks) Failing() map[string]string {
	if c.parent != nil {
		failing := map[string]string{}
		for name, why := range c.parent.Failing() {
			if short, ok := strings.CutPrefix(name, c.prefix); ok {
				failing[short] = why
			}
		}
		return failing
	}
	failing, _ := c.look()
	return failing
}

// look returns the conditions that do not hold, with the reasons, and whether the process
// is ready all the same. c is a root.
func (c *Checks) look() (failing map[string]string, ready bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	failing, ready = map[string]string{}, true
	for name, is := range c.conditions {
		if is.why != "" {
			failing[name] = is.why
		}
		ready = ready && !is.blocks()
	}
	return failing, ready
}

// Ready answers 200 where the process is ready, else 503, with all conditions that do not
// hold as a JSON object. It is that of a root, not of a Part.
func (c *Checks) Ready(w http.ResponseWriter, _ *http.Request) {
	failing, ready := c.look()
	w.Header().Set("Content-Type", "application/json")
	if !ready {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	// The client that has gone away is no concern of this process.
	_ = json.NewEncoder(w).Encode(map[string]any{"ready": ready, "failing": failing})
}

// Live answers 200: the process serves.
func (c *Checks) Live(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) }
