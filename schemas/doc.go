// Package schemas says what a resource is and whether a record fits it.
//
// It owns the catalogue entry (Resource), the schema profile and its linter, the compiled
// schema with its cache, Validate with formats, checksums and code tables, the refusal
// sentences in Chinese and English, and the shared schemas embedded under catalog.
//
// It keeps invariant 4 (nothing invalid is accepted, every reason is listed) and its part of
// invariant 6: a verdict depends on the schema and the value alone, never on a clock, a random
// number, map order or the locale. No verdict carries a value of the record.
//
// A Schema and everything that it returns are safe for concurrent use and are not to be
// changed by the caller; a Cache is safe for concurrent use; the rest is pure.
//
// It never opens a file or an address that a schema names, never panics on what a stranger
// sent, and never decides who may see a field: that is node/policy, which reads Annotations.
package schemas
