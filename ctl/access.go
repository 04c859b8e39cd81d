package ctl

import (
	"context"
	"net/url"

	"github.com/spf13/cobra"

	"github.com/hutong-bus/hutong/node/api"
)

func (a *app) grantCommand() *cobra.Command {
	noun := &cobra.Command{Use: "grant", Short: "Grants 授权"}
	var file string
	request := &cobra.Command{Use: "request -f FILE", Short: "Request a grant", Args: noArguments, RunE: func(cmd *cobra.Command, _ []string) error {
		g, err := readObject[api.Grant](a, file)
		if err != nil {
			return err
		}
		return post[api.Grant](cmd.Context(), a, g, "grants")
	}}
	request.Flags().StringVarP(&file, "file", "f", "", "file with the grant, - for standard input")
	noun.AddCommand(request,
		filtered(a, []string{"grants"}, []string{"GRANT", "RESOURCE", "SUBSCRIBER", "STATE", "PURPOSE", "NOT AFTER", "DECIDED BY"}, func(g api.Grant) []any {
			return []any{g.Grant, g.Resource, g.Subscriber, g.State, g.Purpose, g.NotAfter, g.DecidedBy}
		}),
		showCommand[api.Grant](a, "show GRANT", []string{"GRANT"}, under("grants")),
		a.decide("approve", "grants", "GRANT", false), a.decide("refuse", "grants", "GRANT", false), a.decide("revoke", "grants", "GRANT", true))
	return noun
}

// filtered is a list with --resource and --state.
func filtered[T any](a *app, path, head []string, cells func(T) []any) *cobra.Command {
	var resource, state string
	cmd := &cobra.Command{Use: "list", Short: "List", Args: noArguments, RunE: func(cmd *cobra.Command, _ []string) error {
		c, err := a.client()
		if err != nil {
			return err
		}
		defer c.Close()
		q := url.Values{}
		if resource != "" {
			q.Set("resource", resource)
		}
		if state != "" {
			q.Set("state", state)
		}
		rows, err := api.List[T](cmd.Context(), c, q, path...)
		if err != nil {
			return err
		}
		return printRows(a, rows, head, cells)
	}}
	cmd.Flags().StringVar(&resource, "resource", "", "only of this resource")
	cmd.Flags().StringVar(&state, "state", "", "only in this state")
	return cmd
}

// decide is one verb of a decision on a grant or a publication.
func (a *app) decide(action, collection, name string, destroys bool) *cobra.Command {
	var in api.Decision
	cmd := &cobra.Command{Use: action + " " + name, Short: "Decide: " + action, Args: arguments(name), RunE: func(cmd *cobra.Command, args []string) error {
		if destroys || a.dryRun {
			if ok, err := a.confirm(action + " " + args[0]); !ok {
				return err
			}
		}
		if collection == "grants" {
			return post[api.Grant](cmd.Context(), a, in, collection, args[0], action)
		}
		return post[api.Publication](cmd.Context(), a, in, collection, args[0], action)
	}}
	cmd.Flags().StringVar(&in.Reason, "reason", "", "reason, for the record")
	cmd.Flags().StringVar(&in.Note, "note", "", "note to the publisher")
	return cmd
}

// post does one act and prints its answer.
func post[Out any](ctx context.Context, a *app, in any, path ...string) error {
	c, err := a.client()
	if err != nil {
		return err
	}
	defer c.Close()
	out, err := api.Post[Out](ctx, c, in, path...)
	if err != nil {
		return err
	}
	return a.print(out)
}

func (a *app) subscriptionCommand() *cobra.Command {
	noun := &cobra.Command{Use: "subscription", Short: "Subscriptions 订阅"}
	var file string
	create := &cobra.Command{Use: "create -f FILE", Short: "Create a subscription", Args: noArguments, RunE: func(cmd *cobra.Command, _ []string) error {
		s, err := readObject[api.Subscription](a, file)
		if err != nil {
			return err
		}
		return post[api.Subscription](cmd.Context(), a, s, "subscriptions")
	}}
	create.Flags().StringVarP(&file, "file", "f", "", "file with the subscription, - for standard input")
	set := func(action string) *cobra.Command {
		return &cobra.Command{Use: action + " SUBSCRIPTION", Short: action, Args: arguments("SUBSCRIPTION"), RunE: func(cmd *cobra.Command, args []string) error {
			return post[api.Subscription](cmd.Context(), a, nil, "subscriptions", args[0], action)
		}}
	}
	remove := &cobra.Command{Use: "delete SUBSCRIPTION", Short: "Delete a subscription and its cursor", Args: arguments("SUBSCRIPTION"), RunE: func(cmd *cobra.Command, args []string) error {
		if ok, err := a.confirm("delete subscription " + args[0]); !ok {
			return err
		}
		c, err := a.client()
		if err != nil {
			return err
		}
		defer c.Close()
		return c.Delete(cmd.Context(), "subscriptions", args[0])
	}}
	noun.AddCommand(create,
		filtered(a, []string{"subscriptions"}, []string{"SUBSCRIPTION", "RESOURCE", "GRANT", "STATE", "CURSOR", "LAG RECORDS", "LAG SECONDS"}, func(s api.Subscription) []any {
			return []any{s.Subscription, s.Resource, s.Grant, s.State, s.Cursor, s.LagRecords, s.LagSeconds}
		}),
		showCommand[api.Subscription](a, "show SUBSCRIPTION", []string{"SUBSCRIPTION"}, under("subscriptions")),
		set("pause"), set("resume"), remove)
	return noun
}

func (a *app) publicationCommand() *cobra.Command {
	noun := &cobra.Command{Use: "publication", Short: "Publications on their way to the portal 公开"}
	noun.AddCommand(
		filtered(a, []string{"publications"}, []string{"ID", "RESOURCE", "KEY", "VERSION", "STATE", "NEXT STEP"}, func(p api.Publication) []any {
			next := ""
			if i := p.Open(); i >= 0 {
				next = p.Steps[i].Name
			}
			return []any{p.ID, p.Resource, p.Key, p.Version, p.State, next}
		}),
		showCommand[api.Publication](a, "show PUBLICATION", []string{"PUBLICATION"}, under("publications")),
		a.decide("approve", "publications", "PUBLICATION", false), a.decide("return", "publications", "PUBLICATION", false), a.decide("withdraw", "publications", "PUBLICATION", true))
	return noun
}

func (a *app) quarantineCommand() *cobra.Command {
	noun := &cobra.Command{Use: "quarantine", Short: "Refused records 隔离"}
	discard := &cobra.Command{Use: "discard ID", Short: "Discard a refused record", Args: arguments("ID"), RunE: func(cmd *cobra.Command, args []string) error {
		if ok, err := a.confirm("discard " + args[0]); !ok {
			return err
		}
		c, err := a.client()
		if err != nil {
			return err
		}
		defer c.Close()
		_, err = api.Post[map[string]any](cmd.Context(), c, nil, "quarantine", args[0], "discard")
		return err
	}}
	noun.AddCommand(
		filtered(a, []string{"quarantine"}, []string{"ID", "RESOURCE", "KEY", "AT", "ERRORS", "FIRST REASON"}, func(q api.QuarantineItem) []any {
			first := ""
			if len(q.Errors) > 0 {
				first = sentence(q.Errors[0])
			}
			return []any{q.ID, q.Resource, q.Key, q.At, len(q.Errors) + q.More, first}
		}),
		showCommand[api.QuarantineItem](a, "show ID", []string{"ID"}, under("quarantine")),
		discard)
	return noun
}
