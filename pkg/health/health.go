// Package health gathers the conditions under which a process is ready, and says
// which of them fails and why.
package health

import (
	"encoding/json"
	"net/http"
	"sync"
)

// Checks is a set of named conditions; a process is ready when all of them hold.
// The zero value has none and is ready. It is safe for concurrent use.
type Checks struct {
	mu         sync.Mutex
	conditions map[string]string // name → why not; empty: holds
}

// Fail marks the named condition as not holding, for that reason (no personal data).
func (c *Checks) Fail(name, why string) { c.set(name, why) }

// Pass marks the named condition as holding.
func (c *Checks) Pass(name string) { c.set(name, "") }

func (c *Checks) set(name, why string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.conditions == nil {
		c.conditions = map[string]string{}
	}
	c.conditions[name] = why
}

// Failing returns each condition that does not hold, with the reason.
func (c *Checks) Failing() map[string]string {
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
