package feed

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/hutong-bus/hutong/schemas"
)

// Bounds of one document.
const (
	MaxEntries       = 1000    // entries given for one document
	MaxDocumentBytes = 8 << 20 // beyond it the oldest entries are left out
)

// Formats of a document, as they stand in its address.
const (
	FormatAtom = "atom"
	FormatJSON = "json"
)

// Media types of the documents.
const (
	MediaAtom = "application/atom+xml; charset=utf-8"
	MediaJSON = "application/feed+json; charset=utf-8"
)

// Config is what the documents of one resource are made of beside its records.
type Config struct {
	Resource  schemas.Resource     // title, summary, feed templates, revision
	Labels    []schemas.Annotation // titles of the fields, by path
	OwnerName string               // name of the department that answers for the resource
	// Authority and Date begin every id (RFC 4151): a DNS name or mail address that
	// the operator held on that date (YYYY, YYYY-MM or YYYY-MM-DD). They MUST never
	// change, or readers take every entry for a new one.
	Authority, Date string
	// Base is the portal's address, such as https://gk.example.cn; empty: links are
	// relative.
	Base string
}

// Entry is one record on the feed, or the tombstone of one.
type Entry struct {
	Seq            uint64 // place in the feed's own sequence, rises with every change; material of the ETag
	ID             string // id of its publication: the same for a key for ever, and tells nothing of it (the portal may have the key only masked)
	Version        uint64 // version of the key that is shown
	Department     string // code of the publishing department
	DepartmentName string // its name
	Published      int64  // ms: when the key was first published
	Updated        int64  // ms: when this version was published, or withdrawn
	Deleted        bool   // a tombstone; Data is not looked at
	Data           []byte // portal projection in compact form
}

// Document is one feed ready to be served.
type Document struct {
	Body      []byte
	MediaType string
	ETag      string // strong, quotation marks included
	Updated   int64  // ms: newest Updated of its entries, 0 without any
	Entries   int    // entries and tombstones in it
	Fallbacks int    // entries that show the generated list because their template failed
}

// Builder makes the documents of one resource.
type Builder struct {
	c         Config
	base      *url.URL
	labels    labels
	templates templates
	refused   bool     // one of the templates may not be used: every entry falls back there
	digest    [32]byte // of the Config
}

var (
	authorityForm = regexp.MustCompile(`^([A-Za-z0-9._-]+@)?[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?$`)
	dateForm      = regexp.MustCompile(`^\d{4}(-\d{2}(-\d{2})?)?$`)
)

// New makes a Builder. It returns ErrConfig. A template that Check would refuse
// (put in before Check knew of it) is no error: what it would have made falls back
// in every entry, and the feed goes on.
func New(c Config) (*Builder, error) {
	b := &Builder{c: c, labels: labelsOf(c.Labels)}
	if !authorityForm.MatchString(c.Authority) || !dateForm.MatchString(c.Date) {
		return nil, fmt.Errorf("%w: ids need the tag authority of RFC 4151 and its date", ErrConfig)
	}
	if c.Base != "" {
		u, err := url.Parse(strings.TrimSuffix(c.Base, "/"))
		if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			return nil, fmt.Errorf("%w: base is not an http(s) address", ErrConfig)
		}
		b.base = u
	}
	var err error
	b.templates, err = compile(c.Resource.Feed, b.labels)
	b.refused = err != nil
	material, err := json.Marshal(c)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrConfig, err)
	}
	b.digest = sha256.Sum256(material)
	return b, nil
}

// EntryID is the tag URI of the entry of a publication. It depends on nothing that
// can change, and no key stands in it.
func (b *Builder) EntryID(publication string) string {
	return b.tag("record/" + b.c.Resource.Resource + "/" + url.PathEscape(publication))
}

func (b *Builder) tag(specific string) string {
	return "tag:" + b.c.Authority + "," + b.c.Date + ":" + specific
}

// ETag is the entity tag of the document in the format over these entries,
// without writing it. It is made of the configuration, sequence numbers, versions
// and times: no body or key goes into it.
func (b *Builder) ETag(format string, entries []Entry) string {
	h := sha256.New()
	fmt.Fprintf(h, "hutong/feed/1\n%s\n%x\n", format, b.digest)
	for _, e := range entries {
		fmt.Fprintf(h, "%d %d %d %t\n", e.Seq, e.Version, e.Updated, e.Deleted)
	}
	return `"` + hex.EncodeToString(h.Sum(nil)[:16]) + `"`
}

// item is one entry rendered, the same for both formats.
type item struct {
	Entry
	id, title, summary, link, body string // all plain text but body, which is XHTML
	fallback                       bool
}

// document renders entries, newest first, until the document would grow too long.
func (b *Builder) document(format string, entries []Entry) (Document, []item, error) {
	if len(entries) > MaxEntries {
		return Document{}, nil, fmt.Errorf("%w: %d", ErrTooMany, len(entries))
	}
	d := Document{ETag: b.ETag(format, entries)}
	items := make([]item, 0, len(entries))
	size, units := 0, documentUnits
	for _, e := range entries {
		d.Updated = max(d.Updated, e.Updated)
		m := meter{left: min(entryUnits, units)}
		given := m.left
		it := b.render(e, &m)
		units -= given - m.left
		size += len(it.body) + len(it.summary) + 1024
		if size > MaxDocumentBytes && len(items) > 0 {
			break
		}
		if it.fallback {
			d.Fallbacks++
		}
		items = append(items, it)
	}
	d.Entries = len(items)
	return d, items, nil
}

// address is an address below the portal's.
func (b *Builder) address(path string) string {
	if b.base == nil {
		return path
	}
	return b.base.String() + path
}

func (b *Builder) documentPath(format string) string {
	return "/feeds/" + url.PathEscape(b.c.Resource.Resource) + "." + format
}

func (b *Builder) title() string {
	if t := b.c.Resource.Title; t.Zh != "" {
		return t.Zh
	}
	return b.c.Resource.Resource
}

// stamp writes log time (ms) as RFC 3339 in UTC.
func stamp(ms int64) string { return time.UnixMilli(ms).UTC().Format("2006-01-02T15:04:05.000Z07:00") }
