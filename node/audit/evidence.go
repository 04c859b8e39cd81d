package audit

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/hutong-bus/hutong/node/tlog"
	"github.com/hutong-bus/hutong/schemas/record"
)

// Evidence is the content of an evidence file: everything the log holds about one record (resource and key), each
// leaf with its proof to one cosigned checkpoint, and openings of what its holder may see. A Builder makes it, Write
// writes it, Read reads it, Check judges it.
type Evidence struct {
	Log        string // name of the log, long; the origin of Checkpoint
	Resource   string
	For        string // system or department the openings were chosen for
	At         int64  // log time it was made at, Unix milliseconds
	Checkpoint []byte // cosigned note; nil while there is none

	Leaves     []ProvenLeaf    // ascending by index
	Records    []RecordProof   // ascending by offset
	Deliveries []DeliveryProof // ascending by leaf and offset
	Objects    []ObjectOpening // ascending by leaf
	Receipts   [][]byte        // signed notes of nodes
}

// ProvenLeaf is a leaf as stored and its inclusion path.
type ProvenLeaf struct {
	Index   uint64
	Bytes   []byte
	Path    []tlog.Hash
	Pending bool // the leaf is younger than the checkpoint: there is no path yet
}

// RecordProof is one accepted record within its acceptance leaf, with what may be opened of it.
type RecordProof struct {
	Offset uint64
	Leaf   uint64 // index of the acceptance leaf
	Place  int    // ordinal within the leaf, from 0
	Item   []byte // bytes of the Item
	Path   []tlog.Hash
	Open   Openings
}

// DeliveryProof is one record within a delivery leaf. Where a batch can no longer be made again (its bodies are gone),
// it is left out: the leaf alone still proves the range.
type DeliveryProof struct {
	Offset     uint64
	Leaf       uint64 // index of the delivery leaf
	Place      int    // place within the batch, from 0
	Item       []byte // bytes of the DeliveryItem
	Path       []tlog.Hash
	Projection *Opening // what was handed out; nil is sealed
}

// ObjectOpening is the JSON of a catalogue object whose digest stands in a leaf: a grant, a resource.
type ObjectOpening struct {
	Leaf uint64
	JSON []byte
}

// Opening shows what a commitment commits to.
type Opening struct {
	Secret [32]byte
	Value  []byte
}

// Openings are what is opened of one record; nil members stay sealed.
type Openings struct{ Body, Key, ID *Opening }

// OpenRecord makes openings for somebody who may see these parts of a record, each under its own secret.
func OpenRecord(f Facts, body, key, id bool) Openings {
	var o Openings
	if body {
		o.Body = &Opening{Secret: f.Secret, Value: f.Body}
	}
	if key {
		o.Key = &Opening{Secret: KeySecret(f.Secret), Value: []byte(f.Key)}
	}
	if id {
		o.ID = &Opening{Secret: IDSecret(f.Secret), Value: []byte(f.ID)}
	}
	return o
}

// OpenProjection makes the opening of what a subscription received of a record.
func OpenProjection(subscription string, recordSecret [32]byte, projection []byte) *Opening {
	return &Opening{Secret: record.ProjectionSecret(recordSecret, subscription), Value: projection}
}

// Builder puts evidence together and refuses what would not verify.
type Builder struct {
	e      Evidence
	size   uint64
	hashes tlog.HashReader
	leaves map[uint64]Leaf
}

// NewBuilder begins evidence about a record of resource, to be given to forWhom, made at log time at. The checkpoint
// is the newest cosigned note (nil: every leaf is pending); hashes reads stored hashes of the same log. It returns
// ErrEvidence if the checkpoint is none or not of this log.
func NewBuilder(log, resource, forWhom string, at int64, checkpoint []byte, hashes tlog.HashReader) (*Builder, error) {
	b := &Builder{
		e:      Evidence{Log: log, Resource: resource, For: forWhom, At: at, Checkpoint: checkpoint},
		hashes: hashes, leaves: map[uint64]Leaf{},
	}
	if len(checkpoint) == 0 {
		return b, nil
	}
	text, err := tlog.NoteText(checkpoint)
	if err != nil {
		return nil, fmt.Errorf("begin evidence: %w: %w", ErrEvidence, err)
	}
	c, err := tlog.ParseCheckpoint(text)
	if err != nil || c.Origin != log {
		return nil, fmt.Errorf("begin evidence: checkpoint is not of log %q: %w", log, ErrEvidence)
	}
	b.size = c.Size
	return b, nil
}

