package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/hutong-bus/hutong/node/api"
)

// contexts is contexts.yaml.
type contexts struct {
	Current  string                      `json:"current"`
	Contexts map[string]api.ClientConfig `json:"contexts"`
}

// Names of the contexts that are not those of a system.
const (
	adminContext   = "admin"
	auditorContext = "auditor"
)

func (d *demo) address(node, port int) string {
	return net.JoinHostPort(d.o.host, strconv.Itoa(d.o.port+10*node+port))
}

// servers are the API addresses of all nodes.
func (d *demo) servers() []string {
	var out []string
	for i := range d.o.nodes {
		out = append(out, "http://"+d.address(i, 0))
	}
	return out
}

// checkPorts refuses to start where something listens already.
func (d *demo) checkPorts() error {
	for i := range d.o.nodes {
		for port := range 3 {
			l, err := net.Listen("tcp", d.address(i, port))
			if err != nil {
				return fmt.Errorf("端口已被占用,请用 -http 另选 / the address is taken, choose another with -http: %w", err)
			}
			if err := l.Close(); err != nil {
				return err
			}
		}
	}
	return nil
}

// startCluster makes and starts the nodes; each has a vote when it returns.
func (d *demo) startCluster(ctx context.Context) error {
	for i := range d.o.nodes {
		if err := d.startNode(ctx, i); err != nil {
			return err
		}
	}
	return nil
}

func (d *demo) startNode(ctx context.Context, i int) error {
	name := fmt.Sprintf("n%d", i+1)
	dir := d.path("nodes", name)
	args := []string{"init", "-dir", dir, "-api", d.address(i, 0), "-public", d.address(i, 2)}
	if i == 0 {
		eg := departments[0]
		args = append(args, "-node", name, "-link", d.address(i, 1), "-department", eg.code, "-department-name", eg.name, "-region", eg.region)
	} else {
		bundle := d.path(name + ".bundle")
		if _, _, _, err := d.ctl(ctx, nil, "--context", adminContext, "cluster", "member-add", name, d.address(i, 1), "--api", d.address(i, 0), "--public", d.address(i, 2), "-o", bundle); err != nil {
			return err
		}
		args = append(args, "-join", bundle)
		defer os.Remove(bundle) // it holds the node's keys, which are in its folder now
	}
	if out, err := exec.CommandContext(ctx, d.program("hutongd"), args...).CombinedOutput(); err != nil {
		return fmt.Errorf("hutongd init %s: %w: %s", name, err, out)
	}
	err := d.sup.start(process{name: name, tier: tierNode, args: []string{d.program("hutongd"), "-config", d.path("nodes", name, "hutongd.yaml")},
		addresses: map[string]string{"api": d.address(i, 0), "node": d.address(i, 1), "public": d.address(i, 2)}})
	if err != nil {
		return err
	}
	if i == 0 {
		if err := d.openAdmin(); err != nil {
			return err
		}
	}
	return d.awaitVoter(ctx, name)
}

// openAdmin takes over the administrator's key that init wrote.
func (d *demo) openAdmin() error {
	raw, err := os.ReadFile(d.path("nodes", "n1", "contexts.yaml"))
	if err != nil {
		return fmt.Errorf("read contexts of the first node: %w", err)
	}
	var c contexts
	if err := yaml.UnmarshalStrict(raw, &c); err != nil {
		return fmt.Errorf("read contexts of the first node: %w", err)
	}
	return d.addContext(adminContext, c.Contexts[adminContext].APIKey)
}

// addContext writes contexts.yaml with one more context and opens its client.
func (d *demo) addContext(name, key string) error {
	config := api.ClientConfig{Server: d.servers(), Public: "http://" + d.address(0, 2), APIKey: key}
	client, err := api.NewClient(config)
	if err != nil {
		return fmt.Errorf("open client of %s: %w", name, err)
	}
	d.clients[name] = client
	d.contexts.Current = adminContext
	d.contexts.Contexts[name] = config
	raw, err := yaml.Marshal(d.contexts)
	if err != nil {
		return fmt.Errorf("write contexts: %w", err)
	}
	return replaceFile(d.path("contexts.yaml"), raw, 0o600)
}

// awaitVoter waits until a node votes and its API is ready.
func (d *demo) awaitVoter(ctx context.Context, name string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, time.Minute, fmt.Errorf("node %s does not vote after a minute; see %s", name, d.path("log", name+".log")))
	defer cancel()
	return until(ctx, 100*time.Millisecond, func() (bool, error) {
		c, err := d.cluster(ctx)
		if err != nil {
			return false, passing(err)
		}
		for _, n := range c.Nodes {
			if n.ID == name && n.Voter && n.Fresh {
				return true, nil
			}
		}
		return false, nil
	})
}

// cluster asks how the nodes are.
func (d *demo) cluster(ctx context.Context) (api.Cluster, error) {
	return api.Object[api.Cluster](ctx, d.clients[adminContext], "cluster")
}

// passing is nil for what waiting may mend, else the error.
func passing(err error) error {
	var p *api.Problem
	if errors.As(err, &p) && api.Lookup(p.Code).Class != api.ClassUnavailable && p.Code != api.CodeUnauthenticated {
		return err
	}
	return nil
}
