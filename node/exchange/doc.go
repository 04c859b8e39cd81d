// Package exchange is the service behind the addresses: publish, read,
// subscribe, catalogue, grants, review, trace and evidence. It judges what
// comes in (policy, schema), makes sections of it, has them replicated, and
// projects what goes out.
//
// Invariants kept here: 4 (nothing invalid is accepted: records are judged by
// the catalogue revision that their section names, and judged again where it
// has moved), 5 (every byte that leaves passes policy.Project under a grant
// valid at that moment, on a node whose state is fresh) and 12 (feeds hold
// what disclosure has published, and nothing else).
//
// # Concurrency
//
// A Service is safe for concurrent use. It starts no goroutines.
//
// The package never writes state itself: everything goes through the
// replicated log.
package exchange
