package feed

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/url"
)

const (
	jsonFeedVersion = "https://jsonfeed.org/version/1.1"
	extensionAbout  = "_hutong on an item: deleted is true where the item was withdrawn, when tells the time"
)

type jsonFeed struct {
	Version     string        `json:"version"`
	Title       string        `json:"title"`
	FeedURL     string        `json:"feed_url,omitempty"`
	Description string        `json:"description,omitempty"`
	Language    string        `json:"language"`
	Authors     []jsonAuthor  `json:"authors"`
	Hutong      jsonExtension `json:"_hutong"`
	Items       []jsonItem    `json:"items"`
}

type jsonAuthor struct {
	Name string `json:"name"`
}

// jsonExtension is what Hutong adds, on the feed and on withdrawn items.
type jsonExtension struct {
	About   string `json:"about,omitempty"`
	Deleted bool   `json:"deleted,omitempty"`
	When    string `json:"when,omitempty"`
}

type jsonItem struct {
	ID          string         `json:"id"`
	URL         string         `json:"url,omitempty"`
	Title       string         `json:"title,omitempty"`
	ContentHTML string         `json:"content_html,omitempty"`
	ContentText string         `json:"content_text,omitempty"`
	Summary     string         `json:"summary,omitempty"`
	Published   string         `json:"date_published,omitempty"`
	Modified    string         `json:"date_modified"`
	Authors     []jsonAuthor   `json:"authors"`
	Tags        []string       `json:"tags,omitempty"`
	Hutong      *jsonExtension `json:"_hutong,omitempty"`
}

// JSON writes the JSON Feed document over entries, newest first; a withdrawn one
// as the package comment says. It returns ErrTooMany.
func (b *Builder) JSON(entries []Entry) (Document, error) {
	d, items, err := b.document(FormatJSON, entries)
	if err != nil {
		return Document{}, err
	}
	f := jsonFeed{
		Version: jsonFeedVersion, Title: b.title(), Description: b.c.Resource.Summary, Language: "zh-CN",
		Authors: []jsonAuthor{{b.ownerName()}}, Hutong: jsonExtension{About: extensionAbout}, Items: make([]jsonItem, 0, len(items)),
	}
	if b.base != nil {
		f.FeedURL = b.address(b.documentPath(FormatJSON))
	}
	for _, it := range items {
		f.Items = append(f.Items, b.jsonItem(it))
	}
	var body bytes.Buffer
	e := json.NewEncoder(&body)
	e.SetEscapeHTML(false)
	e.SetIndent("", " ")
	if err := e.Encode(f); err != nil {
		return Document{}, fmt.Errorf("write JSON Feed document: %w", err)
	}
	d.Body, d.MediaType = body.Bytes(), MediaJSON
	return d, nil
}

func (b *Builder) jsonItem(it item) jsonItem {
	j := jsonItem{ID: it.id, Modified: stamp(it.Updated), Authors: []jsonAuthor{{b.departmentName(it.Entry)}}}
	if it.Deleted {
		j.ContentText = withdrawnText
		j.Hutong = &jsonExtension{Deleted: true, When: stamp(it.Updated)}
		return j
	}
	j.URL, j.Title, j.Summary, j.Published = b.absolute(it.link), it.title, it.summary, stamp(it.Published)
	j.ContentHTML = it.body
	j.Tags = []string{b.title()}
	if it.DepartmentName != "" {
		j.Tags = append(j.Tags, it.DepartmentName)
	}
	return j
}

// absolute resolves a link against the portal's address, which JSON has no base
// for.
func (b *Builder) absolute(link string) string {
	if link == "" || b.base == nil {
		return link
	}
	ref, err := url.Parse(link)
	if err != nil {
		return ""
	}
	base := *b.base
	base.Path += "/"
	return base.ResolveReference(ref).String()
}
