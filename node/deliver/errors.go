package deliver

import "errors"

var (
	// ErrOrder is returned when the records of a batch do not ascend from where the
	// subscription stands, or lie past the end of the resource.
	ErrOrder = errors.New("records out of order")
	// ErrAhead is returned when more is acknowledged than was handed out.
	ErrAhead = errors.New("acknowledged past what was handed out")
)
