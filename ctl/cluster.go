package ctl

import (
	"context"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/hutong-bus/hutong/node/api"
)

func (a *app) clusterCommand() *cobra.Command {
	noun := &cobra.Command{Use: "cluster", Short: "Nodes of the bus"}
	status := &cobra.Command{Use: "status", Short: "Nodes, leader, hashes", Args: noArguments, RunE: func(cmd *cobra.Command, _ []string) error {
		c, err := a.client()
		if err != nil {
			return err
		}
		defer c.Close()
		v, err := api.Object[api.Cluster](cmd.Context(), c, "cluster")
		if err != nil {
			return err
		}
		if a.output == "json" {
			return a.printJSON(v)
		}
		fmt.Fprintf(a.out, "cluster %s, epoch %d, leader %s\n", v.Cluster, v.Epoch, v.Leader)
		return printRows(a, v.Nodes, []string{"NODE", "STATE", "VOTER", "APPLIED", "RUNNING HASH", "SIZE", "FRESH", "FREE BYTES", "API"}, func(m api.Member) []any {
			hash := m.RunningHash
			if len(hash) > 12 {
				hash = hash[:12]
			}
			return []any{m.ID, m.State, m.Voter, m.Applied, hash, m.Size, m.Fresh, m.FreeBytes, m.Addresses.API}
		})
	}}
	noun.AddCommand(status, a.memberAddCommand(), a.memberRemoveCommand(), a.transferCommand())
	return noun
}

func (a *app) memberAddCommand() *cobra.Command {
	var file, apiAddress, public string
	add := &cobra.Command{Use: "member-add NODE ADDRESS -o BUNDLE", Short: "Add a node (ADDRESS is its node port); write its join bundle", Args: arguments("NODE", "ADDRESS"), RunE: func(cmd *cobra.Command, args []string) error {
		if file == "" {
			return usage("请用 -o 指定加入包文件", "name the bundle file with -o")
		}
		in := api.MemberRequest{ID: args[0], Address: api.Addresses{Node: args[1], API: apiAddress, Public: public}}
		return a.change(cmd.Context(), act{zh: "加入节点 " + args[0] + ",加入包写入 " + file, en: "add node " + args[0] + " and write its bundle to " + file,
			look: func(context.Context, *api.Client) error { return couldMake(file, true) },
			do:   func(ctx context.Context, c *api.Client) error { return a.addMember(ctx, c, in, file) },
		})
	}}
	add.Flags().StringVarP(&file, "bundle", "b", "", "new file to write the join bundle to; the same as -o BUNDLE")
	add.Flags().StringVar(&apiAddress, "api", "", "address of the node's API listener, for others to show")
	add.Flags().StringVar(&public, "public", "", "address of the node's public listener")
	fileAsOutput(a, add, &file)
	return add
}

// addMember adds a node once there is a place for its bundle.
func (a *app) addMember(ctx context.Context, c *api.Client, in api.MemberRequest, name string) error {
	// The bundle holds the new node's keys.
	file, err := newFile(name)
	if err != nil {
		return err
	}
	defer file.close()
	b, err := c.PostRaw(ctx, in, "cluster", "members")
	if err != nil {
		return err
	}
	if err := file.write(b); err != nil {
		return err
	}
	if a.output == "json" {
		return a.printJSON(map[string]any{"done": true, "node": in.ID, "file": name, "bytes": len(b)})
	}
	_, err = fmt.Fprintln(a.out, a.say(
		fmt.Sprintf("%s:带到该节点,在那里运行 hutongd init -dir DIR -join %[1]s,然后删除它", name),
		fmt.Sprintf("%s: carry it to the node, run hutongd init -dir DIR -join %[1]s there, then delete it", name)))
	return err
}

// member looks whether a node is one of the cluster's.
func member(id string) func(context.Context, *api.Client) error {
	return func(ctx context.Context, c *api.Client) error {
		v, err := api.Object[api.Cluster](ctx, c, "cluster")
		if err == nil && !slices.ContainsFunc(v.Nodes, func(m api.Member) bool { return m.ID == id }) {
			err = api.Refuse(api.CodeNotFound, "集群中没有节点 %[1]q / the cluster has no node %[1]q", id)
		}
		return err
	}
}

func (a *app) memberRemoveCommand() *cobra.Command {
	return &cobra.Command{Use: "member-remove NODE", Short: "Remove a node", Args: arguments("NODE"), RunE: func(cmd *cobra.Command, args []string) error {
		zh, en := "移除节点 "+args[0], "remove node "+args[0]
		return a.change(cmd.Context(), act{zh: zh, en: en, destroys: true,
			look: member(args[0]), do: a.deleting(zh, en, "cluster", "members", args[0])})
	}}
}

func (a *app) transferCommand() *cobra.Command {
	return &cobra.Command{Use: "transfer [NODE]", Short: "Hand leadership to another node", Args: between(0, "NODE"), RunE: func(cmd *cobra.Command, args []string) error {
		t := act{zh: "移交主节点", en: "hand leadership on", destroys: true, look: exists("cluster")}
		to := ""
		if len(args) > 0 {
			to = args[0]
			t.zh, t.en, t.look = t.zh+"给 "+to, t.en+" to "+to, member(to)
		}
		t.do = func(ctx context.Context, c *api.Client) error {
			if _, err := api.Post[map[string]any](ctx, c, map[string]string{"node": to}, "cluster", "transfer-leadership"); err != nil {
				return err
			}
			return a.done(t.zh, t.en, nil)
		}
		return a.change(cmd.Context(), t)
	}}
}

// fileAsOutput lets -o name a file on the commands whose answer is one: the
// contract writes audit evidence … -o FILE.
func fileAsOutput(a *app, cmd *cobra.Command, file *string) {
	cmd.PreRunE = func(*cobra.Command, []string) error {
		if a.fileOutput != "" && *file == "" {
			*file = a.fileOutput
		}
		return nil
	}
	cmd.Annotations = map[string]string{annotationFile: "yes"}
}
