package replica

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/raft"

	"github.com/hutong-bus/hutong/node/authority"
)

// memberTimeout bounds one change of the configuration.
const memberTimeout = 10 * time.Second

type memberRequest struct {
	Node    string `json:"node"`
	Address string `json:"address,omitempty"`
}

// servers is the newest configuration, committed or not.
func (r *Replica) servers() []raft.Server {
	f := r.raft.GetConfiguration()
	if f.Error() != nil {
		return nil // raft is shutting down
	}
	return f.Configuration().Servers
}

func (r *Replica) voters() []string {
	var ids []string
	for _, s := range r.servers() {
		if s.Suffrage == raft.Voter {
			ids = append(ids, string(s.ID))
		}
	}
	return ids
}

// isMember says whether a node may speak on the node link. One that joins knows
// nobody yet and hears all of its cluster; one that was removed is not heard.
func (r *Replica) isMember(node string) bool {
	servers := r.servers()
	for _, s := range servers {
		if string(s.ID) == node {
			return true
		}
	}
	return len(servers) == 0
}

func (r *Replica) nodeAt(address string) string {
	for _, s := range r.servers() {
		if string(s.Address) == address {
			return string(s.ID)
		}
	}
	return ""
}

// onLeader does a change here if this node leads, else asks the leader to.
func (r *Replica) onLeader(ctx context.Context, kind string, req memberRequest) error {
	leader := r.Leader()
	if leader == "" {
		return ErrNoLeader
	}
	b, err := json.Marshal(req)
	if err != nil {
		return fmt.Errorf("encode request: %w", err)
	}
	_, err = r.calls.call(ctx, leader, kind, b)
	return err
}

// again tries while no leader can be asked or the asked one lost leadership
// over the change, until ctx ends, or 10 s where it has no deadline. What is
// tried must be idempotent. n is the number of the try, from 0.
func (r *Replica) again(ctx context.Context, try func(ctx context.Context, n int) error) error {
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, memberTimeout)
		defer cancel()
	}
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for n := 0; ; n++ {
		err := try(ctx, n)
		if !errors.Is(err, ErrNoLeader) {
			return err
		}
		select {
		case <-tick.C:
		case <-r.done.Done():
			return ErrClosed
		case <-ctx.Done():
			return err
		}
	}
}

// AddMember lets a node into the cluster at its node address ("host:port"). It
// returns once the change is committed; the node takes part as a voter as soon
// as its state has caught up, which the leader, whoever it is then, sees to.
// Adding a member again changes its address. It waits for a leader until ctx
// ends. It returns ErrNoLeader, ErrUnreachable, authority.ErrName.
func (r *Replica) AddMember(ctx context.Context, node, address string) error {
	if err := authority.CheckNodeID(node); err != nil {
		return fmt.Errorf("add member: %w", err)
	}
	err := r.again(ctx, func(ctx context.Context, _ int) error {
		return r.onLeader(ctx, kindAdd, memberRequest{node, address})
	})
	if err != nil {
		return fmt.Errorf("add member %s: %w", node, err)
	}
	return nil
}

