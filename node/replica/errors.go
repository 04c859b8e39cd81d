package replica

import "errors"

var (
	// ErrNoLeader is returned when there is no leader to ask and what was asked for was not begun.
	ErrNoLeader = errors.New("replica: no leader")
	// ErrPushback is returned when too many bytes wait; nothing was begun, try later.
	ErrPushback = errors.New("replica: too much is waiting")
	// ErrUnknown is returned when the caller stopped waiting for sections that were
	// already on their way: they may be applied or not.
	ErrUnknown = errors.New("replica: outcome unknown")
	// ErrNotFresh is returned when this node's state may be older than granted data may be served from.
	ErrNotFresh = errors.New("replica: state is not fresh")
	// ErrTooLarge is returned when a section does not fit into an entry, or a message into a frame.
	ErrTooLarge = errors.New("replica: too large")
	// ErrForeignSection is returned when a section is malformed or does not name this node as the accepting one.
	ErrForeignSection = errors.New("replica: section is malformed or names another node")
	// ErrClosed is returned when the replica was closed.
	ErrClosed = errors.New("replica: closed")
	// ErrConfig is returned when the configuration cannot be used; its text lists every fault.
	ErrConfig = errors.New("replica: configuration")
	// ErrCorrupt is returned when a log entry or a snapshot's bytes fail their
	// checksum. The node must stop; its data come back by joining anew.
	ErrCorrupt = errors.New("replica: corrupt")
	// ErrStateBehind is returned when the state is older than the newest snapshot
	// or the log does not reach back to it: entries would be skipped silently.
	ErrStateBehind = errors.New("replica: the state is older than the log can make up for: " +
		"restore this node's state directory, or remove the node's data and join it to the cluster again")
	// ErrLogLost is returned when there is a state but raft's term is gone: the log
	// directory was lost. An empty log must not vote, it has forgotten what this
	// node acknowledged and whom it voted for.
	ErrLogLost = errors.New("replica: the log directory is gone though the state is there: " +
		"restore this node's log directory, or remove the node's data and join it to the cluster again")
	// ErrRestart is returned when the node must be started again to go on safely; starting it is the whole cure.
	ErrRestart = errors.New("replica: start this node again")
	// ErrClockBack is returned when one node alone finds its clock more than five
	// minutes behind its own log: set the clock, or confirm with Config.AcceptClock.
	ErrClockBack = errors.New("replica: the clock is far behind the log's time")
	// ErrForeign is returned when the other end belongs to another cluster.
	ErrForeign = errors.New("replica: node of another cluster")
	// ErrSameNode is returned when the other end bears this node's own id: a copied data directory.
	ErrSameNode = errors.New("replica: another node runs under this node's id")
	// ErrNotMember is returned when a node is not, or no longer, in the cluster's configuration.
	ErrNotMember = errors.New("replica: not a member")
	// ErrUnreachable is returned when a node cannot be reached or stops answering.
	ErrUnreachable = errors.New("replica: node is not reachable")
	// ErrKind is returned when the other node has no handler for a message's kind.
	ErrKind = errors.New("replica: nobody answers messages of this kind")
	// ErrAnswer is returned when the other node's handler answered with an error, whose text follows.
	ErrAnswer = errors.New("replica: the other node answered with an error")
	// ErrInstallAborted is returned when a running snapshot transfer was given up because the disk runs out; it starts again by itself.
	ErrInstallAborted = errors.New("replica: snapshot transfer given up to free log space")
	// ErrRemoved is returned when this node was removed from the cluster.
	ErrRemoved = errors.New("replica: this node was removed from the cluster")
)
