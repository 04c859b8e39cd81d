package api

import (
	"errors"
	"fmt"
	"net/http"
)

// Code is a stable name of a problem.
type Code string

// The problem codes. Each has one HTTP status, one class and one exit code:
// see Lookup.
const (
	CodeInvalidRecord        Code = "invalid_record"
	CodeInvalid              Code = "invalid"
	CodeUnknownMember        Code = "unknown_member"
	CodeMalformed            Code = "malformed"
	CodeSchemaUnknown        Code = "schema_unknown"
	CodeSchemaRefused        Code = "schema_refused"
	CodeIDConflict           Code = "id_conflict"
	CodeKeyOwned             Code = "key_owned"
	CodeStaleVersion         Code = "stale_version"
	CodeSequenceGap          Code = "sequence_gap"
	CodeFenced               Code = "fenced"
	CodeAhead                Code = "ahead"
	CodeEpochChanged         Code = "epoch_changed"
	CodeConflict             Code = "conflict"
	CodeRevisionConflict     Code = "revision_conflict"
	CodePreconditionRequired Code = "precondition_required"
	CodeUnauthenticated      Code = "unauthenticated"
	CodeNotGranted           Code = "not_granted"
	CodeNotFound             Code = "not_found"
	CodeTooLarge             Code = "too_large"
	CodeUnsupportedMediaType Code = "unsupported_media_type"
	CodeQuotaExceeded        Code = "quota_exceeded"
	CodePushback             Code = "pushback"
	CodeQuarantineFull       Code = "quarantine_full"
	CodeNoLeader             Code = "no_leader"
	CodeNotFresh             Code = "not_fresh"
	CodeDiskLow              Code = "disk_low"
	CodeErased               Code = "erased"
	CodeInternal             Code = "internal"
)

// Class groups codes by what the caller does next.
type Class uint8

// The classes.
const (
	ClassInternal    Class = iota // report it; exit code 1
	ClassRefused                  // change the request; exit code 2
	ClassUnavailable              // try again later; exit code 3
)

// Meaning is what a code stands for.
type Meaning struct {
	Status int // HTTP status
	Class  Class
	Zh, En string // title for people
}

var meanings = map[Code]Meaning{
	CodeInvalidRecord:        {http.StatusUnprocessableEntity, ClassRefused, "记录不符合模式", "the record does not meet its schema"},
	CodeInvalid:              {http.StatusUnprocessableEntity, ClassRefused, "内容不合规则", "the content breaks a rule"},
	CodeUnknownMember:        {http.StatusBadRequest, ClassRefused, "出现未定义的成员", "a member that is not defined here"},
	CodeMalformed:            {http.StatusBadRequest, ClassRefused, "请求格式错误", "the request is malformed"},
	CodeSchemaUnknown:        {http.StatusUnprocessableEntity, ClassRefused, "没有这个模式版本", "no such schema version"},
	CodeSchemaRefused:        {http.StatusUnprocessableEntity, ClassRefused, "模式不合规范", "the schema is outside the profile"},
	CodeIDConflict:           {http.StatusConflict, ClassRefused, "同一标识已用于另一条记录", "the id was used for another record"},
	CodeKeyOwned:             {http.StatusForbidden, ClassRefused, "业务主键属于另一部门", "the key belongs to another department"},
	CodeStaleVersion:         {http.StatusConflict, ClassRefused, "来源版本不新于现有版本", "the source version is not newer"},
	CodeSequenceGap:          {http.StatusConflict, ClassRefused, "序号不连续", "the sequence has a gap"},
	CodeFenced:               {http.StatusConflict, ClassRefused, "生产者纪元已被取代", "a newer epoch of this producer exists"},
	CodeAhead:                {http.StatusConflict, ClassRefused, "总线所记序号超前于发件箱", "the bus knows more than this outbox"},
	CodeEpochChanged:         {http.StatusConflict, ClassRefused, "集群纪元已变", "the cluster epoch has changed"},
	CodeConflict:             {http.StatusConflict, ClassRefused, "与现状冲突", "in conflict with the present state"},
	CodeRevisionConflict:     {http.StatusPreconditionFailed, ClassRefused, "对象已被他人修改", "the object has changed since it was read"},
	CodePreconditionRequired: {http.StatusPreconditionRequired, ClassRefused, "须带 If-Match", "If-Match is required"},
	CodeUnauthenticated:      {http.StatusUnauthorized, ClassRefused, "未认证", "not authenticated"},
	CodeNotGranted:           {http.StatusForbidden, ClassRefused, "没有授权", "not granted"},
	CodeNotFound:             {http.StatusNotFound, ClassRefused, "没有找到", "not found"},
	CodeTooLarge:             {http.StatusRequestEntityTooLarge, ClassRefused, "超过大小限制", "too large"},
	CodeUnsupportedMediaType: {http.StatusUnsupportedMediaType, ClassRefused, "不支持的媒体类型", "unsupported media type"},
	CodeQuotaExceeded:        {http.StatusTooManyRequests, ClassUnavailable, "超过配额", "quota exceeded"},
	CodePushback:             {http.StatusTooManyRequests, ClassUnavailable, "总线繁忙,请稍后重试", "the bus is busy; try again later"},
	CodeQuarantineFull:       {http.StatusTooManyRequests, ClassUnavailable, "隔离区已满,请先处理退回的记录", "the quarantine is full; clear it first"},
	CodeNoLeader:             {http.StatusServiceUnavailable, ClassUnavailable, "暂无主节点", "no leader at the moment"},
	CodeNotFresh:             {http.StatusServiceUnavailable, ClassUnavailable, "本节点状态不够新", "this node's state is not fresh"},
	CodeDiskLow:              {http.StatusInsufficientStorage, ClassUnavailable, "磁盘空间不足", "disk space is low"},
	CodeErased:               {http.StatusGone, ClassRefused, "内容已删除", "the body was erased"},
	CodeInternal:             {http.StatusInternalServerError, ClassInternal, "内部错误", "internal error"},
}

