package authority

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// Files of a key directory. Certificates are 0644, everything else 0600.
const (
	identityFile = "identity.json"
	nodeCAFile   = "node-ca"   // .crt and .key
	systemCAFile = "system-ca" // .crt and .key
	nodeFile     = "node"      // .crt and .key
	originFile   = "origin.key"
	cosignerFile = "cosigner.key"
)

// identity is the content of identity.json; its presence makes a directory complete.
type identity struct {
	V       int    `json:"v"`
	Cluster string `json:"cluster"`
	Node    string `json:"node"`
}

// Settings are what making an identity needs from outside.
type Settings struct {
	Cluster     string    // cluster id; see NewClusterID
	Node        string    // node id, see CheckNodeID
	OriginKey   []byte    // the log's signing key, opaque here, shared by the nodes of a cluster
	CosignerKey []byte    // this node's own cosigner key, opaque here; may be empty
	Now         time.Time // start of validity
	Random      io.Reader // source of keys and serial numbers, crypto/rand.Reader outside tests
}

// Keys is a node's complete set of keys, loaded.
type Keys struct {
	cluster, node    string
	nodeCA, systemCA *ca
	own              pair
	cert             tls.Certificate
	origin, cosigner []byte
}

// NewClusterID draws a cluster id: "c-" and 32 hexadecimal characters.
func NewClusterID(random io.Reader) (string, error) {
	var b [16]byte
	if _, err := io.ReadFull(random, b[:]); err != nil {
		return "", fmt.Errorf("draw cluster id: %w", err)
	}
	return "c-" + hex.EncodeToString(b[:]), nil
}

// Init makes the authorities of a new cluster and the first node's keys in dir,
// which is created with mode 0700. It returns ErrExists, ErrName.
func Init(dir string, s Settings) (*Keys, error) {
	if !clusterName.MatchString(s.Cluster) {
		return nil, fmt.Errorf("%w: cluster id %q", ErrName, s.Cluster)
	}
	if err := CheckNodeID(s.Node); err != nil {
		return nil, err
	}
	nodeCA, err := newCA(s.Random, s.Cluster, "node", s.Now)
	if err != nil {
		return nil, err
	}
	systemCA, err := newCA(s.Random, s.Cluster, "system", s.Now)
	if err != nil {
		return nil, err
	}
	own, err := nodeCA.issueNode(s.Random, s.Now, s.Node)
	if err != nil {
		return nil, err
	}
	k := &Keys{cluster: s.Cluster, node: s.Node, nodeCA: nodeCA, systemCA: systemCA, own: own, origin: s.OriginKey, cosigner: s.CosignerKey}
	return k, k.save(dir)
}

// Join writes the keys that a bundle carries into dir. It returns ErrExists, ErrBundle.
func Join(dir string, b Bundle) (*Keys, error) {
	k, err := b.keys()
	if err != nil {
		return nil, err
	}
	return k, k.save(dir)
}

// Open loads and checks a key directory. It returns ErrIncomplete, ErrLoose, ErrMismatch.
func Open(dir string) (*Keys, error) {
	raw, err := readKey(filepath.Join(dir, identityFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: %s", ErrIncomplete, dir)
	} else if err != nil {
		return nil, fmt.Errorf("open keys: %w", err)
	}
	var id identity
	if err := strictJSON(raw, &id, "v", "cluster", "node"); err != nil || id.V != 1 {
		return nil, fmt.Errorf("%w: %s is not readable by this version", ErrIncomplete, identityFile)
	}
	k := &Keys{cluster: id.Cluster, node: id.Node}
	var pairs [3]pair
	for i, name := range []string{nodeCAFile, systemCAFile, nodeFile} {
		if pairs[i], err = readPair(dir, name); err != nil {
			return nil, fmt.Errorf("open keys: %w", err)
		}
	}
	if k.origin, err = readKey(filepath.Join(dir, originFile)); err != nil {
		return nil, fmt.Errorf("open keys: %w", err)
	}
	if k.cosigner, err = readKey(filepath.Join(dir, cosignerFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("open keys: %w", err)
	}
	if k.nodeCA, err = parseCA(pairs[0]); err != nil {
		return nil, fmt.Errorf("open node authority: %w", err)
	}
	if k.systemCA, err = parseCA(pairs[1]); err != nil {
		return nil, fmt.Errorf("open system authority: %w", err)
	}
	k.own = pairs[2]
	if err := k.check(); err != nil {
		return nil, err
	}
	return k, nil
}

// check proves that the node's certificate, key, name and authority belong together.
func (k *Keys) check() error {
	cert, err := tls.X509KeyPair(k.own.certPEM, k.own.keyPEM)
	if err != nil {
		return fmt.Errorf("%w: node certificate: %w", ErrMismatch, err)
	}
	// Any moment of its validity serves: the clock's opinion is for the handshake.
	id, err := VerifyNode([]*x509.Certificate{cert.Leaf}, k.nodeCA.pool(), x509.ExtKeyUsageClientAuth, cert.Leaf.NotBefore)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrMismatch, err)
	}
	if id != k.node || !clusterName.MatchString(k.cluster) || !slices.Equal(cert.Leaf.Subject.Organization, []string{k.cluster}) {
		return fmt.Errorf("%w: certificate of %s does not name node %s of cluster %s", ErrMismatch, id, k.node, k.cluster)
	}
	k.cert = cert
	return nil
}

