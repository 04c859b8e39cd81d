package exchange

import (
	"context"
	"fmt"

	"github.com/hutong-bus/hutong/node/api"
	"github.com/hutong-bus/hutong/node/policy"
	"github.com/hutong-bus/hutong/node/state"
	"github.com/hutong-bus/hutong/node/tlog"
)

// Cluster shows the nodes.
func (s *Service) Cluster(ctx context.Context, c policy.Caller) (api.Cluster, error) {
	if err := may(c, "cluster", "status"); err != nil {
		return api.Cluster{}, err
	}
	out, err := s.members.Cluster(ctx)
	return out, problem(err)
}

// AddMember makes a new node a member and returns its join bundle.
func (s *Service) AddMember(ctx context.Context, c policy.Caller, in api.MemberRequest) ([]byte, error) {
	if err := may(c, "cluster", "member-add"); err != nil {
		return nil, err
	}
	if in.ID == "" || in.Address.Node == "" {
		return nil, api.Refuse(api.CodeInvalid, "新节点须有 id 和节点端口地址 / a member needs an id and the address of its node port")
	}
	out, err := s.members.Add(ctx, in)
	return out, problem(err)
}

// RemoveMember takes a node out of the cluster.
func (s *Service) RemoveMember(ctx context.Context, c policy.Caller, id string) error {
	if err := may(c, "cluster", "member-remove"); err != nil {
		return err
	}
	return problem(s.members.Remove(ctx, id))
}

// Transfer names the node that is to lead; empty: any other.
type Transfer struct {
	Node string `json:"node,omitempty"`
}

// TransferLeadership hands leadership on.
func (s *Service) TransferLeadership(ctx context.Context, c policy.Caller, in Transfer) error {
	if err := may(c, "cluster", "transfer"); err != nil {
		return err
	}
	return problem(s.members.Transfer(ctx, in.Node))
}

// Trust is the trust file of the log: its key and a majority of the nodes'.
func (s *Service) Trust(context.Context, policy.Caller) ([]byte, error) {
	v, err := s.machine.View()
	if err != nil {
		return nil, problem(err)
	}
	defer v.Close()
	t, err := TrustOf(v, s.config.LogVKey)
	if err != nil {
		return nil, api.Internal(err)
	}
	return t.Encode(), nil
}

// TrustOf makes the trust file from the members that the log knows.
func TrustOf(v *state.View, logVKey string) (tlog.Trust, error) {
	var nodes []tlog.Witness
	for _, m := range v.Members() {
		if m.VKey != "" && m.Voter {
			nodes = append(nodes, tlog.Witness{Name: m.ID, VKey: m.VKey})
		}
	}
	t, err := tlog.NodeTrust(logVKey, nodes)
	if err != nil {
		return t, fmt.Errorf("make trust file: %w", err)
	}
	return t, nil
}

// Note has a membership event written to the log, in the bus's own name.
func (s *Service) Note(ctx context.Context, action string, m state.Member) error {
	_, err := command[state.Member](ctx, s, &state.MemberNote{Head: s.ownHead(), Action: action, Member: m})
	return err
}

// Bootstrap makes the first objects of a new cluster.
func (s *Service) Bootstrap(ctx context.Context, b state.Bootstrap) error {
	b.Head = s.ownHead()
	_, err := command[state.BootstrapAnswer](ctx, s, &b)
	return err
}

// ownHead begins a command of the bus itself.
func (s *Service) ownHead() state.Head {
	h := s.head(policy.Caller{}, "")
	h.By = state.By{}
	return h
}
