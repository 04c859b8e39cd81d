package tlog

import (
	"fmt"
	"strconv"
	"strings"
)

// Checkpoint is a tree head: the text that a log signs and cosigners confirm (C2SP tlog-checkpoint).
type Checkpoint struct {
	Origin string // name of the log, see LogName
	Size   uint64 // leaves, at most MaxSize
	Root   Hash
}

// Encode returns the text of the checkpoint: origin, size and root, each on a line. Extension lines are not used.
func (c Checkpoint) Encode() string {
	return fmt.Sprintf("%s\n%d\n%s\n", c.Origin, c.Size, c.Root)
}

// ParseCheckpoint reads exactly what Encode writes. It returns ErrCheckpoint for anything else, extension lines
// included: no statement of ours is made in them.
func ParseCheckpoint(text string) (Checkpoint, error) {
	lines := strings.Split(text, "\n")
	if len(lines) != 4 || lines[3] != "" || !validName(lines[0]) {
		return Checkpoint{}, fmt.Errorf("not three lines: %w", ErrCheckpoint)
	}
	size, err := strconv.ParseUint(lines[1], 10, 64)
	if err != nil || size > MaxSize {
		return Checkpoint{}, fmt.Errorf("size of log %q: %w", lines[0], ErrCheckpoint)
	}
	root, err := ParseHash(lines[2])
	if err != nil {
		return Checkpoint{}, fmt.Errorf("root of log %q: %w", lines[0], ErrCheckpoint)
	}
	c := Checkpoint{Origin: lines[0], Size: size, Root: root}
	if c.Encode() != text {
		return Checkpoint{}, fmt.Errorf("log %q not in the one form: %w", lines[0], ErrCheckpoint)
	}
	return c, nil
}
