package exchange

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"github.com/hutong-bus/hutong/node/api"
	"github.com/hutong-bus/hutong/node/state"
	"github.com/hutong-bus/hutong/schemas"
	"github.com/hutong-bus/hutong/schemas/record"
)

// judged is a record with its verdict.
type judged struct {
	rec        record.Record
	id, key    string
	version    uint32
	schema     *schemas.Schema
	violations []schemas.Violation
	more       int
	warnings   []string
	problem    *api.Problem // not a record at all: nothing of it reaches the log
}

// refused is true for a record that breaks a rule.
func (j *judged) refused() bool { return len(j.violations) > 0 }

// judge reads and judges line i by the catalogue that v shows.
func (b *batch) judge(v *state.View, i int) judged {
	var j judged
	limits := record.DefaultLimits()
	limits.RecordBytes = b.s.config.RecordBytes
	rec, err := record.DecodeRecord(b.in.Lines[i], limits)
	j.rec = rec
	if err != nil {
		j.problem = unreadable(err)
		return j
	}
	if j.problem = b.identify(&j, i); j.problem != nil {
		return j
	}
	j.version = rec.SchemaVersion
	if j.version == 0 {
		j.version = b.caller.System.Pinned[b.in.Resource]
	}
	if j.version == 0 {
		j.version = b.resource.SchemaVersion
	}
	j.schema, err = b.s.schema(v, b.in.Resource, j.version)
	switch {
	case errors.Is(err, state.ErrNotFound):
		keyword := keywordVersion
		if j.version == 0 {
			keyword = keywordNoSchema
		}
		j.violate("", keyword, string(api.CodeSchemaUnknown))
	case err != nil:
		j.problem = api.Internal(fmt.Errorf("compile schema %s %d: %w", b.in.Resource, j.version, err))
		return j
	}
	if j.schema != nil && rec.Op == record.Upsert {
		verdict := j.schema.Validate(rec.Value)
		j.violations, j.more, j.warnings = verdict.Violations, verdict.More, verdict.Warnings
	}
	b.findKey(&j)
	return j
}

// unreadable is the problem of bytes that are no record.
func unreadable(err error) *api.Problem {
	var syntax *record.SyntaxError
	var member *record.MemberError
	switch {
	case errors.As(err, &syntax):
		code := api.CodeMalformed
		if syntax.Rule == record.RuleTooLarge {
			code = api.CodeTooLarge
		}
		p := api.Refuse(code, "不是合规则的 JSON 记录:第%[2]d字节处 %[1]s / not a record in strict JSON: %[1]s at byte %[2]d", syntax.Rule, syntax.Offset)
		p.Errors = []api.FieldError{{Pointer: syntax.Pointer, Keyword: syntax.Rule, Code: string(code), Message: fmt.Sprintf("第%d字节处不合严格 JSON 规则(%s)。改法:修正该处后重发 / byte %d breaks strict JSON (%s); mend it and send again", syntax.Offset, syntax.Rule, syntax.Offset, syntax.Rule)}}
		return p
	case errors.As(err, &member):
		code := api.CodeMalformed
		if member.Rule == record.RuleUnknownMember {
			code = api.CodeUnknownMember
		}
		p := api.Refuse(code, "记录成员%[1]q:%[2]s / member %[1]q of the record: %[2]s", member.Member, member.Rule)
		p.Errors = []api.FieldError{{Pointer: "/" + member.Member, Keyword: member.Rule, Code: string(code), Message: fmt.Sprintf("记录成员“%s”不合规则(%s)。改法:按接口约定填写 / member %q of the record breaks a rule (%s)", member.Member, member.Rule, member.Member, member.Rule)}}
		return p
	}
	return api.Refuse(api.CodeMalformed, "不是一条记录 / not a record")
}

// identify gives the record its id, by one of the two forms.
func (b *batch) identify(j *judged, i int) *api.Problem {
	switch {
	case b.in.Producer != "" && j.rec.Seq == 0:
		return api.Refuse(api.CodeMalformed, "第%[1]d条没有 seq,生产者的每条记录都须有 / line %[1]d has no seq, which every record of a producer needs", i+1)
	case b.in.Producer == "" && j.rec.Seq != 0:
		return api.Refuse(api.CodeMalformed, "第%[1]d条带有 seq,但请求没有写明生产者(请求头 %[2]s) / line %[1]d has a seq, but the request names no producer (header %[2]s)", i+1, api.ProducerHeader)
	case b.in.Producer != "":
		want := record.ProducerID(b.in.Producer, b.in.Epoch, j.rec.Seq)
		if j.rec.ID != "" && j.rec.ID != want {
			return api.Refuse(api.CodeMalformed, "第%[1]d条在 seq 之外另有自己的 id,请去掉一个 / line %[1]d has an id of its own beside its seq; leave one out", i+1)
		}
		j.id = want
	case j.rec.ID != "":
		j.id = j.rec.ID
	case i < len(b.judged) && b.judged[i].id != "":
		// Judged again: an earlier copy may have been applied after all.
		j.id = b.judged[i].id
	default:
		id, err := uuid.NewV7()
		if err != nil {
			return api.Internal(fmt.Errorf("draw id: %w", err))
		}
		j.id = id.String()
	}
	return nil
}

