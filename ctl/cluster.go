package ctl

import (
	"fmt"
	"os"

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
	var file, apiAddress, public string
	add := &cobra.Command{Use: "member-add NODE ADDRESS -o BUNDLE", Short: "Add a node (ADDRESS is its node port); write its join bundle", Args: arguments("NODE", "ADDRESS"), RunE: func(cmd *cobra.Command, args []string) error {
		if file == "" {
			return fmt.Errorf("%w: name the bundle file with --bundle", errUsage)
		}
		c, err := a.client()
		if err != nil {
			return err
		}
		defer c.Close()
		b, err := c.PostRaw(cmd.Context(), api.MemberRequest{ID: args[0], Address: api.Addresses{Node: args[1], API: apiAddress, Public: public}}, "cluster", "members")
		if err != nil {
			return err
		}
		// The bundle holds the new node's keys.
		if err := os.WriteFile(file, b, 0o600); err != nil {
			return fmt.Errorf("write bundle: %w", err)
		}
		fmt.Fprintf(a.out, "%s: carry it to the node, run hutongd init -dir DIR -join %s there, then delete it\n", file, file)
		return nil
	}}
	add.Flags().StringVarP(&file, "bundle", "b", "", "file to write the join bundle to (also -o FILE)")
	add.Flags().StringVar(&apiAddress, "api", "", "address of the node's API listener, for others to show")
	add.Flags().StringVar(&public, "public", "", "address of the node's public listener")
	fileAsOutput(a, add, &file)
	remove := &cobra.Command{Use: "member-remove NODE", Short: "Remove a node", Args: arguments("NODE"), RunE: func(cmd *cobra.Command, args []string) error {
		if ok, err := a.confirm("remove node " + args[0]); !ok {
			return err
		}
		c, err := a.client()
		if err != nil {
			return err
		}
		defer c.Close()
		return c.Delete(cmd.Context(), "cluster", "members", args[0])
	}}
	transfer := &cobra.Command{Use: "transfer [NODE]", Short: "Hand leadership to another node", RunE: func(cmd *cobra.Command, args []string) error {
		to := ""
		if len(args) > 0 {
			to = args[0]
		}
		if ok, err := a.confirm("hand leadership on"); !ok {
			return err
		}
		c, err := a.client()
		if err != nil {
			return err
		}
		defer c.Close()
		_, err = api.Post[map[string]any](cmd.Context(), c, map[string]string{"node": to}, "cluster", "transfer-leadership")
		return err
	}}
	noun.AddCommand(status, add, remove, transfer)
	return noun
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
