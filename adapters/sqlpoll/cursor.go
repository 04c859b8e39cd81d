package sqlpoll

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/hutong-bus/hutong/adapters"
)

const cursorVersion = 1

// seenCarried is how many rows of an overlap a cursor carries, seenRows how
// many a running source remembers. Beyond either, rows are handed over again
// and found unchanged by the outbox.
const (
	seenCarried = 512
	seenRows    = 100_000
)

// cursor is the source's position. Place is the last row handed over, by the
// texts of its order columns, Inside that more rows follow it in the same look; High is the latest moment handed over, from
// which the next look goes back by the overlap; Seen are the rows of that
// overlap that were handed over, unless they are too many to carry along.
type cursor struct {
	V       int      `json:"v"`
	Driver  string   `json:"driver"`
	Table   string   `json:"table"`
	Order   []string `json:"order"`
	Columns []column `json:"columns"`
	Place   []string `json:"place,omitempty"`
	Inside  bool     `json:"inside,omitempty"`
	High    string   `json:"high,omitempty"`

	Seen map[string]seenRow `json:"seen,omitempty"`
}

// seenRow is one row of the overlap: its moment and a hash of its cells.
type seenRow struct {
	At   string `json:"a"`
	Hash string `json:"h"`
}

// column is one column of the table's layout.
type column struct {
	Name     string `json:"n"`
	Type     string `json:"t"`
	Nullable bool   `json:"-"`
	Key      bool   `json:"-"`
}

// layout is the short fingerprint that a person accepts a changed table by.
func layout(cols []column) string {
	raw, err := json.Marshal(cols)
	if err != nil { // names and types are strings
		panic(fmt.Sprintf("sqlpoll: encode layout: %v", err))
	}
	sum := sha256.Sum256(raw)
	return hex.EncodeToString(sum[:4])
}

func (c cursor) encode() (adapters.Cursor, error) {
	if len(c.Seen) > seenCarried {
		c.Seen = nil
	}
	raw, err := json.Marshal(c)
	if err != nil {
		return nil, fmt.Errorf("encode cursor: %w", err)
	}
	return raw, nil
}

// decodeCursor reads raw for conf; an empty one is the first run.
func decodeCursor(raw adapters.Cursor, conf Config) (cursor, error) {
	fresh := cursor{V: cursorVersion, Driver: conf.Driver, Table: conf.Table, Order: conf.order()}
	if len(raw) == 0 {
		return fresh, nil
	}
	var c cursor
	if err := json.Unmarshal(raw, &c); err != nil {
		return c, fmt.Errorf("%w: %w", adapters.ErrCursor, err)
	}
	switch {
	case c.V != cursorVersion:
		return c, fmt.Errorf("%w: version %d", adapters.ErrCursor, c.V)
	case c.Driver != conf.Driver || c.Table != conf.Table:
		return c, fmt.Errorf("%w: it is of table %s (%s), not %s (%s)", adapters.ErrCursor, c.Table, c.Driver, conf.Table, conf.Driver)
	case !slices.Equal(c.Order, conf.order()):
		return c, fmt.Errorf("%w: it is ordered by %v, not %v", adapters.ErrCursor, c.Order, conf.order())
	case len(c.Place) != 0 && len(c.Place) != len(c.Order):
		return c, fmt.Errorf("%w: its place has %d parts for %d columns", adapters.ErrCursor, len(c.Place), len(c.Order))
	}
	return c, nil
}

// compare tells what changed between the layout of the cursor and the present
// one: what may go on (new columns), and what must stop.
func compare(before, now []column) (added, broken []adapters.Drift) {
	if len(before) == 0 {
		return nil, nil
	}
	have := map[string]string{}
	for _, c := range now {
		have[c.Name] = c.Type
	}
	had := map[string]bool{}
	for _, c := range before {
		had[c.Name] = true
		t, ok := have[c.Name]
		switch {
		case !ok:
			broken = append(broken, adapters.Drift{Kind: "missing", Column: c.Name,
				Zh: fmt.Sprintf("列“%s”已不存在", c.Name), En: fmt.Sprintf("column %q is gone", c.Name)})
		case t != c.Type:
			broken = append(broken, adapters.Drift{Kind: "retyped", Column: c.Name,
				Zh: fmt.Sprintf("列“%s”的类型由%s变为%s", c.Name, c.Type, t), En: fmt.Sprintf("column %q changed its type from %s to %s", c.Name, c.Type, t)})
		}
	}
	for _, c := range now {
		if !had[c.Name] {
			added = append(added, adapters.Drift{Kind: "added", Column: c.Name,
				Zh: fmt.Sprintf("新增列“%s”(%s),请检查映射", c.Name, c.Type), En: fmt.Sprintf("column %q (%s) is new; look at the mapping", c.Name, c.Type)})
		}
	}
	if len(broken) > 0 {
		print := layout(now)
		last := &broken[len(broken)-1]
		last.Zh += fmt.Sprintf("。改法:核对映射,确认后在该流的source中写入layout: \"%s\"再启动", print)
		last.En += fmt.Sprintf("; look at the mapping, then write layout: %q into the stream's source and start again", print)
	}
	return added, broken
}
