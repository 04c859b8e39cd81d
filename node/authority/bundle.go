package authority

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/hutong-bus/hutong/schemas/record"
)

// bundleBytes bounds a bundle: about ten times what one is.
const bundleBytes = 64 << 10

var bundleMembers = []string{
	"v", "cluster", "node", "address", "peers", "node_ca", "node_ca_key", "system_ca", "system_ca_key",
	"certificate", "key", "origin_key", "cosigner_key",
}

// Bundle is what a joining node needs, in one strict JSON file. It carries
// private keys, the authorities' included (every node answers requests for
// certificates): whoever holds it is a node of the cluster. Certificates and
// their keys are PEM text; the origin and cosigner keys are base64 of opaque bytes.
type Bundle struct {
	V           int      `json:"v"`
	Cluster     string   `json:"cluster"`
	Node        string   `json:"node"`
	Address     string   `json:"address"` // node address ("host:port") under which the cluster expects it
	Peers       []string `json:"peers"`   // node addresses of the others, for people: raft tells the node
	NodeCA      string   `json:"node_ca"`
	NodeCAKey   string   `json:"node_ca_key"`
	SystemCA    string   `json:"system_ca"`
	SystemCAKey string   `json:"system_ca_key"`
	Certificate string   `json:"certificate"`
	Key         string   `json:"key"`
	OriginKey   []byte   `json:"origin_key"`
	CosignerKey []byte   `json:"cosigner_key,omitempty"`
}

// Bundle makes the bundle of a new node. s.Cluster and s.OriginKey are taken
// from k; s.CosignerKey is the new node's own. It returns ErrName.
func (k *Keys) Bundle(s Settings, address string, peers []string) (Bundle, error) {
	if err := CheckNodeID(s.Node); err != nil {
		return Bundle{}, err
	}
	if s.Node == k.node {
		return Bundle{}, fmt.Errorf("%w: %q is this node's own id", ErrName, s.Node)
	}
	own, err := k.nodeCA.issueNode(s.Random, s.Now, s.Node)
	if err != nil {
		return Bundle{}, err
	}
	nodeCA, err := k.nodeCA.pair()
	if err != nil {
		return Bundle{}, err
	}
	systemCA, err := k.systemCA.pair()
	if err != nil {
		return Bundle{}, err
	}
	return Bundle{
		V: 1, Cluster: k.cluster, Node: s.Node, Address: address, Peers: slices.Clone(peers),
		NodeCA: string(nodeCA.certPEM), NodeCAKey: string(nodeCA.keyPEM),
		SystemCA: string(systemCA.certPEM), SystemCAKey: string(systemCA.keyPEM),
		Certificate: string(own.certPEM), Key: string(own.keyPEM),
		OriginKey: k.OriginKey(), CosignerKey: s.CosignerKey,
	}, nil
}

// Encode writes the bundle as indented JSON with a final newline.
func (b Bundle) Encode() ([]byte, error) {
	raw, err := json.MarshalIndent(b, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encode bundle: %w", err)
	}
	return append(raw, '\n'), nil
}

// ParseBundle reads a bundle strictly and checks that its parts belong
// together. It returns ErrBundle.
func ParseBundle(raw []byte) (Bundle, error) {
	if len(raw) > bundleBytes {
		return Bundle{}, fmt.Errorf("%w: larger than %d bytes", ErrBundle, bundleBytes)
	}
	var b Bundle
	if err := strictJSON(raw, &b, bundleMembers...); err != nil {
		return Bundle{}, fmt.Errorf("%w: %w", ErrBundle, err)
	}
	if _, err := b.keys(); err != nil {
		return Bundle{}, err
	}
	return b, nil
}

// keys turns a bundle into checked keys.
func (b Bundle) keys() (*Keys, error) {
	if b.V != 1 {
		return nil, fmt.Errorf("%w: version %d", ErrBundle, b.V)
	}
	nodeCA, err := parseCA(pair{[]byte(b.NodeCA), []byte(b.NodeCAKey)})
	if err != nil {
		return nil, fmt.Errorf("%w: node authority: %w", ErrBundle, err)
	}
	systemCA, err := parseCA(pair{[]byte(b.SystemCA), []byte(b.SystemCAKey)})
	if err != nil {
		return nil, fmt.Errorf("%w: system authority: %w", ErrBundle, err)
	}
	k := &Keys{
		cluster: b.Cluster, node: b.Node, nodeCA: nodeCA, systemCA: systemCA,
		own: pair{[]byte(b.Certificate), []byte(b.Key)}, origin: b.OriginKey, cosigner: b.CosignerKey,
	}
	if len(b.OriginKey) == 0 {
		return nil, fmt.Errorf("%w: no origin key", ErrBundle)
	}
	if err := k.check(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrBundle, err)
	}
	return k, nil
}

// strictJSON decodes exactly one object whose members are all among names, spelt exactly so.
func strictJSON(raw []byte, into any, names ...string) error {
	lim := record.DefaultLimits()
	lim.RecordBytes = bundleBytes
	compact, _, err := record.Decode(bytes.TrimSpace(raw), lim)
	if err != nil {
		return err
	}
	err = record.Members(compact, func(name string, _ []byte) error {
		if !slices.Contains(names, name) {
			return fmt.Errorf("unknown member %q", name)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return json.Unmarshal(compact, into)
}