// Lookup returns what code stands for; an unknown code is internal.
func Lookup(code Code) Meaning {
	if m, ok := meanings[code]; ok {
		return m
	}
	return meanings[CodeInternal]
}

// Codes returns every code with its meaning, for documents that list them.
func Codes() map[Code]Meaning {
	out := make(map[Code]Meaning, len(meanings))
	for c, m := range meanings {
		out[c] = m
	}
	return out
}

// Problem is an error answer (RFC 9457). It is an error.
//
// Detail and the messages of Errors are for people. Where a text has both
// languages it is written "中文 / English"; In picks one.
type Problem struct {
	Type     string       `json:"type"`
	Title    string       `json:"title"`
	Status   int          `json:"status"`
	Code     Code         `json:"code"`
	Detail   string       `json:"detail,omitempty"`
	Instance string       `json:"instance,omitempty"`
	Errors   []FieldError `json:"errors,omitempty"`
	More     int          `json:"more,omitempty"`
	Expected uint64       `json:"expected,omitempty"` // sequence_gap, ahead, epoch_changed: where to resume

	Quarantine uint64 `json:"quarantine,omitempty"` // where the refused record waits

	RetryAfter int   `json:"-"` // seconds, from or for the header
	Cause      error `json:"-"` // for the log only, never sent
}

// Refuse makes a problem of code with a detail for people.
func Refuse(code Code, format string, args ...any) *Problem {
	m := Lookup(code)
	return &Problem{Type: "urn:hutong:problem:" + string(code), Title: m.En, Status: m.Status, Code: code, Detail: fmt.Sprintf(format, args...)}
}

// Internal hides err from the caller and keeps it for the log.
func Internal(err error) *Problem {
	p := Refuse(CodeInternal, "see the node's log")
	p.Cause = err
	return p
}

// Error is the code and the detail.
func (p *Problem) Error() string {
	if p.Detail == "" {
		return string(p.Code) + ": " + p.Title
	}
	return string(p.Code) + ": " + p.Detail
}

// Class is what the caller does next. A code that this program does not know
// is judged by its HTTP status: the server may be newer.
func (p *Problem) Class() Class {
	if m, ok := meanings[p.Code]; ok {
		return m.Class
	}
	switch {
	case p.Status == http.StatusTooManyRequests, p.Status == http.StatusBadGateway, p.Status == http.StatusServiceUnavailable,
		p.Status == http.StatusGatewayTimeout, p.Status == http.StatusInsufficientStorage:
		return ClassUnavailable
	case p.Status >= 300 && p.Status < 500:
		return ClassRefused
	}
	return ClassInternal
}

// Unwrap returns the cause, which is never sent.
func (p *Problem) Unwrap() error { return p.Cause }

// ErrUnreachable is returned when no server of the client's list answered.
var ErrUnreachable = errors.New("no server answered")

// ErrNotCovered is returned by verification when the evidence does not reach
// what was asked.
var ErrNotCovered = errors.New("not covered")

// Exit codes of the programs.
const (
	ExitDone        = 0
	ExitInternal    = 1
	ExitRefused     = 2
	ExitUnreachable = 3
	ExitNotCovered  = 4
)

// ExitCode maps an error to the exit code of a program.
func ExitCode(err error) int {
	var p *Problem
	switch {
	case err == nil:
		return ExitDone
	case errors.Is(err, ErrNotCovered):
		return ExitNotCovered
	case errors.Is(err, ErrUnreachable):
		return ExitUnreachable
	case errors.As(err, &p):
		switch p.Class() {
		case ClassRefused:
			return ExitRefused
		case ClassUnavailable:
			return ExitUnreachable
		}
		return ExitInternal
	}
	return ExitInternal
}
