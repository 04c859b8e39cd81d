package replica

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// outbound is this node's open link to the leader, be it this node or another.
type outbound struct {
	leader string
	window int
	index  uint64                     // what was in the leader's log when it let this link in
	send   func(section []byte) error // takes the slice
	close  func()                     // idempotent, waits
	ended  <-chan struct{}            // closed when the leader let go
}

// openLocal is the link of a leader to itself.
func openLocal(p *packer, self string, window int) (*outbound, error) {
	ended := make(chan struct{})
	var once sync.Once
	cut := func() { once.Do(func() { close(ended) }) }
	in, err := p.open(self, window, cut)
	if err != nil {
		return nil, err
	}
	return &outbound{
		leader: self, window: window, index: in.index, ended: ended,
		send:  func(section []byte) error { return p.offer(in, section) },
		close: func() { p.leave(in); cut() },
	}, nil
}

// openRemote is the link to another node that leads: one ordered connection of
// its own, so that questions never queue behind megabytes of sections.
func openRemote(ctx context.Context, dial func(context.Context, string) (net.Conn, error), leader string) (*outbound, error) {
	conn, err := dial(ctx, leader)
	if err != nil {
		return nil, err
	}
	_ = conn.SetReadDeadline(time.Now().Add(dialTimeout))
	kind, body, err := readFrame(conn)
	if err == nil && kind == frameDeny {
		err = ErrNoLeader
	} else if err == nil && (kind != frameGrant || len(body) != 16) {
		err = fmt.Errorf("%w: malformed grant", ErrAnswer)
	}
	if err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("open link to %s: %w", leader, err)
	}
	_ = conn.SetReadDeadline(time.Time{})
	ended := make(chan struct{})
	// Stops when either end closes the connection.
	go func() {
		defer close(ended)
		_, _, _ = readFrame(conn) // the leader says nothing more
		_ = conn.Close()
	}()
	return &outbound{
		leader: leader, window: int(min(binary.BigEndian.Uint64(body), DefaultWaitingBytes)), ended: ended,
		index: binary.BigEndian.Uint64(body[8:]),
		send: func(section []byte) error {
			_ = conn.SetWriteDeadline(time.Now().Add(callTimeout))
			if _, err := conn.Write(appendFrame(make([]byte, 0, len(section)+5), frameSection, section)); err != nil {
				return fmt.Errorf("send section to %s: %w", leader, err)
			}
			return nil
		},
		close: func() { cutConn(conn); <-ended },
	}, nil
}

// cutConn ends a connection at once. TLS would first say farewell, and wait five
// seconds for room to say it if the other end takes nothing.
func cutConn(c net.Conn) {
	if over, ok := c.(interface{ NetConn() net.Conn }); ok {
		_ = over.NetConn().Close()
	}
	_ = c.Close()
}

// serveSections is the leader's end of another node's link.
func serveSections(p *packer, node string, window int, conn net.Conn) error {
	in, err := p.open(node, window, func() { _ = conn.Close() })
	if err != nil {
		_, err := conn.Write(appendFrame(nil, frameDeny))
		return err
	}
	defer p.leave(in)
	grant := binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, uint64(window)), in.index)
	if _, err := conn.Write(appendFrame(nil, frameGrant, grant)); err != nil {
		return err
	}
	r := bufio.NewReaderSize(conn, 64<<10)
	for {
		kind, section, err := readFrame(r)
		if err != nil {
			return nil // the node's end: it opens a new link when it has something to say
		}
		if kind != frameSection {
			return fmt.Errorf("%w: frame of type %d", ErrForeignSection, kind)
		}
		if err := p.offer(in, section); err != nil {
			return err
		}
	}
}

// dialNode opens a node-link connection to a member.
func (r *Replica) dialNode(ctx context.Context, node string, purpose byte) (net.Conn, error) {
	for _, s := range r.servers() {
		if string(s.ID) == node {
			return r.port.dial(ctx, node, string(s.Address), purpose)
		}
	}
	return nil, fmt.Errorf("node %q: %w", node, ErrNotMember)
}

// openLink opens this node's link to the leader.
func (r *Replica) openLink(ctx context.Context, leader string) (*outbound, error) {
	if leader == r.cfg.NodeID {
		return openLocal(r.packer, leader, r.cfg.WindowBytes)
	}
	return openRemote(ctx, func(ctx context.Context, node string) (net.Conn, error) {
		return r.dialNode(ctx, node, purposeSections)
	}, leader)
}

func (r *Replica) apply(entry []byte) raft.ApplyFuture { return r.raft.Apply(entry, 0) }

// lastLogged is the newest index in the log that reaches the state.
func (r *Replica) lastLogged() uint64 {
	_, last := r.logs.bounds()
	index, err := r.logs.lastCommand(last)
	if err != nil {
		r.fail(err)
	}
	return index
}