// findKey makes the key from the key fields; a key sent along must agree.
func (b *batch) findKey(j *judged) {
	j.key = j.rec.Key
	if len(b.resource.Key) == 0 || j.rec.Op == record.Withdraw {
		if j.key == "" {
			j.violate("", "key", "key_missing")
		}
		return
	}
	key, err := record.KeyOf(j.rec.Value, b.resource.Key)
	if err != nil {
		var member *record.MemberError
		pointer := ""
		if errors.As(err, &member) && member.Member != "" {
			pointer = "/" + member.Member
		}
		if !j.refusesAt(pointer) {
			j.violate(pointer, "key", "key_field")
		}
		return
	}
	if j.rec.Key != "" && j.rec.Key != key {
		j.violate("", "key", "key_differs")
		return
	}
	j.key = key
}

// violate adds a reason; past what a verdict lists it is counted only.
func (j *judged) violate(pointer, keyword, code string) {
	if len(j.violations) == schemas.MaxViolations {
		j.more++
		return
	}
	j.violations = append(j.violations, schemas.Violation{Pointer: pointer, Keyword: keyword, Code: code})
}

// refusesAt is true where the schema refused that place already, the absence of
// a member included: one reason for one fault.
func (j *judged) refusesAt(pointer string) bool {
	return slices.ContainsFunc(j.violations, func(v schemas.Violation) bool { return v.Pointer == pointer })
}

// fieldErrors are the reasons as the publisher reads them: with what stood
// there, for it is the owner.
func (b *batch) fieldErrors(j *judged) []api.FieldError {
	out := make([]api.FieldError, 0, len(j.violations))
	for _, v := range j.violations {
		out = append(out, fieldError(j.schema, v, b.in.Language, got(j.rec.Value, v.Pointer)))
	}
	return out
}

// reason is a refusal that has no place in the record.
func (b *batch) reason(code string) api.FieldError {
	m := api.Lookup(api.Code(code))
	text := m.Zh + " / " + m.En
	if code == state.StatusUnapplied.String() {
		text = "同一批中有记录被退回,整批未接收 / another record of the batch was refused, so nothing of it was taken"
	}
	return api.FieldError{Code: code, Keyword: code, Message: api.In(b.in.Language, text)}
}

// Keywords of the refusals of a schema version that is not there.
const (
	keywordVersion  = "schema_version"
	keywordNoSchema = "no_schema"
)

// ownRules are the refusals that this room adds to the schema's, by code, or by
// keyword where a code has several.
var ownRules = map[string]string{
	"key_missing":   "记录没有业务主键。改法:填写 key / the record has no key; give one as key",
	"key_field":     "主键字段缺失或不是文本、数字。改法:补上该字段 / a key field is missing or neither text nor number; fill it in",
	"key_differs":   "key 与主键字段不一致。改法:去掉 key,或与主键字段保持一致 / key differs from the key fields; leave it out or make it agree",
	keywordVersion:  "没有这个模式版本。改法:改用已登记的版本 / no such schema version; use a registered one",
	keywordNoSchema: "该数据资源还没有登记模式,不能接收记录。改法:请管理员先登记模式 / the resource has no schema yet, so no record can be taken; have the administrator register one first",
}

// fieldError renders one violation. Without a schema, or for the rules of
// this room, the sentence is ours.
func fieldError(schema *schemas.Schema, v schemas.Violation, language, got string) api.FieldError {
	e := api.FieldError{Pointer: v.Pointer, Keyword: v.Keyword, Code: v.Code}
	own, ok := ownRules[v.Code]
	if !ok {
		own, ok = ownRules[v.Keyword]
	}
	switch {
	case ok:
		e.Message = api.In(language, own)
	case schema != nil && language == schemas.English:
		e.Message = schema.Sentence(v, schemas.English, nil, got)
	case schema != nil:
		e.Message = schema.Sentence(v, schemas.Chinese, nil, got)
	}
	return e
}

// gotRunesMax bounds how much of a wrong value a sentence repeats.
const gotRunesMax = 40

// got is what stood at a pointer, as text; empty for what is not a scalar.
func got(value any, pointer string) string {
	for _, token := range strings.Split(strings.TrimPrefix(pointer, "/"), "/") {
		if pointer == "" {
			break
		}
		token = strings.ReplaceAll(strings.ReplaceAll(token, "~1", "/"), "~0", "~")
		switch t := value.(type) {
		case map[string]any:
			value = t[token]
		case []any:
			i, err := strconv.Atoi(token)
			if err != nil || i < 0 || i >= len(t) {
				return ""
			}
			value = t[i]
		default:
			return ""
		}
	}
	var text string
	switch t := value.(type) {
	case string:
		text = t
	case json.Number:
		text = t.String()
	case bool:
		text = strconv.FormatBool(t)
	}
	if r := []rune(text); len(r) > gotRunesMax {
		text = string(r[:gotRunesMax]) + "…"
	}
	return text
}

// secret draws the section's secret.
func (s *Service) secret(h *record.Header) error {
	if _, err := io.ReadFull(s.random, h.Secret[:]); err != nil {
		return api.Internal(fmt.Errorf("draw secret: %w", err))
	}
	return nil
}
