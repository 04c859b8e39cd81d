package replica

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"github.com/hutong-bus/hutong/node/authority"
)

// The two protocols of the node port.
const (
	alpnRaft = "hutong-raft/1"
	alpnNode = "hutong-node/1"
)

// Every connection begins, inside TLS, with the dialler's hello: magic, version,
// purpose, length and cluster id; the acceptor answers with magic, version and a
// verdict. Node ids need no words: they stand in the certificates.
const (
	helloMagic   = "HTNODE"
	helloVersion = 1

	purposeRaft     = 0
	purposeCalls    = 1
	purposeSections = 2

	helloTimeout = 5 * time.Second
	maxGreeting  = 64 // connections that have not said hello yet; more are closed
)

// Verdicts of the acceptor.
const (
	welcome byte = iota
	notThisCluster
	notThisVersion
	notAMember
	notYou
)

var verdicts = map[byte]error{notThisCluster: ErrForeign, notThisVersion: ErrForeign, notAMember: ErrNotMember, notYou: ErrSameNode}

// port is the node port: one listener for raft and the node link. It is also
// raft's stream layer. Accepted connections are closed with it.
type port struct {
	cfg    *Config
	ln     net.Listener
	addr   net.Addr
	member func(node string) bool                      // may this node speak to us on the node link
	nodeAt func(address string) string                 // node id expected at an address, "" unknown
	serve  func(node string, c net.Conn, purpose byte) // node link; returns when done
	raft   chan net.Conn                               // to raft's transport; unbuffered, it takes them at once
	done   chan struct{}

	mu     sync.Mutex
	closed bool
	conns  map[net.Conn]string // accepted → node on the node link, "" otherwise
	wg     sync.WaitGroup
}

var _ raft.StreamLayer = (*port)(nil)

// listen opens the port; start begins accepting.
func listen(cfg *Config) (*port, error) {
	ln, err := net.Listen("tcp", cfg.Listen)
	if err != nil {
		return nil, fmt.Errorf("listen for nodes: %w", err)
	}
	p := &port{
		cfg: cfg, ln: ln, addr: ln.Addr(), raft: make(chan net.Conn), done: make(chan struct{}), conns: map[net.Conn]string{},
	}
	if cfg.Advertise != "" {
		p.addr = address(cfg.Advertise)
	}
	return p, nil
}

// address is a net.Addr as raft wants it: what others dial, unresolved.
type address string

// Network is always tcp.
func (address) Network() string { return "tcp" }

// String is the address.
func (a address) String() string { return string(a) }

func (p *port) start() {
	p.wg.Add(1)
	// Stops when the listener is closed by Close.
	go func() {
		defer p.wg.Done()
		p.acceptAll()
	}()
}

func (p *port) acceptAll() {
	greeting := make(chan struct{}, maxGreeting)
	for {
		c, err := p.ln.Accept()
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return
			}
			p.cfg.Logger.Warn("accept on the node port failed", "err", err)
			select {
			case <-p.done:
				return
			case <-time.After(50 * time.Millisecond):
				continue
			}
		}
		select {
		case greeting <- struct{}{}:
		default:
			_ = c.Close() // too many strangers at the door
			continue
		}
		if !p.track(c) {
			return
		}
		p.wg.Add(1)
		// Stops when the connection ends or Close closes it.
		go func() {
			defer p.wg.Done()
			defer p.forget(c)
			node, tc, purpose, err := p.greet(c)
			<-greeting
			if err != nil {
				p.cfg.Logger.Warn("node connection refused", "from", c.RemoteAddr().String(), "err", err)
				return
			}
			if purpose != purposeRaft {
				p.name(c, node)
			}
			p.take(node, tc, purpose)
		}()
	}
}

// take serves a greeted connection until it ends.
func (p *port) take(node string, c *tls.Conn, purpose byte) {
	if purpose != purposeRaft {
		p.serve(node, c, purpose)
		return
	}
	gone := &notifyingConn{Conn: c, closed: make(chan struct{})}
	select {
	case p.raft <- gone:
		select {
		case <-gone.closed:
		case <-p.done:
		}
	case <-p.done:
	}
}

// greet does the TLS handshake and hears the hello.
func (p *port) greet(c net.Conn) (node string, tc *tls.Conn, purpose byte, err error) {
	deadline := time.Now().Add(helloTimeout)
	if err := c.SetDeadline(deadline); err != nil {
		return "", nil, 0, err
	}
	tc = tls.Server(c, &tls.Config{
		Certificates: []tls.Certificate{p.cfg.Certificate}, MinVersion: tls.VersionTLS13,
		ClientAuth: tls.RequireAnyClientCert, NextProtos: []string{alpnRaft, alpnNode},
		SessionTicketsDisabled: true, // every connection proves itself anew
		VerifyConnection: func(cs tls.ConnectionState) error {
			var err error
			node, err = authority.VerifyNode(cs.PeerCertificates, p.cfg.Roots, x509.ExtKeyUsageClientAuth, p.cfg.Clock())
			return err
		},
	})
	if err := tc.Handshake(); err != nil {
		return "", nil, 0, fmt.Errorf("handshake: %w", err)
	}
	head := make([]byte, len(helloMagic)+3)
	if _, err := io.ReadFull(tc, head); err != nil {
		return "", nil, 0, fmt.Errorf("hello: %w", err)
	}
	cluster := make([]byte, head[len(head)-1])
	if _, err := io.ReadFull(tc, cluster); err != nil {
		return "", nil, 0, fmt.Errorf("hello: %w", err)
	}
	purpose = head[len(helloMagic)+1]
	verdict := p.judge(node, string(head[:len(helloMagic)]), head[len(helloMagic)], purpose, tc.ConnectionState().NegotiatedProtocol, string(cluster))
	if _, err := tc.Write(append([]byte(helloMagic), helloVersion, verdict)); err != nil {
		return "", nil, 0, fmt.Errorf("hello: %w", err)
	}
	if verdict != welcome {
		return "", nil, 0, fmt.Errorf("node %q: %w", node, verdicts[verdict])
	}
	return node, tc, purpose, tc.SetDeadline(time.Time{})
}

