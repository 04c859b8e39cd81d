package ctl

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/hutong-bus/hutong/node/api"
	"github.com/hutong-bus/hutong/schemas/record"
)

func (a *app) recordCommand() *cobra.Command {
	noun := &cobra.Command{Use: "record", Short: "Records 记录"}
	noun.AddCommand(a.publishCommand(), a.validateCommand(), a.getCommand(), a.historyCommand(), a.pullCommand())
	return noun
}

// Bounds of one request of record publish: the records it carries unless
// --batch says otherwise, and its bytes, half of what the bus takes.
const (
	publishBatchRecords = 500
	publishBatchBytes   = 8 << 20
)

// publishing is one run of record publish.
type publishing struct {
	a        *app
	resource string
	batch    int
	total    api.PublishAnswer
	lines    []int // line in the file of each record of the batch
	records  [][]byte
	bytes    int // of records
}

func (a *app) publishCommand() *cobra.Command {
	var file, format string
	p := publishing{a: a}
	cmd := &cobra.Command{Use: "publish RESOURCE -f FILE", Short: "Publish records from a file", Args: arguments("RESOURCE"), RunE: func(cmd *cobra.Command, args []string) error {
		b, err := a.readFile(file)
		if err != nil {
			return err
		}
		p.resource = args[0]
		if p.batch < 1 || p.batch > 10_000 {
			return usage("--batch 应在1到10000之间", "--batch is from 1 to 10000")
		}
		return p.run(cmd.Context(), b, format)
	}}
	f := cmd.Flags()
	f.StringVarP(&file, "file", "f", "", "file with the records, - for standard input")
	f.StringVar(&format, "format", "", "ndjson or json (one record or an array); empty: found out")
	f.IntVar(&p.batch, "batch", publishBatchRecords, "records of one request")
	return cmd
}

func (p *publishing) run(ctx context.Context, b []byte, format string) error {
	records, lines, err := split(b, format)
	if err != nil {
		return err
	}
	what := fmt.Sprintf("%d", len(records))
	return p.a.change(ctx, act{zh: "向 " + p.resource + " 发布 " + what + " 条记录", en: "publish " + what + " records to " + p.resource,
		do: func(ctx context.Context, c *api.Client) error { return p.sendAll(ctx, c, records, lines) }})
}

// sendAll sends the records in batches and prints the sums, also of what was
// answered before a request failed.
func (p *publishing) sendAll(ctx context.Context, c *api.Client, records [][]byte, lines []int) error {
	var failed error
	for i := range records {
		// A record without an id would be published again when an answer is lost.
		rec := withID(records[i])
		if len(p.records) == p.batch || len(p.records) > 0 && p.bytes+len(rec) > publishBatchBytes {
			if failed = p.send(ctx, c); failed != nil {
				break
			}
		}
		p.records, p.lines, p.bytes = append(p.records, rec), append(p.lines, lines[i]), p.bytes+len(rec)+1
	}
	if failed == nil && len(p.records) > 0 {
		failed = p.send(ctx, c)
	}
	if failed != nil {
		fmt.Fprintln(p.a.err, p.a.say(fmt.Sprintf("自第%d行起未得到答复", p.lines[0]), fmt.Sprintf("from line %d on nothing was answered", p.lines[0])))
	}
	if p.a.output == "json" {
		if err := p.a.printJSON(p.total); err != nil {
			return err
		}
	} else {
		fmt.Fprintf(p.a.out, "accepted %d\nduplicate %d\nstale %d\nrejected %d\n", p.total.Accepted, p.total.Duplicate, p.total.Stale, p.total.Rejected)
	}
	if failed == nil && p.total.Rejected > 0 {
		return fmt.Errorf("%w: %d of %d", errRefusedRecords, p.total.Rejected, len(records))
	}
	return failed
}

func (p *publishing) send(ctx context.Context, c *api.Client) error {
	answer, err := c.Publish(ctx, api.Publish{Resource: p.resource, Lines: p.records})
	if err != nil {
		return err
	}
	p.total.Accepted += answer.Accepted
	p.total.Duplicate += answer.Duplicate
	p.total.Stale += answer.Stale
	for _, item := range answer.Items {
		if item.Index < 0 || item.Index >= len(p.lines) {
			continue
		}
		switch item.Status {
		case api.StatusAccepted, api.StatusDuplicate, api.StatusStale:
		default:
			p.total.Rejected++
			p.refused(p.lines[item.Index], item)
		}
		item.Index = p.lines[item.Index]
		p.total.Items = append(p.total.Items, item)
	}
	p.records, p.lines, p.bytes = p.records[:0], p.lines[:0], 0
	return nil
}

// refused writes why a line was not accepted.
func (p *publishing) refused(line int, item api.PublishItem) {
	if len(item.Errors) == 0 {
		fmt.Fprintf(p.a.err, "第%d行 line %d: %s\n", line, line, item.Status)
	}
	for _, e := range item.Errors {
		fmt.Fprintf(p.a.err, "第%d行 line %d: %s\n", line, line, sentence(e))
	}
	if item.More > 0 {
		fmt.Fprintf(p.a.err, "第%d行 line %d: … %d more\n", line, line, item.More)
	}
}

