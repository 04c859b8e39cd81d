package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/hutong-bus/hutong/node/api"
	"github.com/hutong-bus/hutong/node/tlog"
)

// proof is what the auditor takes away before the nodes stop.
type proof struct {
	checkpoint []byte
	files      []string // evidence files
}

// sameReplicas compares the nodes: once they have applied the same entry, their
// running hashes and roots are the same.
func (d *demo) sameReplicas(ctx context.Context) (faults []string, err error) {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	var c api.Cluster
	err = until(ctx, 150*time.Millisecond, func() (bool, error) {
		if c, err = d.cluster(ctx); err != nil {
			return false, passing(err)
		}
		for _, n := range c.Nodes {
			if n.Applied != c.Nodes[0].Applied {
				return false, nil
			}
		}
		return len(c.Nodes) == d.o.nodes, nil
	})
	if err != nil {
		return []string{fmt.Sprintf("the nodes do not come to rest at one entry: %+v", c.Nodes)}, nil
	}
	for _, n := range c.Nodes {
		if n.RunningHash != c.Nodes[0].RunningHash || n.Root != c.Nodes[0].Root || n.Size != c.Nodes[0].Size {
			faults = append(faults, fmt.Sprintf("node %s differs from %s at the same entry", n.ID, c.Nodes[0].ID))
		}
	}
	return faults, nil
}

// takeEvidence fetches the newest checkpoint and evidence files of a case that
// was paused, of a motion's reply and of a disclosure.
func (d *demo) takeEvidence(ctx context.Context) (proof, error) {
	var p proof
	if err := os.MkdirAll(d.path("evidence"), 0o755); err != nil {
		return p, err
	}
	// The auditor's file is sealed; a publisher's own opens what it published.
	paused, answered, edited := d.story.later["approvals.case"][0], d.story.replies(true)[0], d.story.later["projects.disclosure"][0]
	for _, e := range []struct {
		resource, context string
		body              body
	}{
		{"approvals.case", auditorContext, paused.body},
		{"motions.handling", answered.dept + "." + exchangeSystem, answered.body},
		{"projects.disclosure", edited.dept + "." + exchangeSystem, edited.body},
	} {
		file := d.path("evidence", e.resource+".hev")
		if _, _, _, err := d.ctl(ctx, nil, "--context", e.context, "audit", "evidence", e.resource, keyOf(e.resource, e.body), "-o", file); err != nil {
			return p, err
		}
		p.files = append(p.files, file)
	}
	var err error
	if p.checkpoint, err = d.clients[adminContext].Public(ctx, "/audit/checkpoint"); err != nil {
		return p, fmt.Errorf("fetch checkpoint: %w", err)
	}
	return p, os.WriteFile(d.path("evidence", "checkpoint"), p.checkpoint, 0o644)
}

// verify checks the proof with the trust file alone; no node runs any more.
func (d *demo) verify(ctx context.Context, p proof) (size uint64, err error) {
	raw, err := os.ReadFile(d.path("trust"))
	if err != nil {
		return 0, fmt.Errorf("read trust file: %w", err)
	}
	trust, err := tlog.ParseTrust(raw)
	if err != nil {
		return 0, fmt.Errorf("read trust file: %w", err)
	}
	checkpoint, _, err := trust.Check(p.checkpoint)
	if err != nil {
		return 0, fmt.Errorf("the checkpoint does not verify: %w", err)
	}
	for _, file := range p.files {
		if out, _, _, err := d.ctl(ctx, nil, "audit", "verify", file, "--trust", d.path("trust")); err != nil {
			return 0, fmt.Errorf("evidence does not verify: %w\n%s", err, out)
		}
	}
	return checkpoint.Size, nil
}