func (k *Keys) save(dir string) error {
	if err := k.check(); err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(dir, identityFile)); err == nil {
		return fmt.Errorf("%w: %s", ErrExists, dir)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make key directory: %w", err)
	}
	for _, c := range []struct {
		name string
		ca   *ca
	}{{nodeCAFile, k.nodeCA}, {systemCAFile, k.systemCA}} {
		p, err := c.ca.pair()
		if err != nil {
			return err
		}
		if err := writePair(dir, c.name, p); err != nil {
			return err
		}
	}
	if err := writePair(dir, nodeFile, k.own); err != nil {
		return err
	}
	if err := writeFile(filepath.Join(dir, originFile), k.origin, 0o600); err != nil {
		return err
	}
	if len(k.cosigner) > 0 {
		if err := writeFile(filepath.Join(dir, cosignerFile), k.cosigner, 0o600); err != nil {
			return err
		}
	}
	raw, err := json.Marshal(identity{V: 1, Cluster: k.cluster, Node: k.node})
	if err != nil {
		return fmt.Errorf("encode identity: %w", err)
	}
	return writeFile(filepath.Join(dir, identityFile), append(raw, '\n'), 0o600)
}

// Cluster is the cluster id.
func (k *Keys) Cluster() string { return k.cluster }

// Node is this node's id.
func (k *Keys) Node() string { return k.node }

// NodeCertificate is this node's certificate and key, for both ends of node traffic.
func (k *Keys) NodeCertificate() tls.Certificate { return k.cert }

// NodeRoots trusts the nodes of this cluster, and nobody else.
func (k *Keys) NodeRoots() *x509.CertPool { return k.nodeCA.pool() }

// NodeCAPEM is the node authority's certificate, which clients of the API trust.
func (k *Keys) NodeCAPEM() []byte { return encodeCert(k.nodeCA.cert.Raw) }

// SystemRoots trusts client certificates of departments' systems, and nobody else.
func (k *Keys) SystemRoots() *x509.CertPool { return k.systemCA.pool() }

// OriginKey is the log's signing key as it was given to Init.
func (k *Keys) OriginKey() []byte { return slices.Clone(k.origin) }

// CosignerKey is this node's cosigner key, nil if none was given.
func (k *Keys) CosignerKey() []byte { return slices.Clone(k.cosigner) }

// Issued is a new certificate with its key; the key is nowhere kept.
type Issued struct {
	CertPEM, KeyPEM []byte
	Fingerprint     string // of the certificate, see Fingerprint
	Serial          string // lower-case hex
	NotAfter        time.Time
}

// IssueSystem signs a client certificate for a department's system, full name
// "<department>.<code>". A zero notAfter, or one past the authority's own end,
// means the authority's end. It returns ErrName, ErrAlgorithm.
func (k *Keys) IssueSystem(system string, a Algorithm, now, notAfter time.Time, random io.Reader) (Issued, error) {
	if !systemName.MatchString(system) {
		return Issued{}, fmt.Errorf("%w: system %q", ErrName, system)
	}
	if a == "" {
		a = P256
	}
	p, cert, err := k.systemCA.issue(random, now, subject{
		name: system, unit: unitSystem, algorithm: a, notAfter: notAfter,
		uris:  []*url.URL{{Scheme: "urn", Opaque: "hutong:system:" + system}},
		usage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	if err != nil {
		return Issued{}, err
	}
	return issued(p, cert), nil
}

// IssueServer signs a server certificate for the API under the node authority;
// hosts are DNS names and IP addresses. It cannot be used between nodes.
func (k *Keys) IssueServer(hosts []string, now time.Time, random io.Reader) (Issued, error) {
	s := subject{name: k.node, unit: unitServer, algorithm: P256, usage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	for _, h := range hosts {
		if ip := net.ParseIP(h); ip != nil {
			s.ips = append(s.ips, ip)
		} else {
			s.dns = append(s.dns, h)
		}
	}
	p, cert, err := k.nodeCA.issue(random, now, s)
	if err != nil {
		return Issued{}, err
	}
	return issued(p, cert), nil
}

func issued(p pair, cert *x509.Certificate) Issued {
	return Issued{
		CertPEM: p.certPEM, KeyPEM: p.keyPEM, Fingerprint: Fingerprint(cert.Raw),
		Serial: hex.EncodeToString(cert.SerialNumber.Bytes()), NotAfter: cert.NotAfter,
	}
}
