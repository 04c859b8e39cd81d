package main

import (
	"context"
	"encoding/json"
	"encoding/xml"
	"fmt"
)

// portal is what one public feed shows.
type portal struct {
	shown, withdrawn int
	titles           map[string]bool
	atom             int // entries of the Atom document, tombstones apart
}

// readFeed reads a resource's feed in both forms, as the portal does: without a
// key, from the public listener.
func (d *demo) readFeed(ctx context.Context, resource string) (portal, error) {
	p := portal{titles: map[string]bool{}}
	client := d.clients[adminContext]
	raw, err := client.Public(ctx, "/feeds/"+resource+".json")
	if err != nil {
		return p, fmt.Errorf("read feed of %s: %w", resource, err)
	}
	var doc struct {
		Items []struct {
			Title  string `json:"title"`
			Hutong *struct {
				Deleted bool `json:"deleted"`
			} `json:"_hutong"`
		} `json:"items"`
	}
	if err := json.Unmarshal(raw, &doc); err != nil {
		return p, fmt.Errorf("read feed of %s: %w", resource, err)
	}
	for _, i := range doc.Items {
		if i.Hutong != nil && i.Hutong.Deleted {
			p.withdrawn++
			continue
		}
		p.shown++
		p.titles[i.Title] = true
	}
	if raw, err = client.Public(ctx, "/feeds/"+resource+".atom"); err != nil {
		return p, fmt.Errorf("read feed of %s: %w", resource, err)
	}
	var atom struct {
		Entries []struct {
			Title string `xml:"title"`
		} `xml:"http://www.w3.org/2005/Atom entry"`
	}
	if err := xml.Unmarshal(raw, &atom); err != nil {
		return p, fmt.Errorf("read feed of %s: %w", resource, err)
	}
	p.atom = len(atom.Entries)
	return p, nil
}

// expectedFeed is what must be on a feed: how many entries, their titles, and
// how many tombstones.
func (s story) expectedFeed(resource string) (shown, withdrawn int, titles map[string]bool) {
	titles = map[string]bool{}
	member := map[string]string{"org.unit": "name", "approvals.service_item": "task_name", "projects.disclosure": "title"}[resource]
	for _, dept := range departments {
		for place, it := range rightOnes(of(dept.code, s.first[resource])) {
			switch {
			case resource == "projects.disclosure" && place == returnedPlace:
			case resource == "projects.disclosure" && place == withdrawnPlace:
				withdrawn++
			default:
				shown++
				titles[fmt.Sprint(it.body[member])] = true
			}
		}
	}
	return shown, withdrawn, titles
}
