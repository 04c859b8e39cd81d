package audit

import (
	"fmt"
	"html"
	"strings"
)

// summary is a page for somebody who opens the ZIP without our program. It says itself that it proves nothing.
func summary(e Evidence) []byte {
	var b strings.Builder
	row := func(cell string, cells ...string) {
		b.WriteString("<tr>")
		for _, c := range cells {
			fmt.Fprintf(&b, "<%s>%s</%s>", cell, html.EscapeString(c), cell)
		}
		b.WriteString("</tr>\n")
	}
	b.WriteString("<!DOCTYPE html>\n<html lang=\"zh-CN\"><head><meta charset=\"utf-8\"><title>证据包摘要</title></head><body>\n")
	b.WriteString("<h1>证据包摘要</h1>\n<p><strong>本页仅供阅读,不具证明力。</strong>核验请用 <code>hutongctl audit verify</code> 和自己保管的信任文件。</p>\n")
	fmt.Fprintf(&b, "<p>数据资源 %s;日志 %s;取证时间 %s</p>\n<table border=\"1\">\n",
		html.EscapeString(e.Resource), html.EscapeString(e.Log), FormatTime(e.At))
	row("th", "叶", "时间", "事件", "系统", "位移", "订阅", "授权", "结果")
	for _, p := range e.Leaves {
		l, err := ParseLeaf(p.Bytes)
		if err != nil {
			continue // Check will name it
		}
		offsets := ""
		switch {
		case l.Through > 0:
			offsets = fmt.Sprintf("%d–%d", l.First, l.Through)
		case l.Count > 0 && l.First > 0:
			offsets = fmt.Sprintf("%d–%d", l.First, l.First+l.Count-1)
		case l.Offset > 0:
			offsets = fmt.Sprint(l.Offset)
		}
		row("td", Address(e.Log, l.I), FormatTime(l.T), l.Type, strings.Join(l.Systems, " "), offsets, l.Subscription, l.Grant, l.Outcome)
	}
	b.WriteString("</table>\n</body></html>\n")
	return []byte(b.String())
}
