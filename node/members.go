package node

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"time"

	"github.com/hutong-bus/hutong/node/api"
	"github.com/hutong-bus/hutong/node/authority"
	"github.com/hutong-bus/hutong/node/checkpoint"
	"github.com/hutong-bus/hutong/node/exchange"
	"github.com/hutong-bus/hutong/node/state"
	"github.com/hutong-bus/hutong/node/tlog"
)

// openCheckpoints makes the room that signs checkpoints.
func (n *Node) openCheckpoints() error {
	origin, err := tlog.ParseKey(string(n.keys.OriginKey()))
	if err != nil {
		return fmt.Errorf("read log key: %w", err)
	}
	cosigner, err := tlog.ParseKey(string(n.keys.CosignerKey()))
	if err != nil {
		return fmt.Errorf("read node key: %w", err)
	}
	n.checkpoints, err = checkpoint.Open(checkpoint.Config{Log: origin.Name(), LogVKey: origin.VKey(), Dir: n.config.checkpointDir()}, checkpoint.Settings{
		Tree: tree{n.machine}, Peers: peers{n}, LogKey: origin, NodeKey: cosigner,
		Trust: func() (tlog.Trust, error) {
			v, err := n.machine.View()
			if err != nil {
				return tlog.Trust{}, err
			}
			defer v.Close()
			return exchange.TrustOf(v, origin.VKey())
		},
		Others:  n.others,
		Leading: func() bool { return n.replica.Leader() == n.config.NodeID },
		Now:     time.Now,
		Logger:  n.log,
	})
	if err != nil {
		return fmt.Errorf("open checkpoints: %w", err)
	}
	return nil
}

// others are the other voters that the log knows.
func (n *Node) others() []string {
	v, err := n.machine.View()
	if err != nil {
		return nil
	}
	defer v.Close()
	var out []string
	for _, m := range v.Members() {
		if m.ID != n.config.NodeID {
			out = append(out, m.ID)
		}
	}
	return out
}

// tree shows checkpoint the node's own state.
type tree struct{ m *state.Machine }

// Mark is the newest mark that this state agreed with.
func (t tree) Mark() (checkpoint.Mark, bool) {
	v, err := t.m.View()
	if err != nil {
		return checkpoint.Mark{}, false
	}
	defer v.Close()
	m, ok, err := v.Mark()
	return checkpoint.Mark{Size: m.Size, Root: m.Root, Time: m.Time}, ok && err == nil
}

// RootAt computes the root of the first size leaves.
func (t tree) RootAt(size uint64) (tlog.Hash, error) {
	v, err := t.m.View()
	if err != nil {
		return tlog.Hash{}, err
	}
	defer v.Close()
	return tlog.TreeHash(int64(size), v.HashReader())
}

// peers gives checkpoint the node link.
type peers struct{ n *Node }

// Call asks another node.
func (p peers) Call(ctx context.Context, node, kind string, payload []byte) ([]byte, error) {
	return p.n.replica.Call(ctx, node, kind, payload)
}

// Handle answers other nodes.
func (p peers) Handle(kind string, answer func(ctx context.Context, from string, payload []byte) ([]byte, error)) {
	p.n.replica.Handle(kind, answer)
}

// latest gives exchange the newest note only.
type latest struct{ room *checkpoint.Room }

// Latest is the newest cosigned note.
func (l latest) Latest() []byte {
	note, _ := l.room.Latest()
	return note
}

// issuer makes certificates under the cluster's authorities.
type issuer struct{ keys *authority.Keys }

// IssueCertificate makes a system's client certificate.
func (i *issuer) IssueCertificate(system string, notAfter time.Time) (certificatePEM, keyPEM []byte, fingerprint string, err error) {
	out, err := i.keys.IssueSystem(system, authority.P256, time.Now(), notAfter, rand.Reader)
	return out.CertPEM, out.KeyPEM, out.Fingerprint, err
}

// Fingerprint is how state knows a certificate.
func (i *issuer) Fingerprint(c *x509.Certificate) string { return authority.Fingerprint(c.Raw) }

// server issues this node's own API certificate.
func (i *issuer) server(c Config) (tls.Certificate, error) {
	hosts := []string{"localhost", "127.0.0.1"}
	for _, address := range []string{c.Listen.API, c.Advertise.API} {
		if host, _, err := net.SplitHostPort(address); err == nil && host != "" {
			hosts = append(hosts, host)
		}
	}
	out, err := i.keys.IssueServer(hosts, time.Now(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	return tls.X509KeyPair(out.CertPEM, out.KeyPEM)
}

// tend looks at the disks, and does what only the leader does now and then: the
// first command of a new cluster, and the note that a new member votes.
func (n *Node) tend(ctx context.Context) error {
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	for i := 0; ; i++ {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
		if i%4 == 0 {
			n.disks.look(n.replica.Status(), n.log)
		}
		if n.replica.Leader() != n.config.NodeID {
			continue
		}
		if err := n.bootstrap(ctx); err != nil {
			return err
		}
		if err := n.noteMembers(ctx); err != nil && ctx.Err() == nil {
			n.log.Debug("note members", slog.Any("error", err))
		}
	}
}

// bootstrap gives a new cluster its first objects, once.
func (n *Node) bootstrap(ctx context.Context) error {
	raw, err := os.ReadFile(n.config.bootstrapFile())
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read bootstrap: %w", err)
	}
	v, err := n.machine.View()
	if err != nil {
		return err
	}
	done := v.Cluster() != ""
	v.Close()
	if done {
		return os.Remove(n.config.bootstrapFile())
	}
	var b state.Bootstrap
	if err := json.Unmarshal(raw, &b); err != nil {
		return fmt.Errorf("%w: bootstrap file: %w", ErrConfig, err)
	}
	if err := n.service.Bootstrap(ctx, b); err != nil {
		var p *api.Problem
		if errors.As(err, &p) && api.Lookup(p.Code).Class == api.ClassUnavailable {
			return nil // the next tick tries again
		}
		// An earlier try whose outcome was unknown may have been applied after all.
		if v, verr := n.machine.View(); verr == nil {
			done = v.Cluster() != ""
			v.Close()
		}
		if done {
			return nil
		}
		return fmt.Errorf("bootstrap cluster: %w", err)
	}
	return nil
}

// noteMembers writes to the log that a member votes now, which makes its key
// count in the trust file, and that one is a member no more, whose key would
// otherwise be waited for: a leader that is removed cannot say it itself.
func (n *Node) noteMembers(ctx context.Context) error {
	v, err := n.machine.View()
	if err != nil {
		return err
	}
	known := v.Members()
	v.Close()
	members, votes := map[string]bool{}, map[string]bool{}
	for _, member := range n.replica.Status().Nodes {
		members[member.ID], votes[member.ID] = true, member.Voter
	}
	for _, m := range known {
		action := ""
		switch {
		case len(members) > 0 && !members[m.ID]:
			action = state.MemberRemoved
		case !m.Voter && votes[m.ID]:
			action, m.Voter = state.MemberAdded, true
		default:
			continue
		}
		if err := n.service.Note(ctx, action, m); err != nil {
			return err
		}
	}
	return nil
}
