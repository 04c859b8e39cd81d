package exchange

import (
	"fmt"
	"strings"

	"github.com/hutong-bus/hutong/node/api"
	"github.com/hutong-bus/hutong/node/feed"
	"github.com/hutong-bus/hutong/node/state"
	"github.com/hutong-bus/hutong/node/tlog"
)

// Feed is the public document of a resource in one of feed's formats. It goes
// on without a leader: what was published stays published (invariant 5).
func (s *Service) Feed(resource, format string) (feed.Document, error) {
	v, err := s.machine.View()
	if err != nil {
		return feed.Document{}, problem(err)
	}
	defer v.Close()
	r, _, ok := v.Resource(resource)
	if !ok || r.Disclosure.Route == "none" || format != feed.FormatAtom && format != feed.FormatJSON {
		return feed.Document{}, api.Refuse(api.CodeNotFound, "没有这个订阅源 / no such feed; feeds are /feeds/RESOURCE.atom and .json of resources with a disclosure route")
	}
	authority := s.config.FeedAuthority
	if authority == "" {
		authority, _, _ = strings.Cut(v.Log(), "/")
	}
	config := feed.Config{Resource: r, Authority: authority, Date: s.config.FeedDate, Base: s.config.PublicOrigin}
	if schema, err := s.schema(v, resource, r.SchemaVersion); err == nil {
		config.Labels = schema.Annotations()
	}
	if d, ok := v.Department(r.Owner); ok {
		config.OwnerName = d.Name
	}
	b, err := feed.New(config)
	if err != nil {
		return feed.Document{}, api.Internal(fmt.Errorf("feed of %s: %w", resource, err))
	}
	entries, err := s.feedEntries(v, resource)
	if err != nil {
		return feed.Document{}, err
	}
	var doc feed.Document
	if format == feed.FormatAtom {
		doc, err = b.Atom(entries)
	} else {
		doc, err = b.JSON(entries)
	}
	if err != nil {
		return feed.Document{}, api.Internal(fmt.Errorf("feed of %s: %w", resource, err))
	}
	return doc, nil
}

// feedScanned bounds the changes looked at for each entry of a feed: a key that
// was published a million times must not make anybody's request as long.
const feedScanned = 50

// feedEntries are the newest entries of a feed, one for each key, newest
// first. Each is projected for the portal now.
func (s *Service) feedEntries(v *state.View, resource string) ([]feed.Entry, error) {
	var out []feed.Entry
	seen := map[string]bool{}
	before := ^uint64(0)
	for looked := 0; len(out) < s.config.FeedEntries && looked < feedScanned*s.config.FeedEntries; {
		tail, err := v.FeedTail(resource, before, s.config.FeedEntries)
		if err != nil {
			return nil, problem(err)
		}
		if len(tail) == 0 {
			return out, nil
		}
		looked += len(tail)
		for _, e := range tail {
			before = e.Seq
			if seen[e.Key] || len(out) == s.config.FeedEntries {
				continue
			}
			seen[e.Key] = true
			entry, err := s.feedEntry(v, resource, e)
			if err != nil {
				return nil, err
			}
			out = append(out, entry)
		}
	}
	return out, nil
}

func (s *Service) feedEntry(v *state.View, resource string, e state.FeedEntry) (feed.Entry, error) {
	out := feed.Entry{Seq: e.Seq, ID: e.Publication, Version: e.Version, Published: e.At, Updated: e.At, Deleted: e.Tombstone}
	stored, err := v.RecordAt(resource, e.Offset)
	if err != nil {
		return out, problem(err)
	}
	out.Department = stored.Department
	if d, ok := v.Department(stored.Department); ok {
		out.DepartmentName = d.Name
	}
	if e.Tombstone {
		return out, nil
	}
	decided := false
	if p, ok, err := v.Publication(e.Publication); err != nil {
		return out, problem(err)
	} else if ok {
		decided = p.Decided
	}
	out.Data, err = s.portal(v, &stored, decided)
	return out, err
}

// Checkpoint is the newest cosigned note. log, where given, must be the short
// name of the present log.
func (s *Service) Checkpoint(log string) ([]byte, error) {
	if err := s.presentLog(log); err != nil {
		return nil, err
	}
	note := s.checkpoints.Latest()
	if note == nil {
		return nil, api.Refuse(api.CodeNotFound, "尚无检查点,请一秒后再试 / no checkpoint was signed yet; try again in a second")
	}
	return note, nil
}

func (s *Service) presentLog(log string) error {
	v, err := s.machine.View()
	if err != nil {
		return problem(err)
	}
	defer v.Close()
	if log != "" && log != tlog.ShortLogName(v.Log()) {
		return api.Refuse(api.CodeNotFound, "这里没有该日志 / no such log here")
	}
	return nil
}

// Tile is one hash tile by its path below tile/; full ones never change.
func (s *Service) Tile(log, path string) (b []byte, full bool, err error) {
	if err := s.presentLog(log); err != nil {
		return nil, false, err
	}
	t, err := tlog.ParseTilePath("tile/" + path)
	if err != nil || strings.HasPrefix(path, "entries/") {
		return nil, false, api.Refuse(api.CodeNotFound, "没有这个瓦片 / no such tile")
	}
	v, err := s.machine.View()
	if err != nil {
		return nil, false, problem(err)
	}
	defer v.Close()
	if tlog.WidthAt(t.Level, t.Index, v.TreeSize()) < t.Width {
		return nil, false, api.Refuse(api.CodeNotFound, "日志尚未增长到该瓦片 / the log has not grown to that tile")
	}
	b, err = tlog.ReadTile(t.Level, t.Index, t.Width, v.HashReader())
	if err != nil {
		return nil, false, problem(err)
	}
	return b, t.Width == 256, nil
}
