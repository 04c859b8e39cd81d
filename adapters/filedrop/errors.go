package filedrop

import (
	"errors"
	"fmt"
)

var (
	// ErrInUse is returned when another process reads the same drop folder.
	ErrInUse = errors.New("drop folder is in use by another adapter")
	// ErrUnfinished is returned inside the package when a file is still being written.
	errUnfinished = errors.New("file is still being written")
)

// refusal is why a file is refused whole. It is an answer to the department, not a failure of the program.
type refusal struct {
	rule   string
	zh, en string
}

// Error implements error.
func (r *refusal) Error() string { return r.en }

func refuse(rule, zh, en string, args ...any) *refusal {
	return &refusal{rule: rule, zh: fmt.Sprintf(zh, args...), en: fmt.Sprintf(en, args...)}
}