func (p *port) judge(node, magic string, version, purpose byte, proto, cluster string) byte {
	wantProto := alpnNode
	if purpose == purposeRaft {
		wantProto = alpnRaft
	}
	switch {
	case magic != helloMagic || version != helloVersion || purpose > purposeSections || proto != wantProto:
		return notThisVersion
	case cluster != p.cfg.ClusterID:
		return notThisCluster
	case node == p.cfg.NodeID:
		return notYou
	case purpose != purposeRaft && !p.member(node):
		return notAMember
	}
	return welcome
}

// dial opens a connection for a purpose. node is who must be there, "" anyone of
// the cluster. It returns ErrUnreachable, ErrForeign, ErrNotMember, ErrSameNode.
func (p *port) dial(ctx context.Context, node, addr string, purpose byte) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	c, err := p.cfg.Dial(ctx, addr)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	proto := alpnNode
	if purpose == purposeRaft {
		proto = alpnRaft
	}
	tc := tls.Client(c, &tls.Config{
		Certificates: []tls.Certificate{p.cfg.Certificate}, MinVersion: tls.VersionTLS13, NextProtos: []string{proto},
		InsecureSkipVerify: true, // replaced, not skipped: VerifyConnection checks chain, kind and node id
		VerifyConnection: func(cs tls.ConnectionState) error {
			id, err := authority.VerifyNode(cs.PeerCertificates, p.cfg.Roots, x509.ExtKeyUsageServerAuth, p.cfg.Clock())
			if err == nil && node != "" && id != node {
				err = fmt.Errorf("%w: expected %s, found %s", authority.ErrNotNode, node, id)
			}
			return err
		},
	})
	if err := p.hello(ctx, tc, purpose); err != nil {
		_ = tc.Close()
		return nil, err
	}
	return tc, nil
}

func (p *port) hello(ctx context.Context, tc *tls.Conn, purpose byte) error {
	if deadline, ok := ctx.Deadline(); ok {
		if err := tc.SetDeadline(deadline); err != nil {
			return fmt.Errorf("%w: %w", ErrUnreachable, err)
		}
	}
	if err := tc.HandshakeContext(ctx); err != nil {
		return fmt.Errorf("%w: handshake: %w", ErrUnreachable, err)
	}
	b := append([]byte(helloMagic), helloVersion, purpose, byte(len(p.cfg.ClusterID)))
	if _, err := tc.Write(append(b, p.cfg.ClusterID...)); err != nil {
		return fmt.Errorf("%w: hello: %w", ErrUnreachable, err)
	}
	answer := make([]byte, len(helloMagic)+2)
	if _, err := io.ReadFull(tc, answer); err != nil {
		return fmt.Errorf("%w: hello: %w", ErrUnreachable, err)
	}
	if string(answer[:len(helloMagic)]) != helloMagic || answer[len(helloMagic)] != helloVersion {
		return fmt.Errorf("%w: hello of another version", ErrForeign)
	}
	if verdict := answer[len(answer)-1]; verdict != welcome {
		if err, ok := verdicts[verdict]; ok {
			return err
		}
		return fmt.Errorf("%w: refused (%d)", ErrUnreachable, verdict)
	}
	return tc.SetDeadline(time.Time{})
}

// Dial is raft's: the node expected at an address is the configuration's.
func (p *port) Dial(addr raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	return p.dial(ctx, p.nodeAt(string(addr)), string(addr), purposeRaft)
}

// Accept is raft's: it gives greeted raft connections.
func (p *port) Accept() (net.Conn, error) {
	select {
	case c := <-p.raft:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

// Addr is the address others dial.
func (p *port) Addr() net.Addr { return p.addr }

// Close stops accepting and closes what was accepted. raft calls it too.
func (p *port) Close() error {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return nil
	}
	p.closed = true
	close(p.done)
	err := p.ln.Close()
	for c := range p.conns {
		_ = c.Close()
	}
	p.mu.Unlock()
	return err
}

func (p *port) wait() { p.wg.Wait() }

func (p *port) track(c net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		_ = c.Close()
		return false
	}
	p.conns[c] = ""
	return true
}

func (p *port) name(c net.Conn, node string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.conns[c] = node
}

// cutStrangers ends the node links of those who are members no longer.
func (p *port) cutStrangers() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c, node := range p.conns {
		if node != "" && !p.member(node) {
			_ = c.Close()
		}
	}
}

func (p *port) forget(c net.Conn) {
	_ = c.Close() // often closed already
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, c)
}

// notifyingConn says when raft closed it.
type notifyingConn struct {
	net.Conn
	once   sync.Once
	closed chan struct{}
}

// Close closes the connection.
func (c *notifyingConn) Close() error {
	c.once.Do(func() { close(c.closed) })
	return c.Conn.Close()
}
