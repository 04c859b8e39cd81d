package node

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hutong-bus/hutong/node/api"
	"github.com/hutong-bus/hutong/node/exchange"
	"github.com/hutong-bus/hutong/node/policy"
	"github.com/hutong-bus/hutong/schemas"
)

// TestNode founds a node, uses it, stops it and starts it again.
func TestNode(t *testing.T) {
	c := initialised(t, InitOptions{})
	stop := running(t, c)
	admin := client(t, c)
	ctx := t.Context()
	until(t, "the node", admin.Ready)
	// Ready means founded: the administrator's key is known.
	if _, err := api.Put(ctx, admin, api.Department{Code: "swj", Name: "水务局", Kind: "government", Level: "county", Region: "500154"}, 0, "departments", "swj"); err != nil {
		t.Fatal(err)
	}
	until(t, "the bootstrap file to go", func(context.Context) error {
		if _, err := os.Stat(c.bootstrapFile()); err == nil {
			return errors.New("it is still there, with a key's hash")
		}
		return nil
	})
	status, err := api.Object[api.Cluster](ctx, admin, "cluster")
	if err != nil || status.Leader != "n1" || len(status.Nodes) != 1 || !status.Nodes[0].Voter || status.Nodes[0].Version != "test" || status.Nodes[0].FreeBytes == 0 {
		t.Errorf("cluster %+v, %v", status, err)
	}
	until(t, "a checkpoint", func(ctx context.Context) error { _, err := admin.Public(ctx, "/audit/checkpoint"); return err })
	stop()
	if conn, err := net.Dial("tcp", c.Listen.API); err == nil {
		conn.Close()
		t.Error("a stopped node listens")
	}
	running(t, c)
	until(t, "the node again", admin.Ready)
	if got, err := api.Object[api.Department](ctx, admin, "departments", "swj"); err != nil || got.Name != "水务局" {
		t.Errorf("after the restart: %+v, %v", got, err)
	}
}