// RemoveMember takes a node out of the cluster; its peers no longer hear it. A
// leader that is to be removed hands leadership on first. The last voter cannot
// be removed. It waits for a leader until ctx ends. It returns ErrNoLeader,
// ErrUnreachable, ErrNotMember.
func (r *Replica) RemoveMember(ctx context.Context, node string) error {
	err := r.again(ctx, func(ctx context.Context, n int) error {
		if node == r.Leader() && len(r.voters()) > 1 {
			if err := r.TransferLeadership(ctx, ""); err != nil {
				return err
			}
		}
		err := r.onLeader(ctx, kindRemove, memberRequest{Node: node})
		if n > 0 && errors.Is(err, ErrNotMember) {
			return nil // a try whose end was not known has done it
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("remove member %s: %w", node, err)
	}
	return nil
}

// TransferLeadership hands leadership to a node, or to whoever is furthest for
// "". It returns when another leader is known here. It returns ErrNoLeader,
// ErrUnreachable, ErrNotMember.
func (r *Replica) TransferLeadership(ctx context.Context, to string) error {
	from := r.Leader()
	if from == to && to != "" {
		return nil
	}
	if err := r.onLeader(ctx, kindTransfer, memberRequest{Node: to}); err != nil {
		return fmt.Errorf("transfer leadership: %w", err)
	}
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		if now := r.Leader(); now != "" && now != from {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("transfer leadership: %w: %w", ErrNoLeader, context.Cause(ctx))
		}
	}
}

func decodeMember(payload []byte) (req memberRequest, err error) {
	if err := json.Unmarshal(payload, &req); err != nil {
		return req, fmt.Errorf("decode request: %w", err)
	}
	return req, nil
}

func (r *Replica) answerAdd(_ context.Context, _ string, payload []byte) ([]byte, error) {
	req, err := decodeMember(payload)
	if err != nil {
		return nil, err
	}
	for _, s := range r.servers() {
		if string(s.ID) != req.Node && string(s.Address) == req.Address {
			return nil, fmt.Errorf("address %s is that of node %s", req.Address, s.ID)
		}
	}
	return nil, leaderError(r.raft.AddNonvoter(raft.ServerID(req.Node), raft.ServerAddress(req.Address), 0, memberTimeout).Error())
}

func (r *Replica) answerRemove(_ context.Context, _ string, payload []byte) ([]byte, error) {
	req, err := decodeMember(payload)
	if err != nil {
		return nil, err
	}
	if !r.isMember(req.Node) {
		return nil, ErrNotMember
	}
	if voters := r.voters(); len(voters) == 1 && voters[0] == req.Node {
		return nil, errors.New("the last voter cannot be removed")
	}
	if req.Node == r.cfg.NodeID {
		return nil, ErrNoLeader // leadership came back meanwhile: the caller tries again
	}
	if err := r.raft.RemoveServer(raft.ServerID(req.Node), 0, memberTimeout).Error(); err != nil {
		return nil, leaderError(err)
	}
	r.calls.drop(req.Node)
	r.peers.forget(req.Node)
	return nil, nil
}

func (r *Replica) answerTransfer(_ context.Context, _ string, payload []byte) ([]byte, error) {
	req, err := decodeMember(payload)
	if err != nil {
		return nil, err
	}
	return nil, r.transfer(req.Node)
}

// transfer hands leadership on. Packing rests meanwhile: raft refuses entries.
func (r *Replica) transfer(to string) error {
	r.transferring.Add(1)
	defer r.transferring.Add(-1)
	if to == "" {
		return leaderError(r.raft.LeadershipTransfer().Error())
	}
	for _, s := range r.servers() {
		if string(s.ID) == to && s.Suffrage == raft.Voter {
			return leaderError(r.raft.LeadershipTransferToServer(s.ID, s.Address).Error())
		}
	}
	return fmt.Errorf("node %q: %w", to, ErrNotMember)
}

// handOn is the transfer before this node stops, if it leads and another votes.
func (r *Replica) handOn() {
	if r.raft.State() != raft.Leader || len(r.voters()) < 2 {
		return
	}
	if err := r.transfer(""); err != nil {
		r.cfg.Logger.Warn("leadership not handed on", "err", err)
	}
}

// promote makes voters of those who have caught up with what this node had
// applied a second ago. Only the leader does it.
func (r *Replica) promote(appliedThen uint64) {
	if r.raft.State() != raft.Leader {
		return
	}
	for _, s := range r.servers() {
		if s.Suffrage == raft.Voter {
			continue
		}
		info, ok := r.peers.lately(string(s.ID))
		if !ok || info.Applied < appliedThen {
			continue
		}
		if err := r.raft.AddVoter(s.ID, s.Address, 0, memberTimeout).Error(); err != nil {
			r.cfg.Logger.Warn("node not made a voter yet", "node", string(s.ID), "err", err)
			return
		}
		r.cfg.Logger.Info("node has caught up and votes", "node", string(s.ID))
	}
}

func leaderError(err error) error {
	if errors.Is(err, raft.ErrNotLeader) || errors.Is(err, raft.ErrLeadershipLost) || errors.Is(err, raft.ErrLeadershipTransferInProgress) {
		return fmt.Errorf("%w: %w", ErrNoLeader, err)
	}
	return err
}
