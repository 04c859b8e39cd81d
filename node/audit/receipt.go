package audit

import (
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/hutong-bus/hutong/node/tlog"
)

// receiptHeader is the first line of a receipt. No checkpoint and no cosigned message begins with it, so that a
// node's key cannot be made to sign one for the other.
const receiptHeader = "hutong-receipt/1"

// Receipt says that one record was accepted. As text it repeats leaf hash and commitment, so that it stands alone.
// Key and ID are in clear: it is for the publisher, who sent them.
type Receipt struct {
	Log        string    // name of the log, long
	Leaf       uint64    // index of the acceptance leaf
	LeafHash   tlog.Hash // RFC 6962 hash of that leaf
	Ordinal    int       // place of the record within the leaf, from 0
	Resource   string
	Key        string
	ID         string
	Offset     uint64
	Version    uint64
	Commitment tlog.Hash // of the body, salted
	Epoch      uint64    // cluster epoch
	At         int64     // log time of the acceptance, Unix milliseconds
}

// ReceiptText is the text of a receipt: one "name value" a line, in fixed order, ready to be signed with
// tlog.SignNote by the answering node. It returns ErrReceipt if a value cannot stand on a line.
func ReceiptText(r Receipt) (string, error) {
	var b strings.Builder
	b.WriteString(receiptHeader + "\n")
	for _, line := range [][2]string{
		{"log", r.Log},
		{"leaf", strconv.FormatUint(r.Leaf, 10)},
		{"leaf-hash", hex.EncodeToString(r.LeafHash[:])},
		{"ordinal", strconv.Itoa(r.Ordinal)},
		{"resource", r.Resource},
		{"key", r.Key},
		{"id", r.ID},
		{"offset", strconv.FormatUint(r.Offset, 10)},
		{"version", strconv.FormatUint(r.Version, 10)},
		{"commitment", hex.EncodeToString(r.Commitment[:])},
		{"epoch", strconv.FormatUint(r.Epoch, 10)},
		{"at", strconv.FormatInt(r.At, 10)},
	} {
		bad := func(c rune) bool { return unicode.IsControl(c) }
		if line[1] == "" || !utf8.ValidString(line[1]) || strings.IndexFunc(line[1], bad) >= 0 {
			return "", fmt.Errorf("receipt: %s cannot stand on a line: %w", line[0], ErrReceipt)
		}
		b.WriteString(line[0] + " " + line[1] + "\n")
	}
	return b.String(), nil
}

// ParseReceipt reads exactly what ReceiptText writes. It returns ErrReceipt for anything else.
func ParseReceipt(text string) (Receipt, error) {
	rest, ok := strings.CutPrefix(text, receiptHeader+"\n")
	if !ok {
		return Receipt{}, fmt.Errorf("receipt: first line is not %s: %w", receiptHeader, ErrReceipt)
	}
	value := func(name string) string {
		line, after, _ := strings.Cut(rest, "\n")
		rest = after
		v, _ := strings.CutPrefix(line, name+" ")
		return v
	}
	number := func(name string) uint64 {
		n, _ := strconv.ParseUint(value(name), 10, 64) // what is no number is written differently again below
		return n
	}
	var r Receipt
	r.Log, r.Leaf = value("log"), number("leaf")
	hash, ok1 := hexHash(value("leaf-hash"))
	r.LeafHash, r.Ordinal = hash, int(number("ordinal"))
	r.Resource, r.Key, r.ID = value("resource"), value("key"), value("id")
	r.Offset, r.Version = number("offset"), number("version")
	hash, ok2 := hexHash(value("commitment"))
	r.Commitment, r.Epoch, r.At = hash, number("epoch"), int64(number("at"))
	again, err := ReceiptText(r)
	if err != nil || !ok1 || !ok2 || again != text {
		return Receipt{}, fmt.Errorf("receipt: not in the one form: %w", ErrReceipt)
	}
	return r, nil
}

// OpenReceipt opens a signed receipt with the node keys of a trust file and says which nodes signed. It returns
// ErrReceipt if no trusted node did or the text is no receipt, tlog.ErrTrust for a bad trust file.
func OpenReceipt(msg []byte, trust tlog.Trust) (r Receipt, nodes []string, err error) {
	text, nodes, err := trust.OpenSigned(msg)
	if err != nil {
		return Receipt{}, nil, fmt.Errorf("open receipt: %w: %w", ErrReceipt, err)
	}
	r, err = ParseReceipt(text)
	return r, nodes, err
}
