package checkpoint

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/hutong-bus/hutong/node/tlog"
)

// Cosign adds this node's cosignature to a checkpoint signed by the log, after it has written down that it did. The
// same head may be cosigned again. It returns ErrUnsigned, ErrBehind, ErrOlder, ErrInconsistent, or an error of the
// file system; then nothing was signed.
func (r *Room) Cosign(msg []byte) ([]byte, error) {
	n, err := tlog.OpenNote(msg, r.logKey)
	if err != nil {
		return nil, fmt.Errorf("cosign: %w: %w", ErrUnsigned, err)
	}
	c, err := tlog.ParseCheckpoint(n.Text)
	if err != nil || c.Origin != r.cfg.Log || c.Size == 0 {
		return nil, fmt.Errorf("cosign: %w", ErrUnsigned)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.mayCosign(c); err != nil {
		return nil, fmt.Errorf("cosign %d leaves: %w", c.Size, err)
	}
	if c != r.cosigned {
		if err := writeFile(filepath.Join(r.cfg.Dir, cosignedFile), []byte(c.Encode())); err != nil {
			return nil, fmt.Errorf("cosign %d leaves: %w", c.Size, err)
		}
		r.cosigned = c
	}
	signed, err := tlog.AddSignatures(msg, r.set.NodeKey.Cosigner(r.set.Now().Unix()))
	if err != nil {
		return nil, fmt.Errorf("cosign %d leaves: %w", c.Size, err)
	}
	return signed, nil
}

// Followers hear of a commit a moment after the leader: so a node that is behind looks again every catchUpStep until
// catchUp has passed, less than what the leader waits.
const (
	catchUp     = 300 * time.Millisecond
	catchUpStep = 20 * time.Millisecond
)

// cosignSoon is Cosign for the leader's question.
func (r *Room) cosignSoon(ctx context.Context, msg []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, catchUp, ErrBehind)
	defer cancel()
	step := time.NewTicker(catchUpStep)
	defer step.Stop()
	for {
		signed, err := r.Cosign(msg)
		if !errors.Is(err, ErrBehind) {
			return signed, err
		}
		select {
		case <-ctx.Done():
			return nil, err
		case <-step.C:
		}
	}
}

// mayCosign is the rule of the room. r.mu is held.
func (r *Room) mayCosign(c tlog.Checkpoint) error {
	if c.Size < r.cosigned.Size {
		return fmt.Errorf("%d leaves: %w", r.cosigned.Size, ErrOlder)
	}
	if err := r.own(c); err != nil {
		return err
	}
	if r.cosigned.Size == 0 {
		return nil
	}
	// Both heads are prefixes of one tree, the own one: that is consistency.
	return r.own(r.cosigned)
}

// own checks a head against the node's own state.
func (r *Room) own(c tlog.Checkpoint) error {
	root, err := r.set.Tree.RootAt(c.Size)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrBehind, err)
	}
	if root != c.Root {
		return fmt.Errorf("%d leaves: %w", c.Size, ErrInconsistent)
	}
	return nil
}

// writeFile replaces a file so that after a crash either the old or the new content is there: written beside it,
// fsynced, renamed, folder fsynced.
func writeFile(path string, content []byte) (err error) {
	f, err := os.OpenFile(path+".tmp", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, werr := f.Write(content)
	if err := errors.Join(werr, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(path+".tmp", path); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
