package exchange

import (
	"context"
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"github.com/hutong-bus/hutong/node/api"
	"github.com/hutong-bus/hutong/node/audit"
	"github.com/hutong-bus/hutong/node/policy"
	"github.com/hutong-bus/hutong/node/state"
	"github.com/hutong-bus/hutong/schemas/record"
)

// Bounds of one page of quarantine: items are read in runs, for each may hold
// 64 KiB.
const (
	quarantineRun    = 50
	quarantineLooked = 5000
)

// Quarantine lists the refused records of the caller's department, or of all
// departments for administrators and auditors, by system and number, and names
// the one after which to go on; nothing when there are no more.
func (s *Service) Quarantine(_ context.Context, c policy.Caller, in ListRequest) ([]api.QuarantineItem, string, error) {
	system, number := "", uint64(0)
	if in.After != "" {
		var err error
		if system, number, err = quarantineID(in.After); err != nil {
			return nil, "", err
		}
	}
	v, err := s.view()
	if err != nil {
		return nil, "", err
	}
	defer v.Close()
	p := quarantinePage{s: s, v: v, c: c, in: in, out: []api.QuarantineItem{}}
	for _, sys := range v.Systems() {
		name := sys.FullName()
		if name < system || policy.May(c, "quarantine", "list", sys.Department) != nil {
			continue
		}
		if name != system {
			number = 0
		}
		if full, err := p.system(name, number); full || err != nil {
			return p.out, p.last, err
		}
	}
	return p.out, "", nil
}

// quarantinePage is a page in the making.
type quarantinePage struct {
	s      *Service
	v      *state.View
	c      policy.Caller
	in     ListRequest
	out    []api.QuarantineItem
	looked int
	last   string // id of the last item looked at
}

// system adds one system's items after a number; full when the page is.
func (p *quarantinePage) system(name string, after uint64) (full bool, err error) {
	for {
		items, err := p.v.Quarantine(name, after, quarantineRun)
		if err != nil {
			return false, problem(err)
		}
		for i := range items {
			after, p.last = items[i].Number, state.QuarantineID(name, items[i].Number)
			if p.looked++; p.in.Resource == "" || items[i].Resource == p.in.Resource {
				p.out = append(p.out, p.s.quarantined(p.v, p.c, &items[i], p.in.Language, false))
			}
			if len(p.out) == p.in.Limit || p.looked == quarantineLooked {
				return true, nil
			}
		}
		if len(items) < quarantineRun {
			return false, nil
		}
	}
}

// QuarantineItem reads one refused record; its body for its owner only.
func (s *Service) QuarantineItem(_ context.Context, c policy.Caller, id, language string) (api.QuarantineItem, error) {
	system, number, err := quarantineID(id)
	if err != nil {
		return api.QuarantineItem{}, err
	}
	department, _, _ := strings.Cut(system, ".")
	if err := may(c, "quarantine", "show", department); err != nil {
		return api.QuarantineItem{}, err
	}
	v, err := s.view()
	if err != nil {
		return api.QuarantineItem{}, err
	}
	defer v.Close()
	item, ok, err := v.QuarantineItem(system, number)
	if err != nil {
		return api.QuarantineItem{}, problem(err)
	}
	if !ok {
		return api.QuarantineItem{}, api.Refuse(api.CodeNotFound, "没有这条退回的记录,可能已更正或已丢弃 / no such refused record; it may have been corrected or discarded")
	}
	return s.quarantined(v, c, &item, language, true), nil
}

// quarantineID splits "<department>.<system>:<n>".
func quarantineID(id string) (system string, number uint64, err error) {
	system, digits, ok := strings.Cut(id, ":")
	number, perr := strconv.ParseUint(digits, 10, 63)
	if !ok || perr != nil {
		return "", 0, api.Refuse(api.CodeNotFound, "退回的记录以 系统:编号 命名 / a refused record is named SYSTEM:NUMBER")
	}
	return system, number, nil
}

// quarantined shows a refused record: values for the owner only.
func (s *Service) quarantined(v *state.View, c policy.Caller, q *state.QuarantineItem, language string, withBody bool) api.QuarantineItem {
	out := api.QuarantineItem{ID: state.QuarantineID(q.System, q.Number), System: q.System, Resource: q.Resource, At: audit.FormatTime(q.At), More: q.More}
	if q.Op != 0 {
		out.Op = q.Op.String()
	}
	department, _, _ := strings.Cut(q.System, ".")
	var value any
	if policy.May(c, "quarantine", "values", department) == nil {
		out.RecordID, out.Key = q.RecordID, q.Key
		limits := record.DefaultLimits()
		limits.RecordBytes = len(q.Body)
		// A body that was cut is no JSON any more: its sentences go without values.
		if _, decoded, err := record.Decode(q.Body, limits); err == nil {
			value = decoded
			if withBody {
				out.Body = slices.Clone(q.Body)
			}
		}
	}
	out.Errors = s.reasons(v, q, language, value)
	return out
}

// DiscardQuarantine drops a refused record.
func (s *Service) DiscardQuarantine(ctx context.Context, c policy.Caller, id, request string) error {
	system, number, err := quarantineID(id)
	if err != nil {
		return err
	}
	_, err = command[json.RawMessage](ctx, s, &state.QuarantineDiscard{Head: s.head(c, request), System: system, Number: number})
	return err
}
