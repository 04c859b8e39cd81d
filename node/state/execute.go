package state

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/hutong-bus/hutong/node/audit"
	"github.com/hutong-bus/hutong/node/disclosure"
	"github.com/hutong-bus/hutong/node/policy"
	"github.com/hutong-bus/hutong/node/store"
	"github.com/hutong-bus/hutong/schemas/record"
)

// requestMs is how long a request id is remembered, in log time.
const requestMs = 24 * 3600 * 1000

// maxForgotten bounds how many remembered requests one command removes.
const maxForgotten = 64

// execution is one administrative command being applied. A command checks
// everything before its first change: it either answers or changed nothing.
type execution struct {
	w      *work
	h      *Head
	cat    *edit
	caller policy.Caller
	self   bool // the bus itself
	secret [32]byte
	leaves int
	first  uint64 // first leaf
}

// command applies a section of one administrative command.
func (w *work) command(s []byte, res *Result) {
	h, text, err := record.DecodeCommand(s)
	if err != nil {
		w.unreadable(res, err)
		return
	}
	c, err := DecodeCommand(text)
	if errors.Is(err, ErrUpgrade) {
		w.fail(err)
		return
	}
	if err != nil {
		res.Err = &Refusal{Code: CodeMalformed, Detail: err.Error()}
		return
	}
	head := c.head()
	w.forget()
	digest, err := contentDigest(c)
	if err != nil {
		w.fail(err)
		return
	}
	if w.remembered(head, digest, res) {
		return
	}
	x := &execution{w: w, h: head, cat: w.cat.edit(), secret: h.Secret}
	before := w.writes
	answer, err := x.run(c)
	if w.err != nil {
		return
	}
	if refusal := (*Refusal)(nil); errors.As(err, &refusal) {
		if w.writes != before {
			w.fail(fmt.Errorf("command %s was refused after it had changed something: %s", head.Type, refusal.Code))
			return
		}
		res.Err = refusal
	} else if err != nil {
		w.fail(fmt.Errorf("command %s: %w", head.Type, err))
		return
	} else {
		w.cat = x.cat.catalogue
		res.Code = Applied
		res.Leaf, res.HasLeaf = x.first, x.leaves > 0
		if res.Answer, err = json.Marshal(answer); err != nil {
			w.fail(fmt.Errorf("answer of command %s: %w", head.Type, err))
			return
		}
	}
	w.remember(head, digest, res)
}

func (x *execution) run(c Command) (any, error) {
	by := x.h.By
	if by == (By{}) {
		x.self = true
		if _, ok := c.(*Bootstrap); !ok {
			if _, ok := c.(*MemberNote); !ok {
				return nil, refuse(CodeNotGranted, "a command needs a system in whose name it is given")
			}
		}
		return c.apply(x)
	}
	caller, ok := x.cat.caller(by.System, by.Credential, x.w.time)
	if !ok || by.Department != "" && by.Department != caller.Department.Code {
		return nil, refuse(CodeNotGranted, "the system or its credential does not stand")
	}
	x.caller = caller
	return c.apply(x)
}

// may refuses a caller without the right.
func (x *execution) may(noun, verb string, owners ...string) error {
	if x.self {
		return nil
	}
	return denied(policy.May(x.caller, noun, verb, owners...))
}

func refuse(code, format string, args ...any) error {
	return &Refusal{Code: code, Detail: fmt.Sprintf(format, args...)}
}

// denied turns a refusal of policy or disclosure into one of state.
func denied(err error) error {
	if err == nil {
		return nil
	}
	r := &Refusal{Code: CodeInvalid, Detail: err.Error()}
	switch {
	case errors.Is(err, policy.ErrUnauthenticated), errors.Is(err, policy.ErrNotGranted), errors.Is(err, disclosure.ErrNotGranted):
		r.Code = CodeNotGranted
	case errors.Is(err, policy.ErrTransition), errors.Is(err, disclosure.ErrTransition):
		r.Code = CodeConflict
	}
	if d, ok := policy.Explain(err); ok {
		r.Detail, r.DetailZh, r.Reason = d.En, d.Zh, d.Reason
	} else if d := (*disclosure.Denial)(nil); errors.As(err, &d) {
		r.Detail, r.DetailZh, r.Reason = d.En, d.Zh, d.Reason
	}
	return r
}

// precondition compares the revision a caller read with the one there is.
func precondition(want *uint64, exists bool, have uint64) error {
	switch {
	case want == nil && exists:
		return refuse(CodePreconditionRequired, "the object exists, name the revision that was read (now %d)", have)
	case want == nil:
		return nil
	case exists && *want != have:
		return refuse(CodeRevisionConflict, "the revision is %d by now", have)
	case !exists && *want != 0:
		return refuse(CodeRevisionConflict, "the object does not exist any more")
	}
	return nil
}

// name refuses what cannot stand in keys.
func name(member, v string) error {
	if v == "" || len(v) > 128 {
		return refuse(CodeMalformed, "%s must have 1 to 128 bytes", member)
	}
	for i := range len(v) {
		if c := v[i]; c <= ' ' || c == '/' || c == '|' || c == 0x7f {
			return refuse(CodeMalformed, "%s holds a character that names must not have", member)
		}
	}
	return nil
}

