package node

import (
	"log/slog"
	"sync/atomic"

	"github.com/hutong-bus/hutong/node/exchange"
	"github.com/hutong-bus/hutong/node/replica"
)

// disks judges how full the voters' disks are (invariant 10): records are slowed
// and then refused where so many voters are over the mark that the others are no
// majority. One full follower does not stop the bus.
type disks struct {
	marks Disk
	room  atomic.Uint32 // an exchange.Room
	full  atomic.Uint32 // this many voters were over the warning mark
}

// Room is what was found at the last look.
func (d *disks) Room() exchange.Room { return exchange.Room(d.room.Load()) }

// look takes the cluster's word on its disks; what changes is logged.
func (d *disks) look(status replica.Status, log *slog.Logger) {
	warned, room := d.judge(status.Nodes)
	if before := d.full.Swap(uint32(warned)); before != uint32(warned) {
		log.Warn("disks over the warning mark", slog.Int("voters", warned), slog.Int("warn_percent", d.marks.Warn))
	}
	if before := d.room.Swap(uint32(room)); before != uint32(room) {
		log.Warn("room for new records changed", slog.Int("room", int(room)), slog.Int("was", int(before)))
	}
}

// judge counts the voters over each mark. A voter that is not heard cannot be
// written to: it counts as full, or the others would be filled to the brim.
func (d *disks) judge(nodes []replica.Node) (warned int, room exchange.Room) {
	voters, slow, none := 0, 0, 0
	over := func(n *replica.Node, percent int) int {
		if n.TotalBytes > 0 && n.FreeBytes <= n.TotalBytes/100*uint64(100-percent) {
			return 1
		}
		return 0
	}
	for i := range nodes {
		n := &nodes[i]
		if !n.Voter {
			continue
		}
		voters++
		warned += over(n, d.marks.Warn)
		if n.State == "unreachable" {
			slow, none = slow+1, none+1
			continue
		}
		slow += over(n, d.marks.Slow)
		none += over(n, d.marks.Refuse)
	}
	majority := voters/2 + 1
	switch {
	case voters > 0 && voters-none < majority:
		return warned, exchange.RoomNone
	case voters > 0 && voters-slow < majority:
		return warned, exchange.RoomSlow
	}
	return warned, exchange.RoomEnough
}