// split finds the records of a file: one JSON object, an array of them, or
// NDJSON. lines are where each begins, from 1.
func split(b []byte, format string) (records [][]byte, lines []int, err error) {
	b = bytes.TrimPrefix(b, []byte("\xef\xbb\xbf"))
	first := bytes.TrimLeft(b, " \t\r\n")
	if format == "" {
		format = "ndjson"
		if json.Valid(b) {
			format = "json"
		}
	}
	switch {
	case format == "json" && len(first) > 0 && first[0] == '[':
		var all []json.RawMessage
		if err := json.Unmarshal(b, &all); err != nil {
			return nil, nil, usage("文件不是 JSON 数组:%v", "the file is not a JSON array: %v", err)
		}
		d := json.NewDecoder(bytes.NewReader(b))
		if _, err := d.Token(); err != nil {
			return nil, nil, usage("文件不是 JSON 数组:%v", "the file is not a JSON array: %v", err)
		}
		for range all {
			var raw json.RawMessage
			if err := d.Decode(&raw); err != nil {
				return nil, nil, usage("文件不是 JSON 数组:%v", "the file is not a JSON array: %v", err)
			}
			begin := int(d.InputOffset()) - len(raw)
			records, lines = append(records, oneLine(raw)), append(lines, 1+bytes.Count(b[:begin], []byte("\n")))
		}
	case format == "json":
		records, lines = [][]byte{oneLine(b)}, []int{1 + bytes.Count(b[:len(b)-len(first)], []byte("\n"))}
	case format == "ndjson":
		for i, line := range bytes.Split(b, []byte("\n")) {
			if line = bytes.TrimSpace(line); len(line) > 0 {
				records, lines = append(records, line), append(lines, i+1)
			}
		}
	default:
		return nil, nil, usage("--format 只能是 json 或 ndjson,不能是 %q", "--format is json or ndjson, not %q", format)
	}
	return records, lines, nil
}

// oneLine makes a record fit a line of NDJSON. Line ends inside JSON are white
// space: strings cannot hold them bare. Every other byte stays as it is, for the
// bus to judge.
func oneLine(b []byte) []byte {
	b = bytes.ReplaceAll(bytes.TrimSpace(b), []byte("\n"), []byte(" "))
	return bytes.ReplaceAll(b, []byte("\r"), []byte(" "))
}

// withID gives a record without id one of its own, so that it is published
// once however often the request is sent. What is no record is left for the
// bus to refuse.
func withID(raw []byte) []byte {
	r, err := record.DecodeRecord(raw, record.DefaultLimits())
	if err != nil || r.ID != "" {
		return raw
	}
	id, err := uuid.NewV7()
	if err != nil {
		return raw
	}
	r.ID = id.String()
	return r.Encode()
}

func (a *app) validateCommand() *cobra.Command {
	var file string
	cmd := &cobra.Command{Use: "validate RESOURCE -f FILE", Short: "Judge records without storing them", Args: arguments("RESOURCE"), RunE: func(cmd *cobra.Command, args []string) error {
		b, err := a.readFile(file)
		if err != nil {
			return err
		}
		records, lines, err := split(b, "")
		if err != nil {
			return err
		}
		what := fmt.Sprintf("%d", len(records))
		return a.change(cmd.Context(), act{zh: "请总线检查 " + what + " 条 " + args[0] + " 记录", en: "have the bus judge " + what + " records of " + args[0],
			do: func(ctx context.Context, c *api.Client) error { return a.validate(ctx, c, args[0], records, lines) }})
	}}
	cmd.Flags().StringVarP(&file, "file", "f", "", "file with the records, - for standard input")
	return cmd
}

// judged is the answer to one record of a file.
type judged struct {
	Line     int              `json:"line"` // where it begins, from 1
	Valid    bool             `json:"valid"`
	Errors   []api.FieldError `json:"errors,omitempty"`
	More     int              `json:"more,omitempty"`
	Warnings []string         `json:"warnings,omitempty"`
}

// validate has each record judged and prints the sums.
func (a *app) validate(ctx context.Context, c *api.Client, resource string, records [][]byte, lines []int) error {
	items, bad := []judged{}, 0
	for i, r := range records {
		v, err := c.Validate(ctx, resource, r)
		if v, err = verdictOf(v, err); err != nil {
			return err
		}
		items = append(items, judged{Line: lines[i], Valid: v.Valid, Errors: v.Errors, More: v.More, Warnings: v.Warnings})
		if !v.Valid {
			bad++
			p := publishing{a: a}
			p.refused(lines[i], api.PublishItem{Status: api.StatusRejected, Errors: v.Errors, More: v.More})
		}
	}
	if a.output == "json" {
		if err := a.printJSON(map[string]any{"valid": len(records) - bad, "invalid": bad, "items": items}); err != nil {
			return err
		}
	} else {
		fmt.Fprintf(a.out, "valid %d\ninvalid %d\n", len(records)-bad, bad)
	}
	if bad > 0 {
		return fmt.Errorf("%w: %d of %d", errRefusedRecords, bad, len(records))
	}
	return nil
}