// TestStopAnswersLongPolls stops a node that somebody waits at: the wait ends
// with a page, not with a broken connection.
func TestStopAnswersLongPolls(t *testing.T) {
	c := initialised(t, InitOptions{})
	stop := running(t, c)
	admin := client(t, c)
	ctx := t.Context()
	until(t, "the node", admin.Ready)
	_, err := api.Put(ctx, admin, api.Resource{Resource: "duty.report", Title: schemas.Title{Zh: "值班", En: "Duty"}, Owner: "egov", Sharing: schemas.SharingConditional, Disclosure: schemas.Disclosure{Route: schemas.RouteNone}}, 0, "resources", "duty.report")
	if err == nil {
		_, err = api.Put(ctx, admin, api.System{Code: "duty", Department: "egov", Name: "值班", Roles: policy.List{policy.RolePublisher}, Resources: policy.List{"*.*"}}, 0, "departments", "egov", "systems", "duty")
	}
	var key api.Credential
	if err == nil {
		key, err = api.Post[api.Credential](ctx, admin, api.CredentialRequest{Kind: policy.CredentialAPIKey}, "departments", "egov", "systems", "duty", "credentials")
	}
	if err != nil {
		t.Fatal(err)
	}
	publisher, err := api.NewClient(api.ClientConfig{Server: []string{"http://" + c.Listen.API}, APIKey: key.Secret, Timeout: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer publisher.Close()
	ended := make(chan error, 1)
	go func() {
		page, err := publisher.Records(ctx, "duty.report", api.ReadOptions{Wait: time.Minute})
		if err == nil && !page.End {
			err = fmt.Errorf("page %+v", page)
		}
		ended <- err
	}()
	until(t, "the poll to arrive", func(ctx context.Context) error {
		b, err := metricsOf(ctx, c)
		if err == nil && !strings.Contains(b, "hutong_transport_requests_in_flight 1\n") {
			err = errors.New("nothing is in flight")
		}
		return err
	})
	stop()
	if err := <-ended; err != nil {
		t.Errorf("the poll ended with %v", err)
	}
}

func metricsOf(ctx context.Context, c Config) (string, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+c.Listen.API+"/metrics", nil)
	if err != nil {
		return "", err
	}
	answer, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(r)
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	b, err := io.ReadAll(answer.Body)
	return string(b), err
}

// TestLastVoter asks a node alone for what it cannot do.
func TestLastVoter(t *testing.T) {
	c := initialised(t, InitOptions{})
	running(t, c)
	admin := client(t, c)
	ctx := t.Context()
	until(t, "the node", admin.Ready)
	for name, tt := range map[string]struct {
		do   func() error
		want api.Code
	}{
		"remove the last voter":    {func() error { return admin.Delete(ctx, "cluster", "members", "n1") }, api.CodeConflict},
		"remove nobody":            {func() error { return admin.Delete(ctx, "cluster", "members", "n9") }, api.CodeNotFound},
		"hand on to nobody":        {post(ctx, admin, exchange.Transfer{}, "transfer-leadership"), api.CodeConflict},
		"hand on to a stranger":    {post(ctx, admin, exchange.Transfer{Node: "n9"}, "transfer-leadership"), api.CodeNotFound},
		"add itself":               {post(ctx, admin, api.MemberRequest{ID: "n1", Address: api.Addresses{Node: "127.0.0.1:9"}}, "members"), api.CodeConflict},
		"add at its own address":   {post(ctx, admin, api.MemberRequest{ID: "n2", Address: api.Addresses{Node: c.Listen.Node}}, "members"), api.CodeConflict},
		"add without a port":       {post(ctx, admin, api.MemberRequest{ID: "n2", Address: api.Addresses{Node: "127.0.0.1"}}, "members"), api.CodeInvalid},
		"add a name with a space":  {post(ctx, admin, api.MemberRequest{ID: "n 2", Address: api.Addresses{Node: "127.0.0.1:9"}}, "members"), api.CodeInvalid},
		"add a name with a letter": {post(ctx, admin, api.MemberRequest{ID: "N_2", Address: api.Addresses{Node: "127.0.0.1:9"}}, "members"), api.CodeInvalid},
	} {
		if err := tt.do(); problemCode(err) != tt.want {
			t.Errorf("%s: got %v, want %s", name, err, tt.want)
		}
	}
}

func post(ctx context.Context, c *api.Client, in any, verb string) func() error {
	return func() error { _, err := c.PostRaw(ctx, in, "cluster", verb); return err }
}

// TestJoin adds a node with its bundle, as the runbook has it, and takes it out
// again.
func TestJoin(t *testing.T) {
	c := initialised(t, InitOptions{})
	running(t, c)
	admin := client(t, c)
	ctx := t.Context()
	until(t, "the node", admin.Ready)
	listen := freeListen(t)
	raw, err := admin.PostRaw(ctx, api.MemberRequest{ID: "n2", Address: api.Addresses{API: listen.API, Node: listen.Node, Public: listen.Public}}, "cluster", "members")
	if err != nil {
		t.Fatal(err)
	}
	bundle := filepath.Join(t.TempDir(), "n2.bundle")
	if err := os.WriteFile(bundle, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	joined := initialised(t, InitOptions{Join: bundle, Listen: Listen{API: listen.API, Public: listen.Public}})
	if joined.NodeID != "n2" || joined.Listen.Node != listen.Node {
		t.Errorf("joined %+v", joined)
	}
	running(t, joined)
	until(t, "both to vote", func(ctx context.Context) error {
		trust, err := admin.Raw(ctx, nil, "audit", "trust")
		if err == nil && !bytes.Contains(trust, []byte("n2")) {
			err = fmt.Errorf("the trust file does not know n2:\n%s", trust)
		}
		return err
	})
	second, err := api.NewClient(api.ClientConfig{Server: []string{"http://" + listen.API}})
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	until(t, "the second node", second.Ready)
	// Two nodes are two voters: the second is taken out before it stops.
	until(t, "n2 to go", func(ctx context.Context) error { return admin.Delete(ctx, "cluster", "members", "n2") })
	until(t, "the cluster to forget it", func(ctx context.Context) error {
		status, err := api.Object[api.Cluster](ctx, admin, "cluster")
		if err == nil && len(status.Nodes) != 1 {
			err = fmt.Errorf("%+v", status.Nodes)
		}
		return err
	})
}

func TestNewRefuses(t *testing.T) {
	c := initialised(t, InitOptions{})
	other := c
	other.NodeID = "n9"
	if _, err := New(other, "test", slog.New(slog.DiscardHandler)); !errors.Is(err, ErrConfig) {
		t.Errorf("keys of another node: %v", err)
	}
	empty := c
	empty.DataDir = t.TempDir()
	if _, err := New(empty, "test", slog.New(slog.DiscardHandler)); err == nil {
		t.Error("a node starts without keys")
	}
	broken := c
	broken.TLS = TLS{CertFile: "none.pem", KeyFile: "none.key"}
	if _, err := New(broken, "test", slog.New(slog.DiscardHandler)); !errors.Is(err, ErrConfig) {
		t.Errorf("no certificate: %v", err)
	}
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	busy := c
	busy.Listen.Public = taken.Addr().String()
	if _, err := New(busy, "test", slog.New(slog.DiscardHandler)); err == nil {
		t.Error("a node starts on an address that is taken")
	}
	// What failed gave everything back: the same folder starts now.
	n, err := New(c, "test", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // Close before Run, and twice
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	}
	if err := n.Run(t.Context()); err == nil {
		t.Error("a closed node runs")
	}
}

// TestAPIOverTLS serves the API with a certificate of the node's own, and knows a
// system by the certificate that was issued to it.
func TestAPIOverTLS(t *testing.T) {
	c := initialised(t, InitOptions{})
	c.TLS.CertFile = selfIssued
	running(t, c)
	ctx := t.Context()
	dir := t.TempDir()
	config := api.ClientConfig{Server: []string{"https://" + c.Listen.API}, CAFile: filepath.Join(filepath.Dir(c.DataDir), "ca.pem"), APIKey: adminKey(t, c)}
	admin, err := api.NewClient(config)
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close()
	until(t, "the node", admin.Ready)
	issued, err := api.Post[api.Credential](ctx, admin, api.CredentialRequest{Kind: "certificate"}, "departments", "egov", "systems", "admin", "credentials")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "system.pem")
	if err := os.WriteFile(file, []byte(issued.Certificate+issued.Key), 0o600); err != nil {
		t.Fatal(err)
	}
	config.APIKey, config.CertFile, config.KeyFile = "", file, file
	system, err := api.NewClient(config)
	if err != nil {
		t.Fatal(err)
	}
	defer system.Close()
	if _, err := api.Object[api.Cluster](ctx, system, "cluster"); err != nil {
		t.Errorf("by certificate: %v", err)
	}
	if err := admin.Delete(ctx, "departments", "egov", "systems", "admin", "credentials", issued.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := api.Object[api.Cluster](ctx, system, "cluster"); problemCode(err) != api.CodeUnauthenticated {
		t.Errorf("by a revoked certificate: %v", err)
	}
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	answer, err := (&http.Client{Transport: transport}).Get("http://" + c.Listen.API + "/healthz")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if b, _ := io.ReadAll(answer.Body); answer.StatusCode != http.StatusBadRequest {
		t.Errorf("plain HTTP is answered %d %s", answer.StatusCode, b)
	}
}
