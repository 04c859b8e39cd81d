package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"
)

// received is one line of a receiver's file.
type received struct {
	Offset     uint64 `json:"offset"`
	Version    uint64 `json:"version"`
	Key        string `json:"key"`
	Op         string `json:"op"`
	Department string `json:"department"`
	Data       body   `json:"data"`
}

// receivedFile is where a department's receiver writes.
func (d *demo) receivedFile(dept, resource string) string {
	return d.path("received", dept, resource+".ndjson")
}

// startReceivers runs one hutongctl for each subscription: it pulls, writes,
// and only then acknowledges.
func (d *demo) startReceivers() error {
	for _, o := range orders() {
		for _, dept := range o.systems {
			p := process{name: "receiver-" + o.subscription(dept), tier: tierReceiver, output: d.receivedFile(dept, o.resource),
				args: []string{d.program("hutongctl"), "--contexts", d.path("contexts.yaml"), "--context", dept + "." + exchangeSystem, "record", "pull", o.subscription(dept), "--ack", "--follow", "-o", "json"}}
			if err := d.sup.start(p); err != nil {
				return err
			}
		}
	}
	return nil
}

// readReceived reads a receiver's file from a position on. A line that its
// writer did not live to end is passed over, for its record came again. next is
// the position behind the last whole line.
func readReceived(name string, from int64) (out []received, next int64, err error) {
	f, err := os.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, from, nil
	}
	if err != nil {
		return nil, from, fmt.Errorf("read what was received: %w", err)
	}
	defer f.Close()
	if _, err := f.Seek(from, io.SeekStart); err != nil {
		return nil, from, fmt.Errorf("read what was received: %w", err)
	}
	r := bufio.NewReaderSize(f, 1<<16)
	for next = from; ; {
		line, err := r.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return out, next, nil
		}
		if err != nil {
			return out, next, fmt.Errorf("read what was received: %w", err)
		}
		next += int64(len(line))
		var rec received
		if json.Unmarshal(bytes.TrimSpace(line), &rec) == nil && rec.Offset > 0 {
			out = append(out, rec)
		}
	}
}

// inbox is what one receiver has, looked at for the summary.
type inbox struct {
	records int             // different offsets
	again   int             // lines whose offset was there before
	last    map[string]body // newest body of each key
	fields  map[string]bool // members seen in any body
	faults  []string        // broken promises
}

// examine holds a receiver's lines against the order that the bus promises: each
// offset for the first time in ascending order, the versions of a key one after
// another.
func examine(list []received) inbox {
	in := inbox{last: map[string]body{}, fields: map[string]bool{}}
	seen := map[uint64]bool{}
	versions := map[string]uint64{}
	var highest uint64
	for _, r := range list {
		if seen[r.Offset] {
			in.again++
			continue
		}
		seen[r.Offset] = true
		in.records++
		if r.Offset != highest+1 {
			in.faults = append(in.faults, fmt.Sprintf("offset %d follows %d", r.Offset, highest))
		}
		highest = max(highest, r.Offset)
		if r.Version != versions[r.Key]+1 {
			in.faults = append(in.faults, fmt.Sprintf("version %d of one key follows %d", r.Version, versions[r.Key]))
		}
		versions[r.Key] = r.Version
		in.last[r.Key] = r.Data
		for name := range r.Data {
			in.fields[name] = true
		}
	}
	return in
}

// tail is what has been read of one receiver's file.
type tail struct {
	at   int64
	list []received
}

// received is everything in a receiver's file; only what is new is read.
func (d *demo) received(dept, resource string) ([]received, error) {
	name := d.receivedFile(dept, resource)
	t := d.tails[name]
	more, at, err := readReceived(name, t.at)
	t.at, t.list = at, append(t.list, more...)
	d.tails[name] = t
	return t.list, err
}

// awaitReceived waits until every receiver has as many records as expected of
// its resource.
func (d *demo) awaitReceived(ctx context.Context, whole bool) error {
	want := map[string]int{}
	for _, r := range resources() {
		want[r] = d.story.expect(r, whole).records
	}
	state := ""
	ctx, cancel := context.WithTimeout(ctx, deliverWait)
	defer cancel()
	err := until(ctx, 200*time.Millisecond, func() (bool, error) {
		done := true
		state = ""
		for _, o := range orders() {
			for _, dept := range o.systems {
				list, err := d.received(dept, o.resource)
				if err != nil {
					return false, err
				}
				if got := examine(list).records; got < want[o.resource] {
					done = false
					state += fmt.Sprintf("\n  %s %s: %d / %d", dept, o.resource, got, want[o.resource])
				}
			}
		}
		return done, nil
	})
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("未在%s内送达 / not delivered within %s:%s", deliverWait, deliverWait, state)
	}
	return err
}
