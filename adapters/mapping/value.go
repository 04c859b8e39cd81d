package mapping

import (
	"encoding/base64"
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"github.com/hutong-bus/hutong/adapters"
	"github.com/hutong-bus/hutong/schemas/record"
)

// valueOf turns a cell into what JSON can say: nil (absent and null), string, json.Number, bool, []any, map[string]any.
func valueOf(v adapters.Value, zone *time.Location) any {
	switch v.Kind() {
	case adapters.KindText, adapters.KindDate:
		return v.Raw()
	case adapters.KindInt:
		return json.Number(strconv.FormatInt(v.Int64(), 10))
	case adapters.KindDecimal:
		return json.Number(v.Raw())
	case adapters.KindBool:
		return v.Int64() != 0
	case adapters.KindLocal:
		if t, err := time.ParseInLocation("2006-01-02T15:04:05.999999999", v.Raw(), zone); err == nil {
			return t.Format(time.RFC3339Nano)
		}
		return v.Raw()
	case adapters.KindInstant:
		return time.UnixMilli(v.Int64()).In(zone).Format("2006-01-02T15:04:05.999Z07:00")
	case adapters.KindBytes:
		return base64.StdEncoding.EncodeToString([]byte(v.Raw()))
	case adapters.KindJSON:
		_, tree, err := record.Decode([]byte(v.Raw()), treeLimits())
		if err != nil {
			return v.Raw() // sources decode strictly, so this is text in the wrong kind: the schema will name it
		}
		return tree
	default:
		return nil
	}
}

// treeLimits bounds one JSON cell: as a record, but as long as the largest row.
func treeLimits() record.Limits {
	lim := record.DefaultLimits()
	lim.RecordBytes = maxCellBytes
	return lim
}

// maxCellBytes bounds a JSON cell that becomes many records.
const maxCellBytes = 16 << 20

// textOf is a scalar as a person would write it; lists and objects are JSON.
func textOf(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return v
	case json.Number:
		return string(v)
	case bool:
		return strconv.FormatBool(v)
	default:
		return string(appendJSON(nil, v))
	}
}

// appendJSON writes compact JSON; members of objects are sorted by name.
func appendJSON(dst []byte, v any) []byte {
	switch v := v.(type) {
	case nil:
		return append(dst, "null"...)
	case bool:
		return strconv.AppendBool(dst, v)
	case json.Number:
		return append(dst, v...)
	case string:
		return record.AppendString(dst, v)
	case []any:
		dst = append(dst, '[')
		for i, e := range v {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = appendJSON(dst, e)
		}
		return append(dst, ']')
	case map[string]any:
		dst = append(dst, '{')
		for i, name := range sortedKeys(v) {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = append(record.AppendString(dst, name), ':')
			dst = appendJSON(dst, v[name])
		}
		return append(dst, '}')
	}
	return append(dst, "null"...)
}

// member follows a path of member names; an exact name wins over a path.
func member(v any, name string) any {
	object, ok := v.(map[string]any)
	if !ok {
		return nil
	}
	if got, ok := object[name]; ok {
		return got
	}
	if head, rest, dotted := strings.Cut(name, "."); dotted {
		return member(object[head], rest)
	}
	return nil
}
