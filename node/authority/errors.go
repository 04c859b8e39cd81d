package authority

import "errors"

var (
	// ErrExists is returned when a directory already holds a node's identity.
	ErrExists = errors.New("authority: this directory already belongs to a node")
	// ErrIncomplete is returned when a directory holds no complete identity.
	ErrIncomplete = errors.New("authority: no complete identity here: run hutongd init first")
	// ErrLoose is returned when a private key file may be read by others (its mode is not 0600).
	ErrLoose = errors.New("authority: private key file is readable by others: set its mode to 0600")
	// ErrName is returned when a node id, cluster id or system name is malformed.
	ErrName = errors.New("authority: malformed name")
	// ErrMismatch is returned when a certificate, its key, its authority and its name do not belong together.
	ErrMismatch = errors.New("authority: certificate, key and name do not belong together")
	// ErrNotNode is returned when a certificate is not that of a node of this cluster.
	ErrNotNode = errors.New("authority: not a certificate of a node of this cluster")
	// ErrNotSystem is returned when a certificate is not that of a department's system of this cluster.
	ErrNotSystem = errors.New("authority: not a certificate of a system of this cluster")
	// ErrBundle is returned when a join bundle is malformed, of an unknown version or inconsistent.
	ErrBundle = errors.New("authority: not a usable join bundle")
	// ErrAlgorithm is returned when a key algorithm is not offered.
	ErrAlgorithm = errors.New("authority: key algorithm is not offered")
)
