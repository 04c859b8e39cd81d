package replica

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"
)

// Handler answers another node's message. from is proved by its certificate.
// ctx ends with the connection or after the call's time; many calls may run at once.
type Handler func(ctx context.Context, from string, payload []byte) ([]byte, error)

// Reasons in a refusal, so that sentinels survive the wire.
const (
	refusedText byte = iota
	refusedKind
	refusedNoLeader
	refusedNotFresh
	refusedNotMember
	refusedLarge
)

var refusals = map[byte]error{
	refusedKind: ErrKind, refusedNoLeader: ErrNoLeader, refusedNotFresh: ErrNotFresh, refusedNotMember: ErrNotMember, refusedLarge: ErrTooLarge,
}

const maxRefusalText = 1024

// calls is both ends of the request side of the node link: one connection to
// each node we ask, any number from nodes that ask us.
type calls struct {
	self string
	dial func(ctx context.Context, node string) (net.Conn, error)

	mu       sync.Mutex
	handlers map[string]Handler
	out      map[string]*caller
	closed   bool
	wg       sync.WaitGroup
}

func newCalls(self string, dial func(ctx context.Context, node string) (net.Conn, error)) *calls {
	return &calls{self: self, dial: dial, handlers: map[string]Handler{}, out: map[string]*caller{}}
}

func (c *calls) handle(kind string, h Handler) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.handlers[kind] = h
}

func (c *calls) handler(kind string) (Handler, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	h, ok := c.handlers[kind]
	return h, ok
}

// call asks a node, or this one, and waits for the answer.
func (c *calls) call(ctx context.Context, node, kind string, payload []byte) ([]byte, error) {
	if len(payload) > maxCallBytes || len(kind) > 255 {
		return nil, fmt.Errorf("call %s: %w", kind, ErrTooLarge)
	}
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, callTimeout)
		defer cancel()
	}
	if node == c.self {
		h, ok := c.handler(kind)
		if !ok {
			return nil, fmt.Errorf("call %s: %w", kind, ErrKind)
		}
		return h(ctx, node, payload)
	}
	out, err := c.to(ctx, node)
	if err != nil {
		return nil, fmt.Errorf("call %s on %s: %w", kind, node, err)
	}
	b, err := out.ask(ctx, kind, payload)
	if err != nil {
		return nil, fmt.Errorf("call %s on %s: %w", kind, node, err)
	}
	return b, nil
}

// to is the connection to a node, dialled if need be. Two callers may dial at
// once; the second connection is closed.
func (c *calls) to(ctx context.Context, node string) (*caller, error) {
	c.mu.Lock()
	out, closed := c.out[node], c.closed
	c.mu.Unlock()
	if closed {
		return nil, ErrClosed
	}
	if out != nil && out.alive() {
		return out, nil
	}
	conn, err := c.dial(ctx, node)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		_ = conn.Close()
		return nil, ErrClosed
	}
	if out := c.out[node]; out != nil && out.alive() {
		_ = conn.Close()
		return out, nil
	}
	out = &caller{conn: conn, pending: map[uint64]chan answer{}, heard: time.Now(), done: make(chan struct{})}
	c.out[node] = out
	c.wg.Add(1)
	// Stops when the connection ends; close closes it.
	go func() {
		defer c.wg.Done()
		out.readAll()
	}()
	return out, nil
}

// close ends all connections that we dialled and waits.
func (c *calls) close() {
	c.mu.Lock()
	c.closed = true
	for _, out := range c.out {
		_ = out.conn.Close()
	}
	c.mu.Unlock()
	c.wg.Wait()
}

// drop ends the connection to a node, if there is one.
func (c *calls) drop(node string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if out := c.out[node]; out != nil {
		_ = out.conn.Close()
		delete(c.out, node)
	}
}

