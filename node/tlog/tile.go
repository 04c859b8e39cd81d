package tlog

import (
	"encoding/binary"
	"fmt"
	"strings"

	"golang.org/x/mod/sumdb/tlog"
)

// TileWidth is the number of hashes in a full tile, and of leaves in a full entry bundle (C2SP tlog-tiles).
const TileWidth = 256

// tileHeight is log₂ of TileWidth.
const tileHeight = 8

// maxTileLevel is the highest level a tree of MaxSize leaves has tiles on.
const maxTileLevel = 48 / tileHeight

// MaxEntryBytes is the greatest length of a leaf in an entry bundle.
const MaxEntryBytes = 65535

// Tile names a tile of hashes or an entry bundle. Width is less than TileWidth for the last, partial one.
type Tile struct {
	Entries bool  // entry bundle; Level is 0
	Level   int   // 0 has leaf hashes
	Index   int64 // number within the level, from 0
	Width   int   // 1 to TileWidth
}

// Path is the tile's path below the log's prefix: "tile/<L>/<N>[.p/<W>]" or "tile/entries/<N>[.p/<W>]".
func (t Tile) Path() string {
	level := t.Level
	if t.Entries {
		level = -1
	}
	rest := strings.TrimPrefix(tlog.Tile{H: tileHeight, L: level, N: t.Index, W: t.Width}.Path(), "tile/8/")
	if t.Entries {
		rest = "entries" + strings.TrimPrefix(rest, "data")
	}
	return "tile/" + rest
}

// TilePath is the path of a tile of hashes.
func TilePath(level int, index int64, width int) string {
	return Tile{Level: level, Index: index, Width: width}.Path()
}

// EntriesPath is the path of an entry bundle.
func EntriesPath(index int64, width int) string {
	return Tile{Entries: true, Index: index, Width: width}.Path()
}

// ParseTilePath reads a path below the log's prefix. It returns ErrRange for anything but what Path writes.
func ParseTilePath(path string) (Tile, error) {
	rest, ok := strings.CutPrefix(path, "tile/")
	entries := strings.HasPrefix(rest, "entries/")
	if entries {
		rest = "data" + strings.TrimPrefix(rest, "entries")
	}
	if !ok || len(path) > 64 || !entries && strings.HasPrefix(rest, "data") {
		return Tile{}, fmt.Errorf("tile path: %w", ErrRange)
	}
	t, err := tlog.ParseTilePath("tile/8/" + rest)
	if err != nil || t.L > 63 || t.N < 0 {
		return Tile{}, fmt.Errorf("tile path: %w", ErrRange)
	}
	return Tile{Entries: entries, Level: max(t.L, 0), Index: t.N, Width: t.W}, nil
}

// WidthAt is how many hashes the tile (level, index) has in a tree of size leaves: 0 if it does not exist yet,
// TileWidth if it is full. Entry bundles are as wide as tiles of level 0.
func WidthAt(level int, index int64, size uint64) int {
	if level < 0 || level > maxTileLevel || index < 0 || index > MaxSize || size > MaxSize {
		return 0
	}
	hashes := int64(size >> (tileHeight * uint(level)))
	return int(max(0, min(TileWidth, hashes-index*TileWidth)))
}

// ReadTile returns the first width hashes of the tile (level, index), read from r. The caller sees to it that the
// tree has them (WidthAt). It returns ErrRange, or the error of r.
func ReadTile(level int, index int64, width int, r HashReader) ([]byte, error) {
	if level < 0 || level > maxTileLevel || index < 0 || index > MaxSize>>(tileHeight*uint(level)) || width < 1 || width > TileWidth {
		return nil, fmt.Errorf("tile %d of level %d, width %d: %w", index, level, width, ErrRange)
	}
	return tlog.ReadTileData(tlog.Tile{H: tileHeight, L: level, N: index, W: width}, r)
}

// EncodeBundle returns the entry bundle of at most TileWidth leaves: each with its length as big-endian uint16 before
// it. It returns ErrRange for too many or too long leaves.
func EncodeBundle(leaves [][]byte) ([]byte, error) {
	if len(leaves) > TileWidth {
		return nil, fmt.Errorf("bundle of %d leaves: %w", len(leaves), ErrRange)
	}
	var b []byte
	for i, leaf := range leaves {
		if len(leaf) > MaxEntryBytes {
			return nil, fmt.Errorf("leaf %d of bundle has %d bytes: %w", i, len(leaf), ErrRange)
		}
		b = append(binary.BigEndian.AppendUint16(b, uint16(len(leaf))), leaf...)
	}
	return b, nil
}

// ParseBundle returns the leaves of an entry bundle that must have exactly width of them; they share the bundle's
// memory. It returns ErrProof for anything else.
func ParseBundle(bundle []byte, width int) ([][]byte, error) {
	if width < 1 || width > TileWidth {
		return nil, fmt.Errorf("bundle of width %d: %w", width, ErrProof)
	}
	leaves := make([][]byte, 0, width)
	for len(bundle) > 0 {
		if len(bundle) < 2 {
			return nil, fmt.Errorf("bundle ends in a length: %w", ErrProof)
		}
		n := int(binary.BigEndian.Uint16(bundle))
		if len(bundle) < 2+n || len(leaves) == width {
			return nil, fmt.Errorf("bundle is cut or has more than %d leaves: %w", width, ErrProof)
		}
		leaves = append(leaves, bundle[2:2+n:2+n])
		bundle = bundle[2+n:]
	}
	if len(leaves) != width {
		return nil, fmt.Errorf("bundle has %d leaves, not %d: %w", len(leaves), width, ErrProof)
	}
	return leaves, nil
}
