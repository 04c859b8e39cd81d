package ctl

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/hutong-bus/hutong/node/api"
)

// act is one thing that changes something, on the bus or in a file. Every verb
// that does so goes through change, which keeps --dry-run's promise.
type act struct {
	zh, en   string // what is done, such as "revoke credential k1 of gtfg.approvals"
	destroys bool   // asked about first, unless --yes
	local    bool   // needs no bus
	// look only reads: it finds out whether do could be done. Nil: nothing to look at.
	look func(context.Context, *api.Client) error
	// do does it and prints the answer. The client is nil where local.
	do func(context.Context, *api.Client) error
}

// change does an act; with --dry-run it only looks and says what would be done.
func (a *app) change(ctx context.Context, t act) error {
	var c *api.Client
	if !t.local {
		var err error
		if c, err = a.client(); err != nil {
			return err
		}
		defer c.Close()
	}
	if a.dryRun {
		if t.look != nil {
			if err := t.look(ctx, c); err != nil {
				return err
			}
		}
		return a.would(t.zh, t.en)
	}
	if t.destroys {
		if err := a.confirm(t); err != nil {
			return err
		}
	}
	return t.do(ctx, c)
}

// would says what --dry-run did not do.
func (a *app) would(zh, en string) error {
	if a.output == "json" {
		return a.printJSON(map[string]any{"dry_run": true, "would": a.say(zh, en)})
	}
	_, err := fmt.Fprintln(a.out, a.say("将"+zh, "would "+en))
	return err
}

// done says that an act without an answer of its own was done. more are
// members of the JSON answer.
func (a *app) done(zh, en string, more map[string]any) error {
	if a.output == "json" {
		answer := map[string]any{"done": true, "what": a.say(zh, en)}
		for name, v := range more {
			answer[name] = v
		}
		return a.printJSON(answer)
	}
	_, err := fmt.Fprintln(a.out, a.say("已完成:"+zh, "done: "+en))
	return err
}

// confirm asks before something is destroyed, unless --yes.
func (a *app) confirm(t act) error {
	if a.yes {
		return nil
	}
	fmt.Fprintf(a.err, "%s? %s: ", a.say(t.zh, t.en), a.say("请输入 yes", "Type yes"))
	var answer string
	if _, err := fmt.Fscanln(a.in, &answer); err != nil || answer != "yes" {
		return usage("未确认,什么也没做;加 --yes 则不再询问", "not confirmed, nothing was done; add --yes to go ahead")
	}
	return nil
}

// exists looks whether an object is there.
func exists(path ...string) func(context.Context, *api.Client) error {
	return func(ctx context.Context, c *api.Client) error {
		_, err := api.Object[json.RawMessage](ctx, c, path...)
		return err
	}
}

// posting does one act by POST and prints its answer.
func posting[Out any](a *app, in any, path ...string) func(context.Context, *api.Client) error {
	return func(ctx context.Context, c *api.Client) error {
		out, err := api.Post[Out](ctx, c, in, path...)
		if err != nil {
			return err
		}
		return a.print(out)
	}
}

// deleting does a deletion and says so.
func (a *app) deleting(zh, en string, path ...string) func(context.Context, *api.Client) error {
	return func(ctx context.Context, c *api.Client) error {
		if err := c.Delete(ctx, path...); err != nil {
			return err
		}
		return a.done(zh, en, nil)
	}
}