// verdictOf takes the problem of what is no record for a verdict on that line:
// the lines after it are judged too.
func verdictOf(v api.Verdict, err error) (api.Verdict, error) {
	var p *api.Problem
	if !errors.As(err, &p) {
		return v, err
	}
	switch p.Code {
	case api.CodeMalformed, api.CodeUnknownMember, api.CodeTooLarge:
	default:
		return v, err
	}
	v = api.Verdict{Errors: p.Errors, More: p.More}
	if len(v.Errors) == 0 {
		v.Errors = []api.FieldError{{Code: string(p.Code), Message: p.Detail}}
	}
	return v, nil
}

func (a *app) getCommand() *cobra.Command {
	var grant string
	cmd := &cobra.Command{Use: "get RESOURCE KEY", Short: "Present state of a key", Args: arguments("RESOURCE", "KEY"), RunE: func(cmd *cobra.Command, args []string) error {
		c, err := a.client()
		if err != nil {
			return err
		}
		defer c.Close()
		r, err := c.Record(cmd.Context(), args[0], args[1], grant)
		if err != nil {
			return err
		}
		return a.print(r)
	}}
	cmd.Flags().StringVar(&grant, "grant", "", "grant to read under, where there are several")
	return cmd
}

func (a *app) historyCommand() *cobra.Command {
	var grant string
	cmd := &cobra.Command{Use: "history RESOURCE KEY", Short: "All versions of a key", Args: arguments("RESOURCE", "KEY"), RunE: func(cmd *cobra.Command, args []string) error {
		c, err := a.client()
		if err != nil {
			return err
		}
		defer c.Close()
		page, err := c.History(cmd.Context(), args[0], args[1], grant)
		if err != nil {
			return err
		}
		return printRows(a, page.Records, []string{"VERSION", "OFFSET", "OP", "ACCEPTED AT", "DEPARTMENT", "DATA"}, func(r api.Record) []any {
			return []any{r.Version, r.Offset, r.Op, r.AcceptedAt, r.Department, string(r.Data)}
		})
	}}
	cmd.Flags().StringVar(&grant, "grant", "", "grant to read under, where there are several")
	return cmd
}

func (a *app) pullCommand() *cobra.Command {
	var follow, ack bool
	var limit int
	cmd := &cobra.Command{Use: "pull SUBSCRIPTION", Short: "Write the next records of a subscription as NDJSON", Args: arguments("SUBSCRIPTION"), RunE: func(cmd *cobra.Command, args []string) error {
		if follow && !ack {
			return usage("--follow 须同时用 --ack:未确认的会再次交付", "--follow needs --ack: what is not acknowledged is handed out again")
		}
		p := pulling{a: a, subscription: args[0], limit: limit, follow: follow, ack: ack}
		return a.change(cmd.Context(), act{zh: "领取订阅 " + args[0] + " 的记录", en: "take the next records of subscription " + args[0],
			look: exists("subscriptions", args[0]), do: p.run})
	}}
	f := cmd.Flags()
	f.BoolVar(&follow, "follow", false, "wait for more until interrupted")
	f.BoolVar(&ack, "ack", false, "acknowledge what was written")
	f.IntVar(&limit, "limit", 500, "records of one request")
	return cmd
}

// pulling is one run of record pull.
type pulling struct {
	a            *app
	subscription string
	limit        int
	follow, ack  bool
}

// run writes pages until the end or, where it follows, until ctx ends.
func (p pulling) run(ctx context.Context, c *api.Client) error {
	o := api.ReadOptions{Limit: p.limit}
	if p.follow {
		o.Wait = 30 * time.Second
	}
	e := json.NewEncoder(p.a.out)
	e.SetEscapeHTML(false)
	var acknowledged uint64
	for {
		page, err := c.Pull(ctx, p.subscription, o)
		if err != nil && ctx.Err() != nil {
			return nil //nolint:nilerr // interrupted while nothing was there
		}
		if err != nil {
			return err
		}
		for _, r := range page.Records {
			if err := e.Encode(r); err != nil {
				return fmt.Errorf("write record: %w", err)
			}
		}
		// Acknowledged only now: what could not be written comes again.
		if p.ack && page.Through > acknowledged {
			if err := c.Ack(ctx, p.subscription, page.Through); err != nil {
				return err
			}
			acknowledged = page.Through
		}
		if !p.ack || page.End && !p.follow || ctx.Err() != nil {
			return nil //nolint:nilerr // interrupted: what was written is acknowledged
		}
	}
}
