package authority

import (
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var now = time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC)

func settings(node string) Settings {
	return Settings{Cluster: "c-test", Node: node, OriginKey: []byte("origin\x00key"), CosignerKey: []byte("cosigner of " + node), Now: now, Random: rand.Reader}
}

func newKeys(t *testing.T) (*Keys, string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "keys")
	k, err := Init(dir, settings("n1"))
	if err != nil {
		t.Fatal(err)
	}
	return k, dir
}

func TestInitOpen(t *testing.T) {
	k, dir := newKeys(t)
	if _, err := Init(dir, settings("n1")); !errors.Is(err, ErrExists) {
		t.Fatalf("second Init: %v, want ErrExists", err)
	}
	got, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"c-test", "n1", "origin\x00key", "cosigner of n1"}
	if diff := cmp.Diff(want, []string{got.Cluster(), got.Node(), string(got.OriginKey()), string(got.CosignerKey())}); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(k.NodeCertificate().Certificate, got.NodeCertificate().Certificate); diff != "" {
		t.Errorf("certificate (-want +got):\n%s", diff)
	}
	names, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		st, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		want := fs.FileMode(0o600)
		if strings.HasSuffix(name, ".crt") {
			want = 0o644
		}
		if st.Mode().Perm() != want {
			t.Errorf("%s has mode %v, want %v", name, st.Mode().Perm(), want)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(dir, ".new-*")); len(left) > 0 {
		t.Errorf("temporary files left: %v", left)
	}
}

func TestOpenRefuses(t *testing.T) {
	other, otherDir := newKeys(t)
	_ = other
	tests := []struct {
		name  string
		spoil func(dir string) error
		want  error
	}{
		{"no identity", func(dir string) error { return os.Remove(filepath.Join(dir, identityFile)) }, ErrIncomplete},
		{"unknown member", func(dir string) error {
			return os.WriteFile(filepath.Join(dir, identityFile), []byte(`{"v":1,"cluster":"c-test","node":"n1","x":1}`), 0o600)
		}, ErrIncomplete},
		{"member in other case", func(dir string) error {
			return os.WriteFile(filepath.Join(dir, identityFile), []byte(`{"V":1,"cluster":"c-test","node":"n1"}`), 0o600)
		}, ErrIncomplete},
		{"readable by the group", func(dir string) error { return os.Chmod(filepath.Join(dir, "node.key"), 0o640) }, ErrLoose},
		{"readable origin key", func(dir string) error { return os.Chmod(filepath.Join(dir, originFile), 0o604) }, ErrLoose},
		{"other node name", func(dir string) error {
			return os.WriteFile(filepath.Join(dir, identityFile), []byte(`{"v":1,"cluster":"c-test","node":"n2"}`), 0o600)
		}, ErrMismatch},
		{"other cluster name", func(dir string) error {
			return os.WriteFile(filepath.Join(dir, identityFile), []byte(`{"v":1,"cluster":"c-other","node":"n1"}`), 0o600)
		}, ErrMismatch},
		{"key of another node", func(dir string) error {
			b, err := os.ReadFile(filepath.Join(otherDir, "node.key"))
			if err != nil {
				return err
			}
			return os.WriteFile(filepath.Join(dir, "node.key"), b, 0o600)
		}, ErrMismatch},
		{"authority of another cluster", func(dir string) error {
			for _, f := range []string{"node-ca.key", "node-ca.crt"} {
				b, err := os.ReadFile(filepath.Join(otherDir, f))
				if err != nil {
					return err
				}
				if err := os.WriteFile(filepath.Join(dir, f), b, 0o600); err != nil {
					return err
				}
			}
			return nil
		}, ErrMismatch},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, dir := newKeys(t)
			if err := tt.spoil(dir); err != nil {
				t.Fatal(err)
			}
			if _, err := Open(dir); !errors.Is(err, tt.want) {
				t.Fatalf("got %v, want %v", err, tt.want)
			}
		})
	}
}

