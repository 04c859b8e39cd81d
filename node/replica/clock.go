package replica

import (
	"sort"
	"sync"
	"time"
)

// Bounds of the clock rules (FORMATS §5).
const (
	clockHeard   = 3 * time.Second  // a clock heard longer ago does not count
	clockAlarm   = 2 * time.Second  // further off than this alarms
	clockHandOn  = 30 * time.Second // further off than this hands leadership on
	clockJump    = 2 * time.Second  // wall time that runs off monotonic time within a second has jumped
	clockBackMax = 5 * time.Minute  // one node alone: further back than this at the start asks
)

// clock stamps entries with log time and tells what time it is in the log.
// All durations are measured monotonically; wall time enters only through
// stamp and hear.
type clock struct {
	node string
	wall func() time.Time // only its wall reading is used

	mu     sync.Mutex
	heard  map[string]heardClock
	lastMs int64     // newest log time stamped, logged or applied
	lastAt time.Time // when

	appliedMs int64 // log time of the last applied entry
	appliedAt time.Time

	sampled time.Time     // last sample of the own clock, monotonic
	walled  time.Time     // and its wall reading
	jumped  time.Duration // sum of the own clock's jumps
	jump    bool          // it has jumped since the start
}

type heardClock struct {
	off time.Duration // its clock less ours
	at  time.Time
}

func newClock(node string, wall func() time.Time, lastMs int64) *clock {
	t := time.Now()
	return &clock{
		node: node, wall: wall, heard: map[string]heardClock{}, lastMs: lastMs, lastAt: t, appliedMs: lastMs, appliedAt: t,
		sampled: t, walled: wall().Round(0),
	}
}

// hear takes another node's clock, read between asked and now.
func (c *clock) hear(node string, theirMs int64, asked time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	middle := c.wall().Add(-now.Sub(asked) / 2)
	c.heard[node] = heardClock{off: time.Duration(theirMs-middle.UnixMilli()) * time.Millisecond, at: now}
}

// sample looks for jumps of the own wall clock; call it each second.
func (c *clock) sample() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.look()
}

func (c *clock) look() {
	now, wall := time.Now(), c.wall().Round(0)
	if d := wall.Sub(c.walled) - now.Sub(c.sampled); d.Abs() > clockJump {
		c.jumped += d
		c.jump = true
	}
	c.sampled, c.walled = now, wall
}

// stamp is the time of the next entry: max(last, median of the clocks heard, own
// included, the lower middle if even); without a majority of the voters' clocks
// it is last + monotonic. One node alone does not follow its clock's jumps.
func (c *clock) stamp(voters []string) int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.look()
	now := time.Now()
	ms := c.lastMs + now.Sub(c.lastAt).Milliseconds()
	if median, ok := c.median(voters, now); ok {
		off := median
		if len(voters) <= 1 {
			off = -c.jumped
		}
		ms = c.wall().Add(off).UnixMilli()
	}
	if ms > c.lastMs {
		c.lastMs = ms
	}
	c.lastAt = now
	return c.lastMs
}

// median is the median offset to this node's clock, ok if a majority of voters was heard.
func (c *clock) median(voters []string, now time.Time) (off time.Duration, ok bool) {
	var offs []time.Duration
	for _, v := range voters {
		if v == c.node {
			offs = append(offs, 0)
		} else if h, known := c.heard[v]; known && now.Sub(h.at) <= clockHeard {
			offs = append(offs, h.off)
		}
	}
	if len(offs)*2 <= len(voters) {
		return 0, false
	}
	sort.Slice(offs, func(i, j int) bool { return offs[i] < offs[j] })
	return offs[(len(offs)-1)/2], true
}

// logged tells of an entry's time found in the log, before the first stamp.
func (c *clock) logged(ms int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if ms > c.lastMs {
		c.lastMs, c.lastAt = ms, time.Now()
	}
}

// applied tells of the log time of the last applied entry.
func (c *clock) applied(ms int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	// Not only when later: time since is counted from the last entry.
	if ms >= c.appliedMs {
		c.appliedMs, c.appliedAt = ms, now
	}
	if ms > c.lastMs {
		c.lastMs, c.lastAt = ms, now
	}
}

// logNow is the log time of the last applied entry and the monotonic time since.
func (c *clock) logNow() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.appliedMs + time.Since(c.appliedAt).Milliseconds()
}

// offset tells how far the own clock is from the median (ok if that is known),
// and whether it jumped since the start.
func (c *clock) offset(voters []string) (off time.Duration, ok, jumped bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	median, ok := c.median(voters, time.Now())
	return -median, ok, c.jump
}

// of is another node's offset to ours, if heard lately.
func (c *clock) of(node string) (off time.Duration, at time.Time, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	h, ok := c.heard[node]
	return h.off, h.at, ok
}
