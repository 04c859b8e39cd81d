// Package feed writes the public documents of a resource: Atom (RFC 4287, with
// the tombstones of RFC 6721) and JSON Feed 1.1, from records that were already
// projected for the portal.
//
// It keeps its part of invariant 12: what was withdrawn leaves a tombstone under
// the id it had, in both formats, so that the withdrawal reaches every reader;
// and of invariant 5: it sees portal projections only and never a record.
//
// # Templates
//
// A resource's feed templates are text/template over the projection. Every text
// of it is XML-escaped before the template sees it; "label" gives the Chinese
// title of a field by its path, and _fields is the whole projection as a
// definition list. Title, summary and link are read back as plain text; a link
// must be http(s) or relative to the portal. The body is parsed as XML and
// written anew from a list of harmless elements and attributes. Where any of this
// fails for an entry, that entry shows the generated definition list of its
// portal fields instead: a template can spoil the look of an entry, not the feed.
//
// A template cannot keep the bus busy. Check accepts only what stands on a list: a
// few functions, printf with a plain literal format, ranges over fields two deep,
// no variables but those of a range, no other templates. What it accepts runs on a
// meter of steps and bytes, for an entry and for a document, and falls back when
// that is used up; so the cost does not depend on what a record holds.
//
// # Withdrawals in JSON Feed
//
// JSON Feed has no tombstone. A withdrawn entry stays an item with the same id,
// whose text says that it was withdrawn, so that a reader which knows nothing of
// this replaces what it kept; beside it stands the extension
//
//	"_hutong": {"deleted": true, "when": "<RFC 3339>"}
//
// # Concurrency
//
// A Builder is immutable and may be used from any number of goroutines.
//
// The package never fetches anything, never reads a clock, never looks at a grant
// or a publication, and no ETag of it is made from a body or key (FORMATS §1).
package feed
