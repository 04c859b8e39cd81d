package authority

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/url"
	"regexp"
	"strings"
	"time"
)

// Validity of what the authorities sign. Node certificates live as long as
// their authority: a cluster must not stop on a forgotten date; a node is taken
// out by removing it from the membership, which its peers enforce.
const (
	authorityYears = 20
	backdate       = time.Hour // tolerated clock difference between the signer and its peers
)

// What a certificate is for stands in its organisational unit.
const (
	unitAuthority = "hutong authority"
	unitNode      = "hutong node"
	unitServer    = "hutong server"
	unitSystem    = "hutong system"
)

// Algorithm of a system's private key.
type Algorithm string

const (
	// P256 is ECDSA on P-256, the default: Java 8 and old .NET read it.
	P256 Algorithm = "ecdsa-p256"
	// RSA2048 is for systems that read nothing else.
	RSA2048 Algorithm = "rsa-2048"
)

var (
	nodeName    = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)
	clusterName = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)
	systemName  = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,62}\.[a-z0-9][a-z0-9_-]{0,62}$`)
)

// CheckNodeID says whether id may name a node: 1 to 63 characters of a-z, 0-9
// and inner hyphens, so that it is a legal DNS name. It returns ErrName.
func CheckNodeID(id string) error {
	if !nodeName.MatchString(id) {
		return fmt.Errorf("%w: node id %q", ErrName, id)
	}
	return nil
}

// ca is one authority: certificate and signing key.
type ca struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// pair is a certificate with its key as they lie on disk.
type pair struct{ certPEM, keyPEM []byte }

func newCA(random io.Reader, cluster, what string, now time.Time) (*ca, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), random)
	if err != nil {
		return nil, fmt.Errorf("make key of the %s authority: %w", what, err)
	}
	serial, err := newSerial(random)
	if err != nil {
		return nil, err
	}
	tmpl := &x509.Certificate{
		SerialNumber: serial,
		Subject: pkix.Name{
			CommonName: "Hutong " + what + " authority " + cluster, Organization: []string{cluster}, OrganizationalUnit: []string{unitAuthority},
		},
		NotBefore: now.Add(-backdate), NotAfter: now.AddDate(authorityYears, 0, 0),
		IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	der, err := x509.CreateCertificate(random, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		return nil, fmt.Errorf("sign the %s authority: %w", what, err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("read back the %s authority: %w", what, err)
	}
	return &ca{cert: cert, key: key}, nil
}

// parseCA reads an authority and checks that its two halves belong together.
func parseCA(p pair) (*ca, error) {
	cert, err := parseCert(p.certPEM)
	if err != nil {
		return nil, err
	}
	key, err := parseKey(p.keyPEM)
	if err != nil {
		return nil, err
	}
	ec, ok := key.(*ecdsa.PrivateKey)
	if !ok || !cert.IsCA || !ec.PublicKey.Equal(cert.PublicKey) {
		return nil, fmt.Errorf("%w: %s", ErrMismatch, cert.Subject.CommonName)
	}
	return &ca{cert: cert, key: ec}, nil
}

func (c *ca) pair() (pair, error) {
	key, err := encodeKey(c.key)
	if err != nil {
		return pair{}, err
	}
	return pair{certPEM: encodeCert(c.cert.Raw), keyPEM: key}, nil
}

func (c *ca) pool() *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(c.cert)
	return p
}

// subject is what one certificate says.
type subject struct {
	name, unit string
	dns        []string
	ips        []net.IP
	uris       []*url.URL
	usage      []x509.ExtKeyUsage
	notAfter   time.Time
	algorithm  Algorithm
}

// issue makes a key and signs a certificate for it.
func (c *ca) issue(random io.Reader, now time.Time, s subject) (pair, *x509.Certificate, error) {
	key, err := newKey(random, s.algorithm)
	if err != nil {
		return pair{}, nil, err
	}
	serial, err := newSerial(random)
	if err != nil {
		return pair{}, nil, err
	}
	if s.notAfter.IsZero() || s.notAfter.After(c.cert.NotAfter) {
		s.notAfter = c.cert.NotAfter
	}
	tmpl := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: s.name, Organization: c.cert.Subject.Organization, OrganizationalUnit: []string{s.unit}},
		NotBefore:    now.Add(-backdate), NotAfter: s.notAfter,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           s.usage,
		DNSNames:              s.dns, IPAddresses: s.ips, URIs: s.uris,
	}
	if s.algorithm == RSA2048 {
		tmpl.KeyUsage |= x509.KeyUsageKeyEncipherment
	}
	der, err := x509.CreateCertificate(random, tmpl, c.cert, key.Public(), c.key)
	if err != nil {
		return pair{}, nil, fmt.Errorf("sign certificate of %s: %w", s.name, err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return pair{}, nil, fmt.Errorf("read back certificate of %s: %w", s.name, err)
	}
	keyPEM, err := encodeKey(key)
	if err != nil {
		return pair{}, nil, err
	}
	return pair{certPEM: encodeCert(der), keyPEM: keyPEM}, cert, nil
}

func (c *ca) issueNode(random io.Reader, now time.Time, node string) (pair, error) {
	p, _, err := c.issue(random, now, subject{
		name: node, unit: unitNode, dns: []string{node}, algorithm: P256,
		usage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	})
	return p, err
}

// VerifyNode checks a peer's chain against the node authority and returns the
// node id of the certificate: its only DNS name. usage is ServerAuth for a peer
// that was dialled, ClientAuth for one that dialled. It returns ErrNotNode.
func VerifyNode(chain []*x509.Certificate, roots *x509.CertPool, usage x509.ExtKeyUsage, now time.Time) (string, error) {
	leaf, err := verify(chain, roots, usage, now, unitNode)
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrNotNode, err)
	}
	if len(leaf.DNSNames) != 1 || CheckNodeID(leaf.DNSNames[0]) != nil {
		return "", fmt.Errorf("%w: it must name exactly one node", ErrNotNode)
	}
	return leaf.DNSNames[0], nil
}

// VerifySystem checks a client's chain against the system authority and returns
// the full name of the system ("<department>.<code>") and the fingerprint under
// which its credential is kept. It returns ErrNotSystem.
func VerifySystem(chain []*x509.Certificate, roots *x509.CertPool, now time.Time) (system, fingerprint string, err error) {
	leaf, err := verify(chain, roots, x509.ExtKeyUsageClientAuth, now, unitSystem)
	if err != nil {
		return "", "", fmt.Errorf("%w: %w", ErrNotSystem, err)
	}
	if !systemName.MatchString(leaf.Subject.CommonName) {
		return "", "", fmt.Errorf("%w: it must name one system", ErrNotSystem)
	}
	return leaf.Subject.CommonName, Fingerprint(leaf.Raw), nil
}

func verify(chain []*x509.Certificate, roots *x509.CertPool, usage x509.ExtKeyUsage, now time.Time, unit string) (*x509.Certificate, error) {
	if len(chain) == 0 {
		return nil, fmt.Errorf("no certificate")
	}
	leaf := chain[0]
	if _, err := leaf.Verify(x509.VerifyOptions{Roots: roots, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{usage}}); err != nil {
		return nil, err
	}
	if ou := leaf.Subject.OrganizationalUnit; len(ou) != 1 || ou[0] != unit {
		return nil, fmt.Errorf("certificate of kind %q", strings.Join(leaf.Subject.OrganizationalUnit, ","))
	}
	return leaf, nil
}

// Fingerprint is the lower-case hex SHA-256 of a certificate's DER bytes.
func Fingerprint(der []byte) string {
	sum := sha256.Sum256(der)
	return hex.EncodeToString(sum[:])
}

func newSerial(random io.Reader) (*big.Int, error) {
	var b [16]byte
	if _, err := io.ReadFull(random, b[:]); err != nil {
		return nil, fmt.Errorf("draw serial number: %w", err)
	}
	b[0] &= 0x7f // positive, at most 127 bits: RFC 5280 §4.1.2.2 allows 20 octets
	b[15] |= 1   // never zero
	return new(big.Int).SetBytes(b[:]), nil
}

func newKey(random io.Reader, a Algorithm) (crypto.Signer, error) {
	switch a {
	case P256, "":
		key, err := ecdsa.GenerateKey(elliptic.P256(), random)
		if err != nil {
			return nil, fmt.Errorf("make P-256 key: %w", err)
		}
		return key, nil
	case RSA2048:
		key, err := rsa.GenerateKey(random, 2048)
		if err != nil {
			return nil, fmt.Errorf("make RSA key: %w", err)
		}
		return key, nil
	default:
		return nil, fmt.Errorf("%w: %q", ErrAlgorithm, a)
	}
}

func encodeCert(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

func encodeKey(key crypto.Signer) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("encode private key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

func parseCert(b []byte) (*x509.Certificate, error) {
	block, rest := pem.Decode(b)
	if block == nil || block.Type != "CERTIFICATE" || len(strings.TrimSpace(string(rest))) > 0 {
		return nil, fmt.Errorf("%w: expected one PEM certificate", ErrMismatch)
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMismatch, err)
	}
	return cert, nil
}

func parseKey(b []byte) (crypto.Signer, error) {
	block, rest := pem.Decode(b)
	if block == nil || block.Type != "PRIVATE KEY" || len(strings.TrimSpace(string(rest))) > 0 {
		return nil, fmt.Errorf("%w: expected one PEM private key (PKCS #8)", ErrMismatch)
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%w: unreadable private key", ErrMismatch)
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("%w: key cannot sign", ErrMismatch)
	}
	return signer, nil
}
