package selinux

import "time"

// Limit sets what the lookups may still cost.
func (c *Contexts) Limit(work int64, d time.Duration) {
	c.matcher.work, c.matcher.time = work, d
}

// Engines returns how many expressions needed an engine.
func (c *Contexts) Engines() int { return len(c.matcher.engines) }
