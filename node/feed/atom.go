package feed

import (
	"encoding/xml"
	"fmt"
)

// Namespaces of an Atom document.
const (
	atomSpace      = "http://www.w3.org/2005/Atom"
	tombstoneSpace = "http://purl.org/atompub/tombstones/1.0"
)

type atomFeed struct {
	XMLName   xml.Name      `xml:"feed"`
	Space     string        `xml:"xmlns,attr"`
	At        string        `xml:"xmlns:at,attr"`
	Lang      string        `xml:"xml:lang,attr"`
	Base      string        `xml:"xml:base,attr,omitempty"`
	ID        string        `xml:"id"`
	Title     string        `xml:"title"`
	Subtitle  string        `xml:"subtitle,omitempty"`
	Updated   string        `xml:"updated"`
	Author    atomPerson    `xml:"author"`
	Links     []atomLink    `xml:"link"`
	Generator string        `xml:"generator"`
	Entries   []atomEntry   `xml:"entry"`
	Deleted   []atomDeleted `xml:"at:deleted-entry"`
}

type atomEntry struct {
	ID         string         `xml:"id"`
	Title      string         `xml:"title"`
	Published  string         `xml:"published"`
	Updated    string         `xml:"updated"`
	Author     atomPerson     `xml:"author"`
	Link       *atomLink      `xml:"link"`
	Categories []atomCategory `xml:"category"`
	Summary    string         `xml:"summary,omitempty"`
	Content    atomContent    `xml:"content"`
}

type atomPerson struct {
	Name string `xml:"name"`
}

type atomLink struct {
	Rel  string `xml:"rel,attr"`
	Type string `xml:"type,attr,omitempty"`
	Href string `xml:"href,attr"`
}

type atomCategory struct {
	Term   string `xml:"term,attr"`
	Scheme string `xml:"scheme,attr"`
	Label  string `xml:"label,attr,omitempty"`
}

// atomContent holds XHTML that harmless or definitionList wrote.
type atomContent struct {
	Type string   `xml:"type,attr"`
	Div  atomBody `xml:"div"`
}

type atomBody struct {
	Space string `xml:"xmlns,attr"`
	Inner string `xml:",innerxml"`
}

// atomDeleted is at:deleted-entry of RFC 6721 §3.
type atomDeleted struct {
	Ref     string     `xml:"ref,attr"`
	When    string     `xml:"when,attr"`
	By      atomPerson `xml:"at:by"`
	Comment string     `xml:"at:comment"`
}

// withdrawnText is what both formats say of a withdrawn entry.
const withdrawnText = "本条信息已撤回 / withdrawn"

// Atom writes the Atom document over entries, newest first; a withdrawn one as
// at:deleted-entry. It returns ErrTooMany.
func (b *Builder) Atom(entries []Entry) (Document, error) {
	d, items, err := b.document(FormatAtom, entries)
	if err != nil {
		return Document{}, err
	}
	f := atomFeed{
		Space: atomSpace, At: tombstoneSpace, Lang: "zh-CN",
		ID: b.tag("feed/" + b.c.Resource.Resource), Title: b.title(), Subtitle: b.c.Resource.Summary,
		Updated: stamp(d.Updated), Author: atomPerson{b.ownerName()}, Generator: "Hutong",
		Links: []atomLink{
			{Rel: "self", Type: "application/atom+xml", Href: b.address(b.documentPath(FormatAtom))},
			{Rel: "alternate", Type: "application/feed+json", Href: b.address(b.documentPath(FormatJSON))},
		},
	}
	if b.base != nil {
		f.Base = b.base.String() + "/"
	}
	for _, it := range items {
		if it.Deleted {
			f.Deleted = append(f.Deleted, atomDeleted{Ref: it.id, When: stamp(it.Updated), By: atomPerson{b.departmentName(it.Entry)}, Comment: withdrawnText})
			continue
		}
		f.Entries = append(f.Entries, b.atomEntry(it))
	}
	body, err := xml.MarshalIndent(f, "", " ")
	if err != nil {
		return Document{}, fmt.Errorf("write Atom document: %w", err)
	}
	d.Body, d.MediaType = append([]byte(xml.Header), append(body, '\n')...), MediaAtom
	return d, nil
}

func (b *Builder) atomEntry(it item) atomEntry {
	e := atomEntry{
		ID: it.id, Title: it.title, Published: stamp(it.Published), Updated: stamp(it.Updated),
		Author: atomPerson{b.departmentName(it.Entry)}, Summary: it.summary,
		Categories: []atomCategory{{Term: b.c.Resource.Resource, Scheme: b.tag("resources"), Label: b.title()}},
		Content:    atomContent{Type: "xhtml", Div: atomBody{Space: xhtmlSpace, Inner: it.body}},
	}
	if it.link != "" {
		e.Link = &atomLink{Rel: "alternate", Href: it.link}
	}
	if it.Department != "" {
		e.Categories = append(e.Categories, atomCategory{Term: it.Department, Scheme: b.tag("departments"), Label: it.DepartmentName})
	}
	return e
}

// ownerName is never empty, because a feed must have an author (RFC 4287 §4.1.1).
func (b *Builder) ownerName() string {
	if b.c.OwnerName != "" {
		return b.c.OwnerName
	}
	if b.c.Resource.Owner != "" {
		return b.c.Resource.Owner
	}
	return b.title()
}

func (b *Builder) departmentName(e Entry) string {
	if e.DepartmentName != "" {
		return e.DepartmentName
	}
	if e.Department != "" {
		return e.Department
	}
	return b.ownerName()
}
