// Package deliver makes the batches that a subscription receives and keeps their
// books: what is handed out, what is passed over, the delivery items and their
// root, and the move of the cursor.
//
// It keeps its part of invariant 7: a batch begins where the subscription's last
// one ended, or lies within what was handed out and not acknowledged, never both;
// no byte of it leaves before its move is in the log (Pull). And of invariant 5:
// bodies leave through policy.Project only, and the right to them is asked for
// again at the moment of leaving.
//
// A record of which the recipient may have nothing, and an offset of which nothing
// is kept any more, is filtered: it is counted, has its item, and moves the cursor,
// so that ranges stay contiguous and completeness can be proved.
//
// Concurrency: Make is pure; Pull and Ack run in the caller's goroutine and hold
// nothing.
//
// It never reads or writes state itself (see Reader and Proposer), never reads a
// clock, never retries.
package deliver
