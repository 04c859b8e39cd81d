package node

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/hutong-bus/hutong/node/api"
	"github.com/hutong-bus/hutong/node/authority"
	"github.com/hutong-bus/hutong/node/replica"
	"github.com/hutong-bus/hutong/node/state"
	"github.com/hutong-bus/hutong/node/tlog"
)

// members is the running cluster for exchange.
type members struct{ n *Node }

// Cluster shows every node.
func (m *members) Cluster(context.Context) (api.Cluster, error) {
	status := m.n.replica.Status()
	_, epoch := m.n.service.Position()
	out := api.Cluster{Cluster: status.Cluster, Epoch: epoch, Leader: status.Leader}
	for _, n := range status.Nodes {
		out.Nodes = append(out.Nodes, api.Member{ID: n.ID, Addresses: api.Addresses(n.Addresses), Voter: n.Voter, State: n.State, Applied: n.Applied,
			RunningHash: n.RunningHash, Size: n.Size, Root: n.Root, Fresh: n.Fresh, FreeBytes: n.FreeBytes, Version: n.Version})
	}
	return out, nil
}

// Add makes a new node a member. It votes once it has caught up; until then
// it counts for nothing.
func (m *members) Add(ctx context.Context, in api.MemberRequest) ([]byte, error) {
	key, err := tlog.NewKey(rand.Reader, in.ID)
	if err != nil {
		return nil, api.Refuse(api.CodeInvalid, "节点名不能有空格和加号 / a node's id may hold no space and no plus")
	}
	peers, err := m.room(in)
	if err != nil {
		return nil, err
	}
	bundle, err := m.n.keys.Bundle(authority.Settings{Node: in.ID, CosignerKey: []byte(key.Encode()), Now: time.Now(), Random: rand.Reader}, in.Address.Node, peers)
	if err != nil {
		return nil, api.Refuse(api.CodeInvalid, "节点名不合规则 / the node's id breaks a rule: %v", err)
	}
	raw, err := bundle.Encode()
	if err != nil {
		return nil, err
	}
	if err := m.n.replica.AddMember(ctx, in.ID, in.Address.Node); err != nil {
		return nil, err
	}
	addresses := map[string]string{"api": in.Address.API, "node": in.Address.Node, "public": in.Address.Public}
	if err := m.n.service.Note(ctx, state.MemberAdded, state.Member{ID: in.ID, Addresses: addresses, VKey: key.CosignerVKey()}); err != nil {
		return nil, err
	}
	return raw, nil
}

// room refuses a node whose name or address is taken, and lists the node
// addresses of the others.
func (m *members) room(in api.MemberRequest) ([]string, error) {
	if !isAddress(in.Address.Node) {
		return nil, api.Refuse(api.CodeInvalid, "节点端口地址应为 主机:端口 / the address of the node port must be host:port")
	}
	v, err := m.n.machine.View()
	if err != nil {
		return nil, err
	}
	defer v.Close()
	peers := []string{m.n.config.Advertise.Node}
	for _, known := range v.Members() {
		a := known.Addresses["node"]
		if known.ID == in.ID {
			return nil, api.Refuse(api.CodeConflict, "%[1]q已是集群的节点,请先移除 / node %[1]q is a member already; remove it first", in.ID)
		}
		if a == in.Address.Node {
			return nil, api.Refuse(api.CodeConflict, "地址%[1]s属于节点%[2]q / address %[1]s is that of node %[2]q", a, known.ID)
		}
		if a != "" && a != peers[0] {
			peers = append(peers, a)
		}
	}
	return peers, nil
}

// voters are the members that vote, as far as this node knows.
func (m *members) voters() map[string]bool {
	out := map[string]bool{}
	for _, n := range m.n.replica.Status().Nodes {
		if n.Voter {
			out[n.ID] = true
		}
	}
	return out
}

// Remove takes a node out.
func (m *members) Remove(ctx context.Context, id string) error {
	if voters := m.voters(); len(voters) == 1 && voters[id] {
		return api.Refuse(api.CodeConflict, "%[1]q是唯一有表决权的节点,不能移除 / %[1]q is the only node that votes and cannot be removed", id)
	}
	ctx, cancel := context.WithTimeout(ctx, changeWait)
	defer cancel()
	err := m.n.replica.RemoveMember(ctx, id)
	if errors.Is(err, replica.ErrNotMember) {
		return api.Refuse(api.CodeNotFound, "%[1]q不是集群的节点 / %[1]q is no node of this cluster", id)
	}
	// The leader notes the removal in the log: this node may be the removed one.
	return err
}

// Transfer hands leadership on.
func (m *members) Transfer(ctx context.Context, to string) error {
	voters := m.voters()
	switch {
	case to != "" && !voters[to]:
		return fmt.Errorf("node %q: %w", to, replica.ErrNotMember)
	case to == "" && len(voters) < 2:
		return api.Refuse(api.CodeConflict, "没有其他有表决权的节点 / there is no other node that votes")
	}
	ctx, cancel := context.WithTimeout(ctx, changeWait)
	defer cancel()
	return m.n.replica.TransferLeadership(ctx, to)
}

// changeWait bounds a change of the membership or of the leader.
const changeWait = 20 * time.Second
