package audit

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/hutong-bus/hutong/node/tlog"
)

// Item is one accepted record inside an acceptance leaf (FORMATS §7).
type Item struct {
	Offset        uint64    // o: offset in the resource
	Version       uint64    // v: version of its key
	Previous      uint64    // p: offset of the version before of the same key, 0 for version 1: links a chain whose keys are sealed
	Withdraw      bool      // w: the record is a withdrawal; Body then commits to its reason
	System        string    // s: publisher "<department>.<system>"
	Counter       uint64    // c: publisher's dense counter
	ID            tlog.Hash // i: commitment of the record's id
	Key           tlog.Hash // k: commitment of the key
	Body          tlog.Hash // b: commitment of the compact body, or of the reason of a withdrawal
	SchemaVersion uint32    // sv: schema version it was judged by
}

// Verdicts of a DeliveryItem.
const (
	VerdictDelivered = "delivered"
	VerdictFiltered  = "filtered"
)

// DeliveryItem is one record inside a delivery leaf.
type DeliveryItem struct {
	Offset     uint64    // o: offset in the resource
	Verdict    string    // d: VerdictDelivered or VerdictFiltered
	Projection tlog.Hash // p: commitment of the bytes handed out; zero when filtered
}

// Encode returns the bytes of the item: one JSON object without white space, members in the order of the fields.
func (i Item) Encode() []byte {
	o := newObject(320)
	o.alwaysUint("o", i.Offset)
	o.alwaysUint("v", i.Version)
	o.uint("p", i.Previous)
	if i.Withdraw {
		o.alwaysUint("w", 1)
	}
	o.alwaysString("s", i.System)
	o.alwaysUint("c", i.Counter)
	o.hash("i", i.ID)
	o.hash("k", i.Key)
	o.hash("b", i.Body)
	o.alwaysUint("sv", uint64(i.SchemaVersion))
	return o.done()
}

type itemWire struct {
	Offset        uint64 `json:"o"`
	Version       uint64 `json:"v"`
	Previous      uint64 `json:"p"`
	Withdraw      int    `json:"w"`
	System        string `json:"s"`
	Counter       uint64 `json:"c"`
	ID            string `json:"i"`
	Key           string `json:"k"`
	Body          string `json:"b"`
	SchemaVersion uint32 `json:"sv"`
}

// ParseItem reads the bytes of an item. It accepts exactly what Encode writes; anything else is ErrItem.
func ParseItem(b []byte) (Item, error) {
	if len(b) > MaxLeafBytes {
		return Item{}, fmt.Errorf("parse item of %d bytes: %w", len(b), ErrItem)
	}
	var w itemWire
	if err := json.Unmarshal(b, &w); err != nil {
		return Item{}, fmt.Errorf("parse item: not a JSON object of ours: %w", ErrItem)
	}
	id, ok1 := hexHash(w.ID)
	key, ok2 := hexHash(w.Key)
	body, ok3 := hexHash(w.Body)
	if !ok1 || !ok2 || !ok3 {
		return Item{}, fmt.Errorf("parse item: bad hex: %w", ErrItem)
	}
	i := Item{
		Offset: w.Offset, Version: w.Version, Previous: w.Previous, Withdraw: w.Withdraw == 1, System: w.System,
		Counter: w.Counter, ID: id, Key: key, Body: body, SchemaVersion: w.SchemaVersion,
	}
	if !bytes.Equal(i.Encode(), b) {
		return Item{}, fmt.Errorf("parse item: not in the frozen form: %w", ErrItem)
	}
	return i, nil
}

// Encode returns the bytes of the delivery item, members in the order of the fields.
func (d DeliveryItem) Encode() []byte {
	o := newObject(128)
	o.alwaysUint("o", d.Offset)
	o.alwaysString("d", d.Verdict)
	o.hash("p", d.Projection)
	return o.done()
}

// ParseDeliveryItem reads the bytes of a delivery item. It accepts exactly what Encode writes with one of the two
// verdicts; anything else is ErrItem.
func ParseDeliveryItem(b []byte) (DeliveryItem, error) {
	if len(b) > MaxLeafBytes {
		return DeliveryItem{}, fmt.Errorf("parse delivery item of %d bytes: %w", len(b), ErrItem)
	}
	var w struct {
		Offset     uint64 `json:"o"`
		Verdict    string `json:"d"`
		Projection string `json:"p"`
	}
	if err := json.Unmarshal(b, &w); err != nil {
		return DeliveryItem{}, fmt.Errorf("parse delivery item: not a JSON object of ours: %w", ErrItem)
	}
	p, ok := hexHash(w.Projection)
	d := DeliveryItem{Offset: w.Offset, Verdict: w.Verdict, Projection: p}
	if !ok || d.Verdict != VerdictDelivered && d.Verdict != VerdictFiltered || !bytes.Equal(d.Encode(), b) {
		return DeliveryItem{}, fmt.Errorf("parse delivery item: not in the frozen form: %w", ErrItem)
	}
	return d, nil
}
