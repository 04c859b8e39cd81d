package runner

import "context"

// Bus is what the runner needs of a node. Implementations are safe for
// concurrent use; every call ends with ctx.
type Bus interface {
	// Publish sends lines (one record each, with its seq) in the producer form
	// of FORMATS §2 and returns one item a line, in their order. Without an
	// answer it is unknown what became of them, and they are sent again.
	Publish(ctx context.Context, resource, producer string, epoch uint64, lines [][]byte) ([]Item, error)
	// Schema returns the schema version of resource that this system is to use.
	Schema(ctx context.Context, resource string) (Schema, error)
}

// Item answers one line. Its Status is one of the four final ones (accepted,
// duplicate, stale, rejected) or a problem code, which consumed nothing.
type Item struct {
	Status   string
	Offset   uint64
	Version  uint64
	Leaf     string
	Expected uint64 // sequence_gap: the next number; ahead: the last known
	Errors   []Fault
	More     int // errors left out of Errors
}

// Fault is one reason of the bus.
type Fault struct {
	Pointer string `json:"pointer,omitempty"`
	Keyword string `json:"keyword,omitempty"`
	Code    string `json:"code,omitempty"`
	Message string `json:"message,omitempty"`
}

// Schema is one schema version of a resource, with the resource's key fields.
type Schema struct {
	Resource string   `json:"resource"`
	Version  uint32   `json:"version"`
	Key      []string `json:"key,omitempty"`
	Raw      []byte   `json:"raw"`
}

// Problem codes of CONTRACT §1 on which the runner decides.
const (
	codeAhead       = "ahead"
	codeFenced      = "fenced"
	codeSequenceGap = "sequence_gap"
	codeTooLarge    = "too_large"
)
