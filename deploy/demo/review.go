package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"sync"
	"time"

	"github.com/hutong-bus/hutong/node/api"
)

// reviewers is how many publications are reviewed at once.
const reviewers = 12

// stepsBeforeEdit is how far everything is reviewed before some of it is edited:
// 单位初审 and 保密审查.
const stepsBeforeEdit = 2

// publications are those of the disclosures, by key.
func (d *demo) publications(ctx context.Context) (map[string]api.Publication, error) {
	list, err := api.List[api.Publication](ctx, d.clients["egov."+reviewSystem], url.Values{"resource": {"projects.disclosure"}}, "publications")
	if err != nil {
		return nil, fmt.Errorf("list publications: %w", err)
	}
	out := map[string]api.Publication{}
	for _, p := range list {
		out[p.Key] = p
	}
	return out, nil
}

// deciders are the departments of the steps; the first is the publisher's own.
var deciders = []string{"", "bmj", "egov", "xzf"}

// decide takes one decision on the open step of a publication, by the system
// whose step it is. Where the publication has moved since it was looked at, it
// is looked at again, as a person would.
func (d *demo) decide(ctx context.Context, p api.Publication, dept, action, note string) (api.Publication, error) {
	if step := p.Open(); action != "withdraw" && step > 0 {
		dept = deciders[step]
	}
	client := d.clients[dept+"."+reviewSystem]
	var out api.Publication
	err := until(ctx, 50*time.Millisecond, func() (bool, error) {
		var err error
		out, err = api.Post[api.Publication](ctx, client, api.Decision{Note: note}, "publications", p.ID, action)
		var problem *api.Problem
		if errors.As(err, &problem) && problem.Code == api.CodeRevisionConflict {
			now, rerr := api.Object[api.Publication](ctx, client, "publications", p.ID)
			if rerr == nil && now.Open() == p.Open() && now.Version == p.Version {
				return false, nil
			}
		}
		return true, err
	})
	if err != nil {
		return p, fmt.Errorf("%s publication %s as %s: %w", action, p.ID, dept, err)
	}
	return out, nil
}

// review approves steps of each disclosure until its step through is done, one
// decision at a time, several publications at once. The ones that the secrecy
// review sends back are sent back.
func (d *demo) review(ctx context.Context, through int, keep func(place int) bool) error {
	all, err := d.publications(ctx)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	slots := make(chan struct{}, reviewers) // bounds the decisions in flight
	var group sync.WaitGroup
	for _, dept := range disclosers {
		for place, it := range rightOnes(of(dept, d.story.first["projects.disclosure"])) {
			p, ok := all[keyOf("projects.disclosure", it.body)]
			if !ok {
				return fmt.Errorf("disclosure %s has no publication", keyOf("projects.disclosure", it.body))
			}
			if keep(place) {
				continue
			}
			group.Add(1)
			slots <- struct{}{}
			// Stops when this publication is reviewed, or ctx ends.
			go func() {
				defer group.Done()
				defer func() { <-slots }()
				if err := d.reviewOne(ctx, p, dept, place, through); err != nil {
					cancel(err)
				}
			}()
		}
	}
	group.Wait()
	if err := context.Cause(ctx); err != nil {
		return err
	}
	return nil
}

func (d *demo) reviewOne(ctx context.Context, p api.Publication, dept string, place, through int) (err error) {
	for {
		step := p.Open()
		if step < 0 || step >= through {
			return nil
		}
		if step == 1 && place == returnedPlace {
			_, err = d.decide(ctx, p, dept, "return", "正文含征地户个人信息,请删除后重新报送")
			return err
		}
		if p, err = d.decide(ctx, p, dept, "approve", "同意"); err != nil {
			return err
		}
	}
}

func rightOnes(items []item) []item {
	var out []item
	for _, it := range items {
		if it.wrong == "" {
			out = append(out, it)
		}
	}
	return out
}

// checkEdited makes sure that what was edited after the secrecy review begins
// its reviews again.
func (d *demo) checkEdited(ctx context.Context) error {
	all, err := d.publications(ctx)
	if err != nil {
		return err
	}
	for _, it := range d.story.later["projects.disclosure"] {
		p := all[keyOf("projects.disclosure", it.body)]
		if p.Open() != 0 || p.Version != 2 {
			return fmt.Errorf("disclosure %s was edited but is at step %d of version %d", p.Key, p.Open(), p.Version)
		}
	}
	return nil
}

// withdrawSome takes one published disclosure of each department off the portal
// again.
func (d *demo) withdrawSome(ctx context.Context) error {
	all, err := d.publications(ctx)
	if err != nil {
		return err
	}
	for _, dept := range disclosers {
		it := rightOnes(of(dept, d.story.first["projects.disclosure"]))[withdrawnPlace]
		p := all[keyOf("projects.disclosure", it.body)]
		if p.State != "published" {
			return errors.New("a disclosure that every step approved is not published")
		}
		if _, err := d.decide(ctx, p, dept, "withdraw", "项目调整,原公开信息失效"); err != nil {
			return err
		}
	}
	return nil
}
