package state

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/hutong-bus/hutong/node/audit"
	"github.com/hutong-bus/hutong/node/disclosure"
	"github.com/hutong-bus/hutong/schemas/record"
)

// publicationID is "p<number>".
func publicationID(number uint64) string { return "p" + strconv.FormatUint(number, 10) }

func publicationNumber(id string) (uint64, bool) {
	digits, ok := strings.CutPrefix(id, "p")
	n, err := strconv.ParseUint(digits, 10, 64)
	return n, ok && err == nil && publicationID(n) == id
}

// publicState is a publication's state in the index by state.
func publicState(state string) byte {
	switch state {
	case disclosure.Pending:
		return 'p'
	case disclosure.Published:
		return 'o' // open to the public
	case disclosure.Returned:
		return 'r'
	case disclosure.Withdrawn:
		return 'w'
	}
	return '-'
}

// disclose takes the accepted records of a section along the disclosure route
// of the resource (invariant 12). h is the resource's head, saved by the caller.
func (w *work) disclose(h *head) {
	x := &w.rec
	routed := disclosure.Routed(x.r.Resource)
	if !routed && h.publications == 0 {
		return
	}
	for n := range x.drafts {
		d := &x.drafts[n]
		rec := &x.recs[d.place]
		offset := x.first + uint64(n)
		key := publishedKey(x.h.Resource, rec.Key)
		number, old, known := w.publicationOf(key)
		var p disclosure.Publication
		var change disclosure.Change
		switch {
		case rec.Op == record.Withdraw && !known, !known && !routed:
			continue
		case rec.Op == record.Withdraw:
			p, change = disclosure.Retract(old, d.version, x.systems[rec.System].name, w.time)
		case known:
			p, change = disclosure.Edit(old, x.r.Resource, d.version)
		default:
			w.next.publication++
			number = w.next.publication
			w.set(metaKey(metaNext), w.next.encode())
			h.publications++
			p, change = disclosure.Start(publicationID(number), x.r.Resource, rec.Key, d.version)
			w.set(key, encodePair(number, 0))
		}
		w.savePublication(number, &p, old.State)
		shown := offset
		if change == disclosure.Tombstone {
			shown = w.offsetOf(x.h.Resource, old.PublishedVersion, d.version, d.back)
		}
		w.publish(h, x.h.Resource, p, old.PublishedVersion, shown, change)
		if change != disclosure.None {
			w.publicationLeaf(p, change, offset, d.version, []string{x.systems[rec.System].name}, "", salt(x.h.Secret, n+1))
		}
	}
}

// publicationOf reads the publication of a key.
func (w *work) publicationOf(key []byte) (uint64, disclosure.Publication, bool) {
	b, ok := w.get(key)
	if !ok {
		return 0, disclosure.Publication{}, false
	}
	number, _, err := decodePair(b, "publication of a key")
	w.fail(err)
	p, ok := w.publication(number)
	return number, p, ok
}

func (w *work) publication(number uint64) (p disclosure.Publication, ok bool) {
	b, ok := w.get(publicationKey(number))
	if !ok {
		return p, false
	}
	if err := json.Unmarshal(b, &p); err != nil {
		w.fail(fmt.Errorf("publication %d: %w: %w", number, ErrCorrupt, err))
		return p, false
	}
	return p, true
}

// savePublication stores a publication under its next revision and moves it in
// the index by state.
func (w *work) savePublication(number uint64, p *disclosure.Publication, oldState string) {
	p.Revision++
	b, err := json.Marshal(p)
	if err != nil {
		w.fail(fmt.Errorf("publication %d: %w", number, err))
		return
	}
	w.set(publicationKey(number), b)
	if p.State == oldState {
		return
	}
	if oldState != "" {
		w.del(publicStateKey(publicState(oldState), number))
	}
	w.set(publicStateKey(publicState(p.State), number), nil)
}

// publish adds to the public feed what a change makes public or takes away.
// offset is that of the version shown, or shown until now.
func (w *work) publish(h *head, resource uint32, p disclosure.Publication, was, offset uint64, change disclosure.Change) {
	if change == disclosure.None {
		return
	}
	h.feed++
	e := FeedEntry{Key: p.Key, Version: p.PublishedVersion, Offset: offset, At: w.time, Publication: p.ID}
	if change == disclosure.Tombstone {
		e.Tombstone, e.Version = true, was
	}
	w.set(feedKey(resource, h.feed), e.encode())
}

// publicationLeaf leaves evidence of a change of a publication.
func (w *work) publicationLeaf(p disclosure.Publication, change disclosure.Change, offset, version uint64, by []string, action string, salt []byte) uint64 {
	l := audit.Leaf{
		Type: publicationType(change, action), Resource: p.Resource, Systems: by, Offset: offset, Version: version,
		Object: p.ID, Step: p.State, Revision: p.Revision, Outcome: audit.OutcomeOK, Salt: salt,
	}
	return w.leaf(l, Subject{SubjectPublication, p.ID}, Subject{SubjectResource, p.Resource})
}

func publicationType(change disclosure.Change, action string) string {
	switch {
	case change == disclosure.Publish:
		return audit.PublicationPublished
	case change == disclosure.Tombstone || action == disclosure.Withdraw:
		return audit.PublicationWithdrawn
	case action == disclosure.Return:
		return audit.PublicationReturned
	}
	return audit.PublicationApproved
}

// offsetOf walks a key's versions back from (version, back: the offset of the
// one before) to the wanted version and gives its offset, 0 when it is not
// among them.
func (w *work) offsetOf(resource uint32, wanted, version, back uint64) uint64 {
	for version > wanted && back != 0 && w.err == nil {
		version--
		if version == wanted {
			return back
		}
		row, _, _ := w.stored(resource, back)
		if row == nil {
			return 0
		}
		back = row.Previous
	}
	return 0
}
