package deploy

import (
	"errors"

	"github.com/hutong-bus/hutong/node/api"
)

// asProblem finds the problem document in an error of the client.
func asProblem(err error, p **api.Problem) bool { return errors.As(err, p) }
