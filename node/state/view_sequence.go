package state

// Answered is what a sequence number of a producer was answered with.
type Answered struct {
	// Status is StatusAccepted, StatusRejected, StatusStale, StatusKeyOwned or
	// StatusNotFound.
	Status Status
	Offset uint64 // accepted: the record's
	// Quarantine is the number a rejected one was given, 0 for none; View.
	// QuarantineItem says whether it is still there.
	Quarantine uint64
	Last       uint64 // last seq taken in the epoch
}

// Answered says what a sequence number was answered with, for a node that wants
// to compare before it proposes. False when it was not taken in this epoch, or
// the epoch is not the producer's newest.
func (v *View) Answered(resource, producer string, epoch, seq uint64) (Answered, bool, error) {
	n, err := v.number(resource)
	if err != nil {
		return Answered{}, false, err
	}
	b, ok, err := optional(v.snap, producerKey(nil, n, producer))
	if err != nil || !ok {
		return Answered{}, false, err
	}
	p, err := decodeProducer(b)
	if err != nil || p.epoch != epoch || seq == 0 || seq > p.last {
		return Answered{}, false, err
	}
	r := p.open
	if seq < r.first {
		if r, err = v.finishedRun(n, producer, epoch, seq); err != nil {
			return Answered{}, false, err
		}
	}
	a := Answered{Status: r.status(), Last: p.last}
	switch {
	case r.kind == runAccepted:
		a.Offset = r.value + seq - r.first
	case r.kind == runRefused && r.value != 0:
		a.Quarantine = r.value + seq - r.first
	}
	return a, true, nil
}

// finishedRun finds the finished run that holds a taken seq.
func (v *View) finishedRun(resource uint32, producer string, epoch, seq uint64) (r run, err error) {
	it := v.snap.NewIter(runPrefix(nil, resource, producer, epoch), runKey(nil, resource, producer, epoch, seq+1))
	found := it.Last()
	if found {
		r, err = decodeRun(lastNumber(it.Key()), it.Value())
	}
	if cerr := it.Close(); err == nil {
		err = cerr
	}
	if err == nil && (!found || seq-r.first >= r.count) {
		err = corrupt("run of producer", producer)
	}
	return r, err
}
