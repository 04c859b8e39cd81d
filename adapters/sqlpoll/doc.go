// Package sqlpoll reads a table or view of a department's database by polling:
// SQLite, and PostgreSQL and what speaks its protocol.
//
// Invariant: no committed row is passed over. A sequence or a clock numbers
// rows before their transaction commits, so "greater than the last one seen"
// loses every row whose transaction commits after a later-numbered one. Rows
// are therefore read only up to a commit horizon, below which nothing can
// appear any more:
//
//   - PostgreSQL, by updated_at: the start of the oldest transaction open in
//     any session, taken before the rows are read; a transaction that wrote an
//     earlier time has ended by then, and its rows are visible.
//   - PostgreSQL, by id: the greatest id that had been seen before the start
//     of the oldest open transaction.
//   - SQLite: it has one writer at a time, so what a read transaction sees is
//     complete; rows of the same moment as the last one seen are read again.
//
// Where the horizon cannot be read (rights, a standby), an overlap is read
// again and what was sent already is found unchanged; without a configured
// overlap the source refuses to start rather than lose rows.
//
// A cursor carries the layout of the table. A column that went away or changed
// its type stops the stream with a reason; a new one is reported.
//
// Concurrency: that of adapters.Source; the package starts no goroutines.
//
// It never writes to the department's database and sees no deletions (only a
// sweep could). Rows whose updated_at is null are never read: check says so.
// Clocks of applications that write updated_at themselves, and a database
// clock set back, are outside the horizon's promise: set an overlap as wide as
// the clocks may differ.
package sqlpoll
