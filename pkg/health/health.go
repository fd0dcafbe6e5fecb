// Package health gathers the conditions under which a process is ready, and says
// which of them fails and why.
package health

import (
	"encoding/json"
	"net/http"
	"strings"
	"sync"
)

// Checks is a set of named conditions; a process is ready when all of them hold.
// The zero value has none and is ready. It is safe for concurrent use.
type Checks struct {
	parent *Checks // nil at the root, which holds the conditions of all below it
	prefix string

	mu         sync.Mutex
	conditions map[string]string // name → why not; empty: holds
}

// Part returns checks whose conditions are those of c, under names that begin with
// name and a slash: several services in one process do not meet.
func (c *Checks) Part(name string) *Checks { return &Checks{parent: c, prefix: name + "/"} }

// Fail marks the named condition as not holding, for that reason (no personal data).
func (c *Checks) Fail(name, why string) { c.set(name, why) }

// Pass marks the named condition as holding.
func (c *Checks) Pass(name string) { c.set(name, "") }

func (c *Checks) set(name, why string) {
	if c.parent != nil {
		c.parent.set(c.prefix+name, why)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.conditions == nil {
		c.conditions = map[string]string{}
	}
	c.conditions[name] = why
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
	c.mu.Lock()
	defer c.mu.Unlock()
	failing := map[string]string{}
	for name, why := range c.conditions {
		if why != "" {
			failing[name] = why
		}
	}
	return failing
}

// Ready answers 200 where every condition holds, else 503, with the failing
// conditions as a JSON object.
func (c *Checks) Ready(w http.ResponseWriter, _ *http.Request) {
	failing := c.Failing()
	w.Header().Set("Content-Type", "application/json")
	if len(failing) > 0 {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	// The client that has gone away is no concern of this process.
	_ = json.NewEncoder(w).Encode(map[string]any{"ready": len(failing) == 0, "failing": failing})
}

// Live answers 200: the process serves.
func (c *Checks) Live(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) }