func TestBundle(t *testing.T) {
	k, _ := newKeys(t)
	b, err := k.Bundle(settings("n2"), "10.0.0.2:7081", []string{"10.0.0.1:7081"})
	if err != nil {
		t.Fatal(err)
	}
	raw, err := b.Encode()
	if err != nil {
		t.Fatal(err)
	}
	got, err := ParseBundle(raw)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(b, got); diff != "" {
		t.Fatalf("bundle (-want +got):\n%s", diff)
	}
	dir := filepath.Join(t.TempDir(), "keys")
	if _, err := Join(dir, got); err != nil {
		t.Fatal(err)
	}
	k2, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	if k2.Node() != "n2" || k2.Cluster() != "c-test" || string(k2.OriginKey()) != "origin\x00key" || string(k2.CosignerKey()) != "cosigner of n2" {
		t.Errorf("joined as %s of %s", k2.Node(), k2.Cluster())
	}
	id, err := VerifyNode([]*x509.Certificate{k2.NodeCertificate().Leaf}, k.NodeRoots(), x509.ExtKeyUsageServerAuth, now)
	if err != nil || id != "n2" {
		t.Errorf("first node sees %q, %v", id, err)
	}
	// A joined node holds the authorities too and signs systems the first node believes.
	issued, err := k2.IssueSystem("d01.sys", P256, now, time.Time{}, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := VerifySystem([]*x509.Certificate{certOf(t, issued.CertPEM)}, k.SystemRoots(), now); err != nil {
		t.Error(err)
	}
	if _, err := k.Bundle(settings("n1"), "x", nil); !errors.Is(err, ErrName) {
		t.Errorf("bundle for the node itself: %v", err)
	}
}

func TestBundleRefuses(t *testing.T) {
	k, _ := newKeys(t)
	stranger, _ := newKeys(t)
	good, err := k.Bundle(settings("n2"), "a:1", nil)
	if err != nil {
		t.Fatal(err)
	}
	foreign, err := stranger.Bundle(settings("n2"), "a:1", nil)
	if err != nil {
		t.Fatal(err)
	}
	text := func(b Bundle) string {
		raw, err := b.Encode()
		if err != nil {
			t.Fatal(err)
		}
		return string(raw)
	}
	changed := func(f func(b *Bundle)) string { b := good; f(&b); return text(b) }
	tests := map[string]string{
		"empty":              "",
		"not an object":      "[]",
		"two values":         text(good) + text(good),
		"unknown member":     strings.Replace(text(good), `"v": 1`, `"v": 1, "w": 1`, 1),
		"twice":              strings.Replace(text(good), `"v": 1`, `"v": 1, "v": 1`, 1),
		"other case":         strings.Replace(text(good), `"node":`, `"Node":`, 1),
		"version":            changed(func(b *Bundle) { b.V = 2 }),
		"node":               changed(func(b *Bundle) { b.Node = "n3" }),
		"cluster":            changed(func(b *Bundle) { b.Cluster = "c-x" }),
		"foreign key":        changed(func(b *Bundle) { b.Key = foreign.Key }),
		"foreign pair":       changed(func(b *Bundle) { b.Key, b.Certificate = foreign.Key, foreign.Certificate }),
		"foreign authority":  changed(func(b *Bundle) { b.NodeCA, b.NodeCAKey = foreign.NodeCA, foreign.NodeCAKey }),
		"mixed system halfs": changed(func(b *Bundle) { b.SystemCAKey = foreign.SystemCAKey }),
		"no origin key":      changed(func(b *Bundle) { b.OriginKey = nil }),
		"too large":          changed(func(b *Bundle) { b.CosignerKey = make([]byte, bundleBytes) }),
	}
	for name, raw := range tests {
		if _, err := ParseBundle([]byte(raw)); !errors.Is(err, ErrBundle) {
			t.Errorf("%s: got %v, want ErrBundle", name, err)
		}
	}
}

func TestSystemsAreNotNodes(t *testing.T) {
	k, _ := newKeys(t)
	for _, a := range []Algorithm{P256, RSA2048} {
		issued, err := k.IssueSystem("d01.cases", a, now, now.AddDate(1, 0, 0), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tls.X509KeyPair(issued.CertPEM, issued.KeyPEM); err != nil {
			t.Fatalf("%s: %v", a, err)
		}
		cert := certOf(t, issued.CertPEM)
		name, fp, err := VerifySystem([]*x509.Certificate{cert}, k.SystemRoots(), now)
		if err != nil || name != "d01.cases" || fp != issued.Fingerprint {
			t.Errorf("%s: got %q %q %v", a, name, fp, err)
		}
		// Even a listener that trusts the wrong authority must not take it for a node.
		if _, err := VerifyNode([]*x509.Certificate{cert}, k.SystemRoots(), x509.ExtKeyUsageClientAuth, now); !errors.Is(err, ErrNotNode) {
			t.Errorf("%s: VerifyNode: %v", a, err)
		}
		if _, _, err := VerifySystem([]*x509.Certificate{cert}, k.SystemRoots(), now.AddDate(1, 0, 1)); !errors.Is(err, ErrNotSystem) {
			t.Errorf("%s: after its end: %v", a, err)
		}
	}
	node := k.NodeCertificate().Leaf
	if _, _, err := VerifySystem([]*x509.Certificate{node}, k.NodeRoots(), now); !errors.Is(err, ErrNotSystem) {
		t.Errorf("node as system: %v", err)
	}
	server, err := k.IssueServer([]string{"n1", "127.0.0.1"}, now, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := VerifyNode([]*x509.Certificate{certOf(t, server.CertPEM)}, k.NodeRoots(), x509.ExtKeyUsageServerAuth, now); !errors.Is(err, ErrNotNode) {
		t.Errorf("API server as node: %v", err)
	}
	if _, err := VerifyNode(nil, k.NodeRoots(), x509.ExtKeyUsageServerAuth, now); !errors.Is(err, ErrNotNode) {
		t.Errorf("no certificate: %v", err)
	}
}

func TestNames(t *testing.T) {
	k, _ := newKeys(t)
	for _, name := range []string{"", "d01", "d01.", "D01.x", "d01.x.y", "d01.x y"} {
		if _, err := k.IssueSystem(name, P256, now, time.Time{}, rand.Reader); !errors.Is(err, ErrName) {
			t.Errorf("system %q: %v", name, err)
		}
	}
	for _, id := range []string{"", "N1", "n_1", "-n", "n-", "n.1", strings.Repeat("n", 64)} {
		if err := CheckNodeID(id); !errors.Is(err, ErrName) {
			t.Errorf("node id %q: %v", id, err)
		}
	}
	if _, err := k.IssueSystem("d01.x", "ed25519", now, time.Time{}, rand.Reader); !errors.Is(err, ErrAlgorithm) {
		t.Errorf("algorithm: %v", err)
	}
	id, err := NewClusterID(rand.Reader)
	if err != nil || !clusterName.MatchString(id) {
		t.Errorf("cluster id %q, %v", id, err)
	}
}

// A crash between writing and renaming leaves the old file whole.
func TestWriteFileKeepsOld(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "x.key")
	if err := WriteKey(path, []byte("old")); err != nil {
		t.Fatal(err)
	}
	// The target's place is taken by a directory: the rename fails.
	blocked := filepath.Join(dir, "blocked")
	if err := os.MkdirAll(filepath.Join(blocked, "inner"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := WriteKey(blocked, []byte("new")); err == nil {
		t.Fatal("no error")
	}
	if left, _ := filepath.Glob(filepath.Join(dir, ".new-*")); len(left) > 0 {
		t.Errorf("temporary files left: %v", left)
	}
	got, err := ReadKey(path)
	if err != nil || string(got) != "old" {
		t.Errorf("got %q, %v", got, err)
	}
}

func FuzzParseBundle(f *testing.F) {
	f.Add([]byte(`{"v":1}`))
	f.Add([]byte(`{"v":1,"cluster":"c","node":"n","node_ca":"-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----"}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if _, err := ParseBundle(raw); err != nil && !errors.Is(err, ErrBundle) {
			t.Errorf("unnamed error %v", err)
		}
	})
}

func certOf(t *testing.T, pemBytes []byte) *x509.Certificate {
	t.Helper()
	block, _ := pem.Decode(pemBytes)
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}
