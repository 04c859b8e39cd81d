package checkpoint

import "errors"

// Sentinels of the package; details are wrapped around them.
var (
	// ErrUnsigned is returned when a note to cosign or to keep is not a checkpoint of this log signed by its key.
	ErrUnsigned = errors.New("not a checkpoint of this log")
	// ErrBehind is returned when the node's own state has not come to the size yet; asking again helps.
	ErrBehind = errors.New("own state is behind this size")
	// ErrOlder is returned when a greater size has been cosigned before.
	ErrOlder = errors.New("a greater size was cosigned before")
	// ErrInconsistent is returned when the root is not what the node's own state computes, or does not extend what
	// was cosigned before. It means divergence or a forged log, and never goes away by itself.
	ErrInconsistent = errors.New("root is not that of the own state")
	// ErrQuorum is returned when too few nodes cosigned; the newest note stays the one before.
	ErrQuorum = errors.New("too few cosignatures")
	// ErrCorrupt is returned when the file that says what was cosigned last cannot be read. The node must not cosign:
	// remove the node from the cluster and let it join anew.
	ErrCorrupt = errors.New("record of the last cosignature is damaged")
)
