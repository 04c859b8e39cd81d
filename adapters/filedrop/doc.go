// Package filedrop reads files that a department drops into a folder: CSV in UTF-8 (with or without byte order mark)
// and GB18030, a JSON array, NDJSON, each also compressed with gzip. It hands refusals back as a file the clerk can
// correct and drop again.
//
//	in/        the department writes here
//	work/      a claimed file lies here until it is handed over; work/.units holds sealed copies
//	done/DATE/ files that were handed over, or had been received before
//	bad/DATE/  files that were refused whole
//	feedback/  NAME.回执.json (what became of it) and NAME.错误.EXT (rows to correct)
//
// A file is accepted when its name is final (policy rename), when NAME.done or NAME.ctl stands beside it (done), or
// when its size and time have stood still and its format closes properly (stable). It is claimed by a rename, copied
// under its SHA-256 (stage), looked at as a whole, and only then sealed: from there its rows go out, from the copy
// that nobody else writes.
//
// # Invariant
//
// Either all rows of a file are handed over, in order, each once, or none (the file is refused whole: charset cannot
// be decided, header does not match, no rows, too many refused records). A crash at any instruction resumes at the
// row after the last durable batch. The same content is never handed over twice (ledger by SHA-256). A second row
// with a key of the same file and other content is refused, because which one holds cannot be known. The error file
// holds the refused rows untouched, in the charset and format they came in; dropped again, its added columns are
// ignored.
//
// # Concurrency
//
// Next, Commit and Open belong to one goroutine; Report may run beside them. One mutex guards the units and their
// feedback files; no goroutine is started.
//
// # Never
//
// It never deletes what a department dropped, never follows a symbolic link, never guesses a charset, never logs a
// value, and needs no notification of the file system: polling is the truth.
package filedrop