// serve answers a node's calls until its connection ends.
func (c *calls) serve(node string, conn net.Conn) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var writing sync.Mutex
	var wg sync.WaitGroup
	defer wg.Wait()
	slots := make(chan struct{}, maxCallsFlying) // a node that asks faster than we answer waits
	r := bufio.NewReader(conn)
	for {
		kind, body, err := readFrame(r)
		if err != nil || kind != frameCall || len(body) < 9 || len(body) < 9+int(body[8]) {
			_ = conn.Close()
			cancel()
			return
		}
		slots <- struct{}{}
		wg.Add(1)
		// Stops when the handler returns; its ctx ends with the connection.
		go func() {
			defer wg.Done()
			defer func() { <-slots }()
			b := c.answer(ctx, node, body)
			writing.Lock()
			defer writing.Unlock()
			_ = conn.SetWriteDeadline(time.Now().Add(callTimeout))
			if _, err := conn.Write(b); err != nil {
				_ = conn.Close() // the reader above notices
			}
		}()
	}
}

func (c *calls) answer(ctx context.Context, node string, body []byte) []byte {
	id, name, payload := body[:8], string(body[9:9+int(body[8])]), body[9+int(body[8]):]
	h, ok := c.handler(name)
	if !ok {
		return appendFrame(nil, frameRefusal, id, []byte{refusedKind})
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	out, err := h(ctx, node, payload)
	if err == nil && len(out) > maxCallBytes {
		err = ErrTooLarge
	}
	if err == nil {
		return appendFrame(nil, frameAnswer, id, out)
	}
	for reason, sentinel := range refusals {
		if errors.Is(err, sentinel) {
			return appendFrame(nil, frameRefusal, id, []byte{reason})
		}
	}
	text := err.Error()
	return appendFrame(nil, frameRefusal, id, []byte{refusedText}, []byte(text[:min(len(text), maxRefusalText)]))
}

type answer struct {
	body []byte
	err  error
}

// caller is one dialled connection with its calls in flight.
type caller struct {
	conn    net.Conn
	writing sync.Mutex

	mu      sync.Mutex
	next    uint64
	pending map[uint64]chan answer // each of capacity 1: the reader never waits
	heard   time.Time              // last frame read
	ended   bool
	done    chan struct{}
}

func (c *caller) alive() bool {
	select {
	case <-c.done:
		return false
	default:
		return true
	}
}

func (c *caller) ask(ctx context.Context, kind string, payload []byte) ([]byte, error) {
	began := time.Now()
	ch := make(chan answer, 1)
	c.mu.Lock()
	if c.ended {
		c.mu.Unlock()
		return nil, ErrUnreachable
	}
	c.next++
	id := c.next
	c.pending[id] = ch
	c.mu.Unlock()
	head := append(binary.BigEndian.AppendUint64(nil, id), byte(len(kind)))
	frame := appendFrame(nil, frameCall, head, []byte(kind), payload)
	c.writing.Lock()
	deadline, _ := ctx.Deadline()
	_ = c.conn.SetWriteDeadline(deadline)
	_, err := c.conn.Write(frame)
	c.writing.Unlock()
	if err != nil {
		_ = c.conn.Close()
		c.forget(id)
		return nil, fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	select {
	case a := <-ch:
		return a.body, a.err
	case <-ctx.Done():
		c.forget(id)
		c.mu.Lock()
		silent := c.heard.Before(began) && time.Since(c.heard) > time.Second
		c.mu.Unlock()
		if silent { // nothing came since we asked: a dead connection must not be asked again
			_ = c.conn.Close()
		}
		return nil, fmt.Errorf("%w: %w", ErrUnreachable, context.Cause(ctx))
	}
}

func (c *caller) forget(id uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.pending, id)
}

func (c *caller) readAll() {
	r := bufio.NewReader(c.conn)
	for {
		kind, body, err := readFrame(r)
		if err != nil || len(body) < 8 {
			break
		}
		a := answer{body: body[8:]}
		switch {
		case kind == frameRefusal && len(body) > 8:
			a = answer{err: refusals[body[8]]}
			if a.err == nil {
				a.err = fmt.Errorf("%w: %s", ErrAnswer, body[9:])
			}
		case kind != frameAnswer:
			a = answer{err: fmt.Errorf("%w: malformed answer", ErrAnswer)}
		}
		id := binary.BigEndian.Uint64(body)
		c.mu.Lock()
		c.heard = time.Now()
		ch := c.pending[id]
		delete(c.pending, id)
		c.mu.Unlock()
		if ch != nil {
			ch <- a
		}
	}
	_ = c.conn.Close()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ended = true
	for id, ch := range c.pending {
		ch <- answer{err: ErrUnreachable}
		delete(c.pending, id)
	}
	close(c.done)
}
