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
		return a.change(cmd.Context(), act{zh: "申请授权 " + g.Grant, en: "request grant " + g.Grant, do: posting[api.Grant](a, g, "grants")})
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

// decisions are the verbs of decide in Chinese.
var decisions = map[string]string{"approve": "同意", "refuse": "拒绝", "revoke": "撤销", "return": "退回", "withdraw": "撤下"}

// decide is one verb of a decision on a grant or a publication.
func (a *app) decide(action, collection, name string, destroys bool) *cobra.Command {
	var in api.Decision
	var revision uint64
	cmd := &cobra.Command{Use: action + " " + name, Short: "Decide: " + action + " " + decisions[action], Args: arguments(name), RunE: func(cmd *cobra.Command, args []string) error {
		do := func(ctx context.Context, c *api.Client) error {
			out, err := api.PostIf[api.Publication](ctx, c, in, revision, collection, args[0], action)
			if err != nil {
				return err
			}
			return a.print(out)
		}
		if collection == "grants" {
			do = posting[api.Grant](a, in, collection, args[0], action)
		}
		return a.change(cmd.Context(), act{zh: decisions[action] + " " + args[0], en: action + " " + args[0], destroys: destroys,
			look: exists(collection, args[0]), do: do})
	}}
	cmd.Flags().StringVar(&in.Reason, "reason", "", "reason, for the record")
	cmd.Flags().StringVar(&in.Note, "note", "", "note to the publisher")
	if collection == "publications" {
		cmd.Flags().Uint64Var(&revision, "revision", 0, "decide only what publication show showed in this revision; 0: what there is now")
	}
	return cmd
}

func (a *app) subscriptionCommand() *cobra.Command {
	noun := &cobra.Command{Use: "subscription", Short: "Subscriptions 订阅"}
	var file string
	create := &cobra.Command{Use: "create -f FILE", Short: "Create a subscription", Args: noArguments, RunE: func(cmd *cobra.Command, _ []string) error {
		s, err := readObject[api.Subscription](a, file)
		if err != nil {
			return err
		}
		return a.change(cmd.Context(), act{zh: "建立订阅 " + s.Subscription, en: "create subscription " + s.Subscription, do: posting[api.Subscription](a, s, "subscriptions")})
	}}
	create.Flags().StringVarP(&file, "file", "f", "", "file with the subscription, - for standard input")
	set := func(action, zh, short string) *cobra.Command {
		return &cobra.Command{Use: action + " SUBSCRIPTION", Short: short, Args: arguments("SUBSCRIPTION"), RunE: func(cmd *cobra.Command, args []string) error {
			return a.change(cmd.Context(), act{zh: zh + "订阅 " + args[0], en: action + " subscription " + args[0],
				look: exists("subscriptions", args[0]), do: posting[api.Subscription](a, nil, "subscriptions", args[0], action)})
		}}
	}
	remove := &cobra.Command{Use: "delete SUBSCRIPTION", Short: "Delete a subscription and its cursor", Args: arguments("SUBSCRIPTION"), RunE: func(cmd *cobra.Command, args []string) error {
		zh, en := "删除订阅 "+args[0], "delete subscription "+args[0]
		return a.change(cmd.Context(), act{zh: zh, en: en, destroys: true,
			look: exists("subscriptions", args[0]), do: a.deleting(zh, en, "subscriptions", args[0])})
	}}
	noun.AddCommand(create,
		filtered(a, []string{"subscriptions"}, []string{"SUBSCRIPTION", "RESOURCE", "GRANT", "STATE", "CURSOR", "LAG RECORDS", "LAG SECONDS"}, func(s api.Subscription) []any {
			return []any{s.Subscription, s.Resource, s.Grant, s.State, s.Cursor, s.LagRecords, s.LagSeconds}
		}),
		showCommand[api.Subscription](a, "show SUBSCRIPTION", []string{"SUBSCRIPTION"}, under("subscriptions")),
		set("pause", "暂停", "Hand nothing out until resumed"), set("resume", "恢复", "Hand out again"), remove)
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
		showCommand[api.PublicationView](a, "show PUBLICATION", []string{"PUBLICATION"}, under("publications")),
		a.decide("approve", "publications", "PUBLICATION", false), a.decide("return", "publications", "PUBLICATION", false), a.decide("withdraw", "publications", "PUBLICATION", true))
	return noun
}

func (a *app) quarantineCommand() *cobra.Command {
	noun := &cobra.Command{Use: "quarantine", Short: "Refused records 隔离"}
	discard := &cobra.Command{Use: "discard ID", Short: "Discard a refused record", Args: arguments("ID"), RunE: func(cmd *cobra.Command, args []string) error {
		zh, en := "丢弃 "+args[0], "discard "+args[0]
		return a.change(cmd.Context(), act{zh: zh, en: en, destroys: true, look: exists("quarantine", args[0]),
			do: func(ctx context.Context, c *api.Client) error {
				if _, err := api.Post[map[string]any](ctx, c, nil, "quarantine", args[0], "discard"); err != nil {
					return err
				}
				return a.done(zh, en, nil)
			}})
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
