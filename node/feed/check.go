package feed

import (
	"slices"
	"strconv"
	"strings"
	"text/template/parse"
)

// functions are those a template may call. Here is no call (it runs what is in the
// data), no js (it doubles its text) and no println.
var functions = []string{"and", "or", "not", "len", "index", "slice", "print", "printf", "html", "urlquery", "label", "eq", "ne", "lt", "le", "gt", "ge"}

// light are the functions that do not read the texts they are given.
var light = []string{"and", "or", "not", "len", "index", "slice"}

// The names of a meter's functions in a parsed template. A source cannot use
// them: they are not among functions.
const (
	meterResult = "_result"
	meterValue  = "_value"
	meterRange  = "_range"
	meterText   = "_text"
)

// A fitter checks a parsed template against a list of what it may hold, and puts
// the calls of a meter into it, so that running it is paid for.
type fitter struct{ refusal refusal }

// refusal is why a template may not be used; the zero one is none.
type refusal struct{ zh, en string }

func (f *fitter) refuse(zh, en string) {
	if f.refusal == (refusal{}) {
		f.refusal = refusal{zh, en}
	}
}

// list fits a list of nodes within so many ranges.
func (f *fitter) list(l *parse.ListNode, ranges int) {
	if l == nil {
		return
	}
	for _, n := range l.Nodes {
		f.node(n, ranges)
	}
}

func (f *fitter) node(n parse.Node, ranges int) {
	switch n := n.(type) {
	case *parse.TextNode, *parse.CommentNode, *parse.BreakNode, *parse.ContinueNode:
	case *parse.ListNode:
		f.list(n, ranges)
	case *parse.ActionNode:
		f.pipe(n.Pipe, meterText)
	case *parse.IfNode:
		f.branch(&n.BranchNode, ranges, meterResult)
	case *parse.WithNode:
		f.branch(&n.BranchNode, ranges, meterResult)
	case *parse.RangeNode:
		if ranges >= maxNested {
			f.refuse("range最多嵌套两层", "range is at most two deep")
			return
		}
		if !overField(n.Pipe) {
			f.refuse("range只能遍历字段", "range goes only over fields")
			return
		}
		// The variables of a range are its elements: nothing grows in them.
		declared := n.Pipe.Decl
		assigns := n.Pipe.IsAssign
		n.Pipe.Decl = nil
		f.branch(&n.BranchNode, ranges+1, meterRange)
		if n.Pipe.Decl = declared; assigns {
			f.refuseVariable()
		}
	default: // template, block
		f.refuse("模板里不能用template、block", "a template may not use template or block")
	}
}

func (f *fitter) branch(b *parse.BranchNode, ranges int, meter string) {
	f.pipe(b.Pipe, meter)
	f.list(b.List, ranges)
	f.list(b.ElseList, ranges)
}

func (f *fitter) refuseVariable() {
	f.refuse("模板里不能给变量赋值", "a template may not set variables")
}

// pipe fits a pipeline: every value in it passes the meter, the last one under the
// name given.
func (f *fitter) pipe(p *parse.PipeNode, last string) {
	if p == nil {
		return
	}
	if len(p.Decl) > 0 || p.IsAssign {
		f.refuseVariable()
		return
	}
	weight := 1
	var out []*parse.CommandNode
	for i, c := range p.Cmds {
		f.command(c)
		weight += len(c.Args)
		out = append(out, c)
		if i+1 < len(p.Cmds) {
			out = append(out, meterCommand(p, meterFor(p.Cmds[i+1]), weight))
			weight = 1
		}
	}
	p.Cmds = append(out, meterCommand(p, last, weight))
}

// meterFor is what a value passes on its way into a command.
func meterFor(c *parse.CommandNode) string {
	if id, ok := c.Args[0].(*parse.IdentifierNode); ok && slices.Contains(light, id.Ident) {
		return meterResult
	}
	return meterValue
}

// command fits one command of a pipeline.
func (f *fitter) command(c *parse.CommandNode) {
	id, call := c.Args[0].(*parse.IdentifierNode)
	if !call {
		f.operand(c.Args[0])
		for _, a := range c.Args[1:] {
			f.operand(a)
		}
		return
	}
	if !slices.Contains(functions, id.Ident) {
		f.refuse("模板里不能用函数"+id.Ident, "a template may not use the function "+id.Ident)
		return
	}
	from := 1
	if id.Ident == "printf" {
		if from = 2; !plainFormat(c.Args) {
			f.refuse("printf须有写明的格式，只能用%s、%v、%d、%q、%t，不能带宽度、精度、序号", "printf takes a literal format of %s, %v, %d, %q and %t, without width, precision or index")
			return
		}
	}
	meter := meterFor(c)
	for i := from; i < len(c.Args); i++ {
		f.operand(c.Args[i])
		c.Args[i] = metered(c.Args[i], meter)
	}
}

// operand fits one argument.
func (f *fitter) operand(n parse.Node) {
	switch n := n.(type) {
	case *parse.FieldNode, *parse.VariableNode, *parse.DotNode, *parse.StringNode, *parse.NumberNode, *parse.BoolNode, *parse.NilNode:
	case *parse.PipeNode:
		f.pipe(n, meterResult)
	case *parse.ChainNode:
		f.operand(n.Node)
	default: // a function without arguments
		f.refuse("模板写法有误："+n.String(), "not allowed in a template: "+n.String())
	}
}

// metered wraps an argument that is read from the data.
func metered(n parse.Node, meter string) parse.Node {
	switch n.(type) {
	case *parse.FieldNode, *parse.VariableNode, *parse.DotNode, *parse.PipeNode, *parse.ChainNode:
	default:
		return n // constants
	}
	p := &parse.PipeNode{NodeType: parse.NodePipe, Pos: n.Position()}
	p.Cmds = []*parse.CommandNode{{NodeType: parse.NodeCommand, Pos: n.Position(), Args: []parse.Node{n}}, meterCommand(p, meter, 1)}
	return p
}

// meterCommand is the command "name weight".
func meterCommand(at *parse.PipeNode, name string, weight int) *parse.CommandNode {
	pos := at.Position()
	number := &parse.NumberNode{NodeType: parse.NodeNumber, Pos: pos, IsInt: true, Int64: int64(weight), Text: strconv.Itoa(weight)}
	return &parse.CommandNode{NodeType: parse.NodeCommand, Pos: pos, Args: []parse.Node{parse.NewIdentifier(name).SetPos(pos), number}}
}

// plainFormat tells whether the format of a printf is written out and has no verb
// that makes more of a value than its text.
func plainFormat(args []parse.Node) bool {
	if len(args) < 2 {
		return false
	}
	format, ok := args[1].(*parse.StringNode)
	if !ok {
		return false
	}
	parts := strings.Split(strings.ReplaceAll(format.Text, "%%", ""), "%")
	for _, p := range parts[1:] {
		if p == "" || !strings.ContainsRune("svdqt", rune(p[0])) {
			return false
		}
	}
	return true
}

// overField tells whether a range goes over a field of the data: .a, .a.b, $.a, .
// or a field of a variable.
func overField(p *parse.PipeNode) bool {
	if p == nil || len(p.Cmds) != 1 || len(p.Cmds[0].Args) != 1 {
		return false
	}
	switch n := p.Cmds[0].Args[0].(type) {
	case *parse.FieldNode, *parse.DotNode:
		return true
	case *parse.VariableNode:
		return n.Ident[0] == "$" || len(n.Ident) > 1
	}
	return false
}
