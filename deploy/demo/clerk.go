package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// clerks play the handling units: each reads the motions that its receiver
// wrote, answers those that are its business, and puts the answers into the
// folder that its adapter reads. They stop with ctx; wait returns when they have.
func (d *demo) clerks(ctx context.Context) {
	for _, dept := range handlers {
		d.work.Add(1)
		// Stops when ctx ends.
		go func() {
			defer d.work.Done()
			d.clerk(ctx, dept)
		}()
	}
}

// clerk answers until ctx ends.
func (d *demo) clerk(ctx context.Context, dept string) {
	var at int64
	files := 0
	err := until(ctx, 250*time.Millisecond, func() (bool, error) {
		motions, next, err := readReceived(d.receivedFile(dept, "motions.motion"), at)
		if err != nil {
			return false, err
		}
		var replies []item
		for _, m := range motions {
			if b := reply(dept, m.Key, m.Data); b != nil {
				replies = append(replies, item{dept: dept, body: b})
			}
		}
		at = next
		if len(replies) == 0 {
			return false, nil
		}
		files++
		return false, drop(d.department(dept, "replies"), fmt.Sprintf("办复%03d.ndjson", files), lines(replies, replyColumns, asIs))
	})
	if err != nil && ctx.Err() == nil {
		fmt.Fprintf(os.Stderr, "demo: clerk of %s: %v\n", filepath.Base(d.department(dept)), err)
	}
}
