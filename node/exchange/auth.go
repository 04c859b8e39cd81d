package exchange

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"strings"

	"github.com/google/uuid"

	"github.com/hutong-bus/hutong/node/api"
	"github.com/hutong-bus/hutong/node/policy"
)

// KeyPrefix begins every API key: hk_<id>_<secret>.
const KeyPrefix = "hk_"

// NewKey draws an API key and what state keeps of it.
func NewKey(random io.Reader) (id, key, hash string, err error) {
	var raw [24]byte
	if _, err := io.ReadFull(random, raw[:]); err != nil {
		return "", "", "", fmt.Errorf("draw key: %w", err)
	}
	u, err := uuid.NewRandomFromReader(random)
	if err != nil {
		return "", "", "", fmt.Errorf("draw key: %w", err)
	}
	id = strings.ReplaceAll(u.String(), "-", "")[:16]
	key = KeyPrefix + id + "_" + base64.RawURLEncoding.EncodeToString(raw[:])
	return id, key, HashKey(key), nil
}

// HashKey is what state keeps of an API key: the key is random and long, so a
// plain digest does.
func HashKey(key string) string {
	sum := sha256.Sum256([]byte(key))
	return hex.EncodeToString(sum[:])
}

// AuthenticateKey finds out who holds an API key.
func (s *Service) AuthenticateKey(_ context.Context, key string) (policy.Caller, error) {
	if !strings.HasPrefix(key, KeyPrefix) || len(key) > 128 {
		return policy.Caller{}, api.Refuse(api.CodeUnauthenticated, "API 密钥以 %[1]s 开头 / an API key begins with %[1]s", KeyPrefix)
	}
	v, err := s.view()
	if err != nil {
		return policy.Caller{}, err
	}
	defer v.Close()
	credential, ok := v.CredentialByHash(HashKey(key))
	if !ok {
		return policy.Caller{}, api.Refuse(api.CodeUnauthenticated, "密钥无效,请向总线管理员申请新的 / the key is unknown; ask the bus administrator for a new one")
	}
	return s.caller(v, credential.ID)
}

// AuthenticateCertificate finds out which system a client certificate, whose
// chain the listener has verified, belongs to.
func (s *Service) AuthenticateCertificate(_ context.Context, c *x509.Certificate) (policy.Caller, error) {
	v, err := s.view()
	if err != nil {
		return policy.Caller{}, err
	}
	defer v.Close()
	credential, ok := v.CredentialByFingerprint(s.issuer.Fingerprint(c))
	if !ok {
		return policy.Caller{}, api.Refuse(api.CodeUnauthenticated, "总线不认识这张证书 / the certificate is unknown to this bus")
	}
	return s.caller(v, credential.ID)
}
