package main

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// width is how many columns a text takes on a terminal: Chinese characters take
// two.
func width(s string) int {
	n := 0
	for _, r := range s {
		n++
		if r >= 0x1100 {
			n++
		}
	}
	return n
}

// aligned writes rows with aligned columns; the first column is text, the others
// are numbers.
func aligned(rows [][]string) string {
	var widths []int
	for _, r := range rows {
		for i, c := range r {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], width(c))
		}
	}
	var b strings.Builder
	for _, r := range rows {
		for i, c := range r {
			pad := strings.Repeat(" ", widths[i]-width(c))
			switch {
			case i == 0:
				b.WriteString("  " + c + pad)
			default:
				b.WriteString("  " + pad + c)
			}
		}
		b.WriteString("\n")
	}
	return b.String()
}

// printTable shows what senders, bus, receivers and portal each counted.
func (d *demo) printTable(lines []line) {
	titles := map[string]string{}
	for _, r := range catalogue() {
		titles[r.Resource] = r.Title.Zh
	}
	rows := [][]string{
		{"数据资源", "读取", "拒收", "退回", "接收", "总线", "收到(各接收方)", "公开"},
		{"resource", "read", "refused", "rejected", "accepted", "bus", "received by each", "feed"},
	}
	for _, l := range lines {
		feed := "-"
		if l.feed != nil {
			feed = strconv.Itoa(l.feed.shown)
			if l.feed.withdrawn > 0 {
				feed += fmt.Sprintf(" (-%d)", l.feed.withdrawn)
			}
		}
		rows = append(rows, []string{titles[l.resource] + " " + l.resource, strconv.Itoa(l.sent.Read), strconv.Itoa(l.sent.Refused), strconv.Itoa(l.sent.Rejected), strconv.Itoa(l.sent.taken()), strconv.FormatUint(l.bus, 10), receivedCell(l.boxes), feed})
	}
	fmt.Fprintf(d.out, "\n读取、拒收、退回、接收由报送方计数;收到由各接收方自己的文件计数;公开由公开信息源计数\n"+
		"read, refused, rejected, accepted: counted by senders; received: in the receivers' own files; feed: on the public feeds\n\n%s\n", aligned(rows))
}

// receivedCell is one number where all receivers have the same, else each.
func receivedCell(boxes map[string]inbox) string {
	byCount := map[int][]string{}
	for _, dept := range slices.Sorted(maps.Keys(boxes)) {
		byCount[boxes[dept].records] = append(byCount[boxes[dept].records], dept)
	}
	var parts []string
	for _, n := range slices.Sorted(maps.Keys(byCount)) {
		who := strings.Join(byCount[n], " ")
		if len(byCount[n]) > 2 {
			who = fmt.Sprintf("×%d", len(byCount[n]))
		}
		parts = append(parts, fmt.Sprintf("%d %s", n, who))
	}
	return strings.Join(parts, ", ")
}

// sentencesShown is how many refusals of a resource the summary repeats.
const sentencesShown = 3

// printStory tells what the table does not: the round trip, the review, the
// refusals, the proof.
func (d *demo) printStory(lines []line, size uint64) {
	byName := map[string]line{}
	for _, l := range lines {
		byName[l.resource] = l
	}
	replies, units := byName["motions.handling"].boxes["zxta"], map[string]bool{}
	for key := range replies.last {
		_, unit, _ := strings.Cut(key[strings.LastIndexByte(key, '|'):], "|")
		units[unit] = true
	}
	fmt.Fprintf(d.out, "  提案往返:%d个承办单位办复%d件,提案委全部收到 / round trip: %d units answered %d motions, all replies reached the committee\n", len(units), replies.records, len(units), replies.records)
	if f := byName["projects.disclosure"].feed; f != nil {
		fmt.Fprintf(d.out, "  公开审核:末步前公开%d条,审核后%d条,撤回%d条,退回%d条 / review: %d on the feed before the last steps, %d after, %d withdrawn, %d sent back\n", d.early, f.shown, f.withdrawn, len(disclosers), d.early, f.shown, f.withdrawn, len(disclosers))
	}
	if size > 0 {
		fmt.Fprintf(d.out, "  检查点(%d叶)和3份证据包在节点停止后验证通过 / checkpoint of %d leaves and 3 evidence files verified with the nodes stopped\n", size, size)
	}
	fmt.Fprintf(d.out, "\n  退回理由举例 / some refusals as people read them\n")
	for _, r := range resources() {
		list := slices.Clone(d.refusals[r])
		if r == "org.unit" {
			list = slices.Clone(d.byHandRefusals)
		}
		slices.Sort(list)
		list = slices.Compact(list)
		for _, s := range list[:min(sentencesShown, len(list))] {
			fmt.Fprintf(d.out, "  · %s  %s\n", r, s)
		}
	}
}

// firstLines are the first n lines that are not empty.
func firstLines(s string, n int) []string {
	var out []string
	for line := range strings.Lines(s) {
		if line = strings.TrimSpace(line); line != "" && len(out) < n {
			out = append(out, line)
		}
	}
	return out
}
