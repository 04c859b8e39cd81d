package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/hutong-bus/hutong/node/api"
	"github.com/hutong-bus/hutong/schemas"
)

// legalInstrument is what all grants of the county rest on.
const legalInstrument = "政务信息资源共享管理暂行办法"

// setUp makes the county: departments, groups, systems with their keys, the
// catalogue with its schemas, grants requested and approved, subscriptions.
func (d *demo) setUp(ctx context.Context) error {
	for _, step := range []func(context.Context) error{d.putDepartments, d.putSystems, d.putCatalogue, d.putGrants} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// put writes one object over what is there.
func put[T any](ctx context.Context, c *api.Client, object T, revision uint64, path ...string) error {
	_, err := api.Put(ctx, c, object, revision, path...)
	var p *api.Problem
	if errors.As(err, &p) && p.Code == api.CodeRevisionConflict && revision == 0 {
		return nil // the answer to the first try was lost
	}
	if err != nil {
		return fmt.Errorf("put %v: %w", path, err)
	}
	return nil
}

func (d *demo) putDepartments(ctx context.Context) error {
	admin := d.clients[adminContext]
	for i, dep := range departments {
		object := api.Department{Code: dep.code, Name: dep.name, ShortName: dep.short, USCC: unitCode(dep.code), Kind: dep.kind, Level: dep.level, Region: dep.region}
		revision := uint64(0)
		if i == 0 { // the operator is there since the cluster began
			there, err := api.Object[api.Department](ctx, admin, "departments", dep.code)
			if err != nil {
				return fmt.Errorf("read department %s: %w", dep.code, err)
			}
			revision = there.Revision
		}
		if err := put(ctx, admin, object, revision, "departments", dep.code); err != nil {
			return err
		}
	}
	for _, g := range []api.Group{{Code: "towns", Name: "镇乡街道", Departments: towns}, {Code: "handlers", Name: "承办单位", Departments: handlers}} {
		if err := put(ctx, admin, g, 0, "groups", g.Code); err != nil {
			return err
		}
	}
	return nil
}

func (d *demo) putSystems(ctx context.Context) error {
	systems := []api.System{{Code: auditSystem, Department: "egov", Name: "审计查询系统", Roles: []string{"auditor"}}}
	for _, dep := range departments {
		if len(dep.resources) > 0 {
			systems = append(systems, api.System{Code: exchangeSystem, Department: dep.code, Name: dep.short + "交换前置系统", Roles: []string{"publisher", "subscriber"}, Resources: dep.resources})
		}
		if dep.reviews {
			systems = append(systems, api.System{Code: reviewSystem, Department: dep.code, Name: dep.short + "审核系统", Roles: []string{"reviewer"}})
		}
	}
	for _, s := range systems {
		if err := put(ctx, d.clients[adminContext], s, 0, "departments", s.Department, "systems", s.Code); err != nil {
			return err
		}
		key, err := api.Post[api.Credential](ctx, d.clients[adminContext], api.CredentialRequest{Kind: "api_key"}, "departments", s.Department, "systems", s.Code, "credentials")
		if err != nil {
			return fmt.Errorf("issue credential of %s: %w", s.FullName(), err)
		}
		name := s.FullName()
		if s.Code == auditSystem {
			name = auditorContext
		}
		if err := d.addContext(name, key.Secret); err != nil {
			return err
		}
	}
	return nil
}

func (d *demo) putCatalogue(ctx context.Context) error {
	admin := d.clients[adminContext]
	for _, r := range catalogue() {
		if err := put(ctx, admin, r, 0, "resources", r.Resource); err != nil {
			return err
		}
		raw, ok := schemas.EmbeddedSchema(r.Resource, 1)
		if !ok {
			return fmt.Errorf("no embedded schema of %s", r.Resource)
		}
		if _, err := api.Post[api.SchemaInfo](ctx, admin, json.RawMessage(raw), "resources", r.Resource, "schemas"); err != nil {
			return fmt.Errorf("register schema of %s: %w", r.Resource, err)
		}
	}
	return nil
}

// putGrants has subscribers ask, owners decide, and subscribers subscribe.
func (d *demo) putGrants(ctx context.Context) error {
	owners := map[string]string{}
	for _, r := range catalogue() {
		owners[r.Resource] = r.Owner
	}
	for _, o := range orders() {
		grant := api.Grant{Grant: o.grant, Resource: o.resource, Subscriber: o.subscriber, Purpose: o.purpose, Scenario: "县级数据共享", NotAfter: time.Now().AddDate(3, 0, 0).Format(time.RFC3339)}
		grant.Fields.All, grant.Fields.Names = o.fields == nil, o.fields
		grant.LegalBasis.Instrument, grant.LegalBasis.Article = legalInstrument, o.article
		asker := d.clients[o.systems[0]+"."+exchangeSystem]
		if o.subscriber != o.systems[0] {
			asker = d.clients[adminContext] // for a group nobody but an administrator asks
		}
		if _, err := api.Post[api.Grant](ctx, asker, grant, "grants"); err != nil {
			return fmt.Errorf("request grant %s: %w", o.grant, err)
		}
		decider := d.clients[owners[o.resource]+"."+reviewSystem]
		if _, err := api.Post[api.Grant](ctx, decider, api.Decision{Reason: "同意,按目录共享条件提供"}, "grants", o.grant, "approve"); err != nil {
			return fmt.Errorf("approve grant %s: %w", o.grant, err)
		}
		for _, dept := range o.systems {
			sub := map[string]any{"subscription": o.subscription(dept), "resource": o.resource, "grant": o.grant, "sink": map[string]string{"kind": "pull"}, "start": "earliest"}
			if _, err := api.Post[api.Subscription](ctx, d.clients[dept+"."+exchangeSystem], sub, "subscriptions"); err != nil {
				return fmt.Errorf("create subscription %s: %w", o.subscription(dept), err)
			}
		}
	}
	return nil
}