// AddLeaf adds a leaf as stored, once, with its proof. It returns ErrLeaf, or the error of the HashReader.
func (b *Builder) AddLeaf(leaf []byte) error {
	l, err := ParseLeaf(leaf)
	if err != nil {
		return err
	}
	if _, have := b.leaves[l.I]; have {
		return nil
	}
	p := ProvenLeaf{Index: l.I, Bytes: leaf, Pending: l.I >= b.size}
	if !p.Pending {
		if p.Path, err = tlog.ProveRecord(int64(b.size), int64(l.I), b.hashes); err != nil {
			return fmt.Errorf("prove leaf %d: %w", l.I, err)
		}
	}
	b.leaves[l.I] = l
	b.e.Leaves = append(b.e.Leaves, p)
	return nil
}

// AddRecord adds items[place] of the acceptance leaf with this index, which was added before; items are all items of
// that leaf. It returns ErrEvidence if they do not give the leaf's inner root.
func (b *Builder) AddRecord(leaf uint64, items [][]byte, place int, open Openings) error {
	if err := b.checkItems(leaf, SubmissionAccepted, items, place); err != nil {
		return err
	}
	item, err := ParseItem(items[place])
	if err != nil {
		return err
	}
	b.e.Records = append(b.e.Records, RecordProof{
		Offset: item.Offset, Leaf: leaf, Place: place, Item: items[place], Path: InnerPath(items, place), Open: open,
	})
	return nil
}

// AddDelivery adds items[place] of the delivery leaf with this index, which was added before. It returns ErrEvidence
// if items do not give the leaf's inner root: the caller then leaves the item out, and the leaf speaks for the range.
func (b *Builder) AddDelivery(leaf uint64, items [][]byte, place int, projection *Opening) error {
	if err := b.checkItems(leaf, DeliveryDelivered, items, place); err != nil {
		return err
	}
	item, err := ParseDeliveryItem(items[place])
	if err != nil {
		return err
	}
	b.e.Deliveries = append(b.e.Deliveries, DeliveryProof{
		Offset: item.Offset, Leaf: leaf, Place: place, Item: items[place], Path: InnerPath(items, place), Projection: projection,
	})
	return nil
}

func (b *Builder) checkItems(leaf uint64, kind string, items [][]byte, place int) error {
	l, ok := b.leaves[leaf]
	if !ok || l.Type != kind || place < 0 || place >= len(items) {
		return fmt.Errorf("leaf %d has no such item: %w", leaf, ErrEvidence)
	}
	if InnerRoot(items) != l.Root {
		return fmt.Errorf("items of leaf %d do not give its inner root: %w", leaf, ErrEvidence)
	}
	return nil
}

// AddObject adds the JSON of the catalogue object whose digest stands in a leaf added before. It returns ErrEvidence
// if the digest is another.
func (b *Builder) AddObject(leaf uint64, json []byte) error {
	if l, ok := b.leaves[leaf]; !ok || l.Digest != Digest(json) {
		return fmt.Errorf("leaf %d does not hold the digest of this object: %w", leaf, ErrEvidence)
	}
	b.e.Objects = append(b.e.Objects, ObjectOpening{Leaf: leaf, JSON: json})
	return nil
}

// AddReceipt adds a signed receipt.
func (b *Builder) AddReceipt(note []byte) { b.e.Receipts = append(b.e.Receipts, note) }

// Evidence returns what was added, in order.
func (b *Builder) Evidence() Evidence {
	e := b.e
	e.Leaves, e.Records = slices.Clone(e.Leaves), slices.Clone(e.Records)
	e.Deliveries, e.Objects = slices.Clone(e.Deliveries), slices.Clone(e.Objects)
	e.sort()
	return e
}

func (e *Evidence) sort() {
	slices.SortFunc(e.Leaves, func(a, b ProvenLeaf) int { return compare(a.Index, b.Index) })
	slices.SortFunc(e.Records, func(a, b RecordProof) int { return compare(a.Offset, b.Offset) })
	slices.SortFunc(e.Deliveries, func(a, b DeliveryProof) int {
		if c := compare(a.Leaf, b.Leaf); c != 0 {
			return c
		}
		return compare(a.Offset, b.Offset)
	})
	slices.SortFunc(e.Objects, func(a, b ObjectOpening) int { return compare(a.Leaf, b.Leaf) })
}

func compare(a, b uint64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// holds reports whether the opening opens the commitment under tag.
func (o *Opening) holds(tag record.Tag, commitment tlog.Hash) bool {
	got := record.Commitment(tag, o.Secret, o.Value)
	return bytes.Equal(got[:], commitment[:])
}
