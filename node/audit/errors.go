package audit

import "errors"

// Sentinels of the package; details are wrapped around them.
var (
	// ErrLeaf is returned when bytes are not exactly those of a leaf as Encode writes it.
	ErrLeaf = errors.New("malformed leaf")
	// ErrItem is returned when bytes are not exactly those of an item or delivery item as Encode writes them.
	ErrItem = errors.New("malformed item")
	// ErrInner is returned when an inner path does not prove an item within its range leaf.
	ErrInner = errors.New("inner path does not hold")
	// ErrReceipt is returned when a receipt's text is malformed or carries no signature of a trusted node.
	ErrReceipt = errors.New("receipt does not hold")
	// ErrEvidence is returned when evidence cannot be put together from what the caller gave.
	ErrEvidence = errors.New("evidence cannot be made")
)
