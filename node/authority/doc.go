// Package authority keeps what proves who is who: the cluster's certificate
// authorities, the certificate of each node, the client certificates of
// departments' systems, and the key files that lie beside them.
//
// Two authorities are made with a cluster: one signs nodes and their servers,
// the other signs systems. A system can therefore never pass for a node, even
// if a listener trusts the wrong one by mistake of configuration: the kind is
// also written into the certificate and checked by [VerifyNode].
//
// Invariants: a node's certificate names exactly one node id (its only DNS
// name); a private key is never readable by another user of the machine, and a
// file is either the old or the new one after a crash (written beside, synced,
// renamed, directory synced). A directory is complete if and only if it holds
// identity.json, which is written last.
//
// Concurrency: a [Keys] is immutable after [Open] and safe for concurrent use.
//
// The package never opens a connection, never logs, never reads the clock or
// the system's randomness by itself (both come in as arguments), and never
// looks into the log's origin and cosigner keys: they are opaque bytes here.
package authority
