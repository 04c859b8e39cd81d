package node

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/hutong-bus/hutong/node/api"
	"github.com/hutong-bus/hutong/node/authority"
	"github.com/hutong-bus/hutong/node/exchange"
	"github.com/hutong-bus/hutong/node/policy"
	"github.com/hutong-bus/hutong/node/state"
	"github.com/hutong-bus/hutong/node/tlog"
)

// InitOptions say what hutongd init makes.
type InitOptions struct {
	Dir    string // becomes the node's folder: hutongd.yaml, data/, ca.pem, contexts.yaml, trust
	Join   string // join bundle; empty: a new cluster
	NodeID string // of a new cluster's first node
	Listen Listen
	Origin string // begins the names of the audit logs; a DNS name of the operator
	// The operator: the department that runs the bus and its first administrator.
	Department, DepartmentName, Region string
	Now                                time.Time
	Random                             io.Reader
}

// ErrExists is returned when the folder holds a node already.
var ErrExists = errors.New("a node lives here already")

func (o *InitOptions) setDefaults() {
	or := func(s *string, fallback string) {
		if *s == "" {
			*s = fallback
		}
	}
	or(&o.NodeID, "n1")
	or(&o.Listen.API, "127.0.0.1:7080")
	or(&o.Listen.Node, "127.0.0.1:7081")
	or(&o.Listen.Public, "127.0.0.1:7082")
	or(&o.Origin, "hutong.invalid")
	or(&o.Department, "egov")
	or(&o.DepartmentName, "电子政务办")
	or(&o.Region, "500154")
	if o.Now.IsZero() {
		o.Now = time.Now()
	}
	if o.Random == nil {
		o.Random = rand.Reader
	}
}

// Init makes a node's folder: of a new cluster, or of a joining node.
func Init(o InitOptions) error {
	o.setDefaults()
	if _, err := os.Stat(filepath.Join(o.Dir, "hutongd.yaml")); err == nil {
		return fmt.Errorf("%w: %s", ErrExists, o.Dir)
	}
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return fmt.Errorf("make node folder: %w", err)
	}
	if o.Join != "" {
		return join(o)
	}
	return found(o)
}

// found makes a new cluster's first node.
func found(o InitOptions) error {
	cluster, err := authority.NewClusterID(o.Random)
	if err != nil {
		return err
	}
	logName := tlog.LogName(o.Origin, o.Now.UTC().Year(), 1)
	origin, err := tlog.NewKey(o.Random, logName)
	if err != nil {
		return fmt.Errorf("make log key: %w", err)
	}
	cosigner, err := tlog.NewKey(o.Random, o.NodeID)
	if err != nil {
		return fmt.Errorf("make node key: %w", err)
	}
	c := Config{NodeID: o.NodeID, DataDir: "data", Listen: o.Listen}
	keys, err := authority.Init(filepath.Join(o.Dir, "data", "keys"), authority.Settings{Cluster: cluster, Node: o.NodeID,
		OriginKey: []byte(origin.Encode()), CosignerKey: []byte(cosigner.Encode()), Now: o.Now, Random: o.Random})
	if err != nil {
		return fmt.Errorf("make keys: %w", err)
	}
	if err := writeAuthority(o.Dir, keys); err != nil {
		return err
	}
	id, key, hash, err := exchange.NewKey(o.Random)
	if err != nil {
		return err
	}
	b := bootstrap(o, cluster, logName, cosigner.CosignerVKey(), policy.Credential{ID: id, System: o.Department + ".admin", Kind: policy.CredentialAPIKey, Hash: hash, Revision: 0})
	raw, err := json.Marshal(b)
	if err != nil {
		return fmt.Errorf("encode bootstrap: %w", err)
	}
	if err := authority.WriteKey(filepath.Join(o.Dir, "data", "bootstrap.json"), raw); err != nil {
		return fmt.Errorf("write bootstrap: %w", err)
	}
	trust, err := tlog.NodeTrust(origin.VKey(), []tlog.Witness{{Name: o.NodeID, VKey: cosigner.CosignerVKey()}})
	if err != nil {
		return fmt.Errorf("make trust file: %w", err)
	}
	if err := os.WriteFile(filepath.Join(o.Dir, "trust"), trust.Encode(), 0o644); err != nil {
		return fmt.Errorf("write trust file: %w", err)
	}
	if err := writeContexts(o, key); err != nil {
		return err
	}
	return writeConfig(o.Dir, c)
}

// bootstrap is the first command of a new cluster.
func bootstrap(o InitOptions, cluster, logName, vkey string, admin policy.Credential) state.Bootstrap {
	return state.Bootstrap{
		Cluster: cluster, Log: logName, Epoch: 1,
		Members:     []state.Member{{ID: o.NodeID, Addresses: addresses(o.Listen), VKey: vkey, Voter: true}},
		Departments: []policy.Department{{Code: o.Department, Name: o.DepartmentName, Kind: "government", Level: "county", Region: o.Region}},
		Systems:     []policy.System{{Code: "admin", Department: o.Department, Name: "管理员 / administrator", Roles: policy.List{policy.RoleAdministrator}}},
		Credentials: []policy.Credential{admin},
	}
}

func addresses(l Listen) map[string]string {
	return map[string]string{"api": l.API, "node": l.Node, "public": l.Public}
}

// writeContexts writes contexts.yaml with the administrator's key, which is
// nowhere else.
func writeContexts(o InitOptions, key string) error {
	b, err := yaml.Marshal(map[string]any{"current": "admin", "contexts": map[string]api.ClientConfig{
		"admin": {Server: []string{"http://" + o.Listen.API}, Public: "http://" + o.Listen.Public, APIKey: key},
	}})
	if err != nil {
		return fmt.Errorf("encode contexts: %w", err)
	}
	if err := authority.WriteKey(filepath.Join(o.Dir, "contexts.yaml"), b); err != nil {
		return fmt.Errorf("write contexts: %w", err)
	}
	return nil
}

// writeAuthority writes ca.pem: what clients name as ca_file where the API speaks
// TLS with a certificate of the cluster's own (tls.cert_file: self).
func writeAuthority(dir string, keys *authority.Keys) error {
	if err := os.WriteFile(filepath.Join(dir, "ca.pem"), keys.NodeCAPEM(), 0o644); err != nil {
		return fmt.Errorf("write authority file: %w", err)
	}
	return nil
}

// writeConfig comes last: a folder with hutongd.yaml is complete.
func writeConfig(dir string, c Config) error {
	b, err := yaml.Marshal(c)
	if err != nil {
		return fmt.Errorf("encode configuration: %w", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "hutongd.yaml"), b, 0o644); err != nil {
		return fmt.Errorf("write configuration: %w", err)
	}
	return nil
}

// join makes a joining node's folder from its bundle.
func join(o InitOptions) error {
	raw, err := os.ReadFile(o.Join)
	if err != nil {
		return fmt.Errorf("read join bundle: %w", err)
	}
	bundle, err := authority.ParseBundle(raw)
	if err != nil {
		return fmt.Errorf("join bundle %s: %w", o.Join, err)
	}
	o.Listen.Node = bundle.Address
	keys, err := authority.Join(filepath.Join(o.Dir, "data", "keys"), bundle)
	if err != nil {
		return fmt.Errorf("write keys: %w", err)
	}
	if err := writeAuthority(o.Dir, keys); err != nil {
		return err
	}
	return writeConfig(o.Dir, Config{NodeID: bundle.Node, DataDir: "data", Listen: o.Listen})
}