// store writes a catalogue object.
func (x *execution) store(kind byte, name string, object any) {
	b, err := json.Marshal(object)
	if err != nil {
		x.w.fail(fmt.Errorf("store %c %s: %w", kind, name, err))
		return
	}
	x.w.set(catalogueKey(kind, name), b)
}

// leaf leaves evidence of the command: the digest is that of the object's JSON.
func (x *execution) leaf(l audit.Leaf, object any, subjects ...Subject) {
	if !x.self {
		l.Systems = []string{x.caller.System.FullName()}
	}
	if object != nil {
		b, isText := object.(json.RawMessage) // a text kept byte for byte
		if !isText {
			var err error
			b, err = json.Marshal(object)
			x.w.fail(err)
		}
		l.Digest = sha256.Sum256(b)
	}
	l.Outcome, l.Salt = audit.OutcomeOK, salt(x.secret, x.leaves)
	i := x.w.leaf(l, subjects...)
	if x.leaves == 0 {
		x.first = i
	}
	x.leaves++
}

// equal says whether two objects have the same JSON.
func equal(a, b any) bool {
	x, err1 := json.Marshal(a)
	y, err2 := json.Marshal(b)
	return err1 == nil && err2 == nil && string(x) == string(y)
}

// contentDigest is what a repeated request id must bring again: everything of a
// command but its request id, when it was asked, the credential it came with,
// and the hash of an issued secret, which a repeat draws anew.
func contentDigest(c Command) ([32]byte, error) {
	h := c.head()
	kept := *h
	*h = Head{Type: kept.Type, V: kept.V}
	issue, issues := c.(*CredentialIssue)
	hash := ""
	if issues {
		hash, issue.Object.Hash = issue.Object.Hash, ""
	}
	b, err := json.Marshal(c)
	*h = kept
	if issues {
		issue.Object.Hash = hash
	}
	if err != nil {
		return [32]byte{}, fmt.Errorf("digest of command %s: %w", kept.Type, err)
	}
	return sha256.Sum256(b), nil
}

// remembered answers a command whose request id was answered before: with the
// first answer, or with a conflict when the content is another.
func (w *work) remembered(h *Head, digest [32]byte, res *Result) bool {
	b, ok := w.get(requestKey(h.By.System, h.Request))
	if !ok {
		return false
	}
	r := reader{b: b}
	at, first := r.int(), r.hash()
	if at <= w.time-requestMs {
		return false // expired, not yet removed
	}
	code, detail, zh, reason := r.text(), r.text(), r.text(), r.text()
	answer := r.bytes()
	leaf, has := r.uint(), r.byte() == 1
	w.fail(r.done("remembered request"))
	switch {
	case first != digest:
		res.Err = &Refusal{
			Code: CodeConflict, Reason: ReasonRequestReused, Detail: "the idempotency key was used for another request",
			DetailZh: "同一幂等键(Idempotency-Key)已用于另一请求",
		}
	case code != "":
		res.Err = &Refusal{Code: code, Detail: detail, DetailZh: zh, Reason: reason}
	default:
		res.Code, res.Answer = Applied, append([]byte(nil), answer...)
		res.Leaf, res.HasLeaf = leaf, has
	}
	return true
}

// remember keeps the answer to a command for requestMs.
func (w *work) remember(h *Head, digest [32]byte, res *Result) {
	var b writer
	b.int(w.time)
	b.hash(digest)
	var r Refusal
	if res.Err != nil {
		r = *res.Err
	}
	b.text(r.Code)
	b.text(r.Detail)
	b.text(r.DetailZh)
	b.text(r.Reason)
	b.bytes(res.Answer)
	b.uint(res.Leaf)
	if res.HasLeaf {
		b.byte(1)
	} else {
		b.byte(0)
	}
	w.set(requestKey(h.By.System, h.Request), b.b)
	w.set(requestedKey(w.time, h.By.System, h.Request), nil)
}

// forget removes remembered requests that are too old.
func (w *work) forget() {
	var keys [][]byte
	until := max(0, w.time-requestMs+1)
	if until <= w.forgotten {
		return
	}
	it := w.batch.NewIter(requestedKey(w.forgotten, "", "")[:9], requestedKey(until, "", "")[:9])
	for ok := it.First(); ok && len(keys) < maxForgotten; ok = it.Next() {
		keys = append(keys, append([]byte(nil), it.Key()...))
	}
	w.fail(it.Close())
	if len(keys) < maxForgotten {
		w.forgotten = until
	}
	for _, k := range keys {
		w.del(k)
		at := int64(binary.BigEndian.Uint64(k[1:]))
		system, request, ok := store.CutName(k[9:])
		if !ok {
			w.fail(corrupt("remembered request", ""))
			return
		}
		key := requestKey(system, string(request))
		if b, ok := w.get(key); ok { // a newer answer may stand under the same id
			if r := (reader{b: b}); r.int() == at {
				w.del(key)
			}
		}
	}
}
