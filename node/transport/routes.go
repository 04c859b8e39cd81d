package transport

import (
	"context"
	"net/http"
	"reflect"

	"github.com/hutong-bus/hutong/node/api"
	"github.com/hutong-bus/hutong/node/exchange"
	"github.com/hutong-bus/hutong/node/policy"
)

// route is one line of the table: an address, what goes in and out, and the
// handler.
type route struct {
	method, pattern string
	name            string // stable, names the route in metrics and in /openapi.json
	summary         string
	anonymous       bool         // no credential is asked for
	public          bool         // on the public listener too
	publicOnly      bool         // on the public listener and nowhere else
	in, out         reflect.Type // nil where there is no JSON body
	body            []string     // media types of a body that is no JSON object of ours
	answer          string       // media type of an answer that is none
	query           []string     // parameters beside the path
	handler         func(*route) http.Handler
}

// typed fills in what a handler takes and gives for /openapi.json.
func typed[In, Out any](r route) route {
	if t := reflect.TypeFor[In](); t != reflect.TypeFor[struct{}]() {
		r.in = t
	}
	if t := reflect.TypeFor[Out](); t != reflect.TypeFor[struct{}]() {
		r.out = t
	}
	return r
}

// on binds a decoder and an act to the route's handler.
func on[Req, Resp any](s *Server, decode func(*http.Request) (Req, error), act func(context.Context, policy.Caller, Req) (Resp, error)) func(*route) http.Handler {
	return func(r *route) http.Handler { return handle(s, r, decode, act) }
}

type nothing = struct{}

// Parameters that several addresses share.
var (
	readQuery = []string{"grant", "key", "consistency", "epoch"}
	pageQuery = []string{"grant", "key", "consistency", "epoch", "after", "limit", "wait"}
	listQuery = []string{"resource", "state", "after", "limit"}
)

const (
	oneRecord   = "application/json"
	manyRecords = "application/x-ndjson"
	plainText   = "text/plain; charset=utf-8"
)

// routes is every address of the bus.
func (s *Server) routes() []route {
	var table []route
	table = append(table, s.recordRoutes()...)
	table = append(table, s.catalogueRoutes()...)
	table = append(table, s.organisationRoutes()...)
	table = append(table, s.accessRoutes()...)
	table = append(table, s.operationRoutes()...)
	return append(table, s.publicRoutes()...)
}

func (s *Server) recordRoutes() []route {
	const base = "/v1/resources/{resource}/"
	return []route{
		typed[nothing, api.PublishAnswer](route{method: "POST", pattern: base + "records", name: "publish", summary: "Publish one record (application/json) or many (application/x-ndjson)", body: []string{oneRecord, manyRecords}, handler: on(s, s.decodePublish, s.publish)}),
		typed[nothing, api.Verdict](route{method: "POST", pattern: base + "validate", name: "validate", summary: "Judge a record without storing it", body: []string{oneRecord}, handler: on(s, s.decodeValidate, s.service.Validate)}),
		typed[nothing, api.Page](route{method: "GET", pattern: base + "records", name: "records", summary: "Read by offset, as far as the caller may; with key= its present state", query: pageQuery, handler: on(s, s.decodeRead, s.records)}),
		typed[nothing, api.Record](route{method: "GET", pattern: base + "records/{key}", name: "record", summary: "Present state of a key", query: readQuery, handler: on(s, s.decodeRead, s.byKey)}),
		typed[nothing, api.Page](route{method: "GET", pattern: base + "records/{key}/history", name: "history", summary: "All versions of a key", query: readQuery, handler: on(s, s.decodeRead, s.history)}),
		{method: "GET", pattern: base + "records/{key}/evidence", name: "evidence", summary: "Evidence file (.hev) of a key", query: readQuery, answer: evidenceType, handler: on(s, s.decodeRead, s.evidence)},
		{method: "GET", pattern: base + "records/{key}/receipt", name: "receipt", summary: "Receipt of a key's present version as a signed note", query: readQuery, answer: plainText, handler: on(s, s.decodeRead, s.receipt)},
	}
}

func (s *Server) catalogueRoutes() []route {
	list := decodeNamed([]string{"resource", "version"}, nil)
	return []route{
		typed[nothing, []api.Resource](route{method: "GET", pattern: "/v1/resources", name: "resource_list", summary: "Catalogue", handler: on(s, list, ignoring(s.service.Resources))}),
		typed[nothing, api.Resource](route{method: "GET", pattern: "/v1/resources/{resource}", name: "resource_show", summary: "Catalogue entry", handler: on(s, list, s.getResource)}),
		typed[api.Resource, api.Resource](route{method: "PUT", pattern: "/v1/resources/{resource}", name: "resource_put", summary: "Write a catalogue entry", handler: on(s, decodePut[api.Resource](s, "resource"), s.putResource)}),
		typed[nothing, api.SchemaInfo](route{method: "POST", pattern: "/v1/resources/{resource}/schemas", name: "schema_register", summary: "Register the next schema version", body: []string{schemaType, "application/json"}, handler: on(s, s.decodeSchema, s.registerSchema)}),
		typed[nothing, []api.SchemaInfo](route{method: "GET", pattern: "/v1/resources/{resource}/schemas", name: "schema_list", summary: "Schema versions", handler: on(s, list, func(ctx context.Context, c policy.Caller, in named) ([]api.SchemaInfo, error) {
			return s.service.Schemas(ctx, c, in.path["resource"])
		})}),
		{method: "GET", pattern: "/v1/resources/{resource}/schemas/{version}", name: "schema_show", summary: "One schema version", answer: schemaType, handler: on(s, list, s.schema)},
	}
}

func (s *Server) organisationRoutes() []route {
	path := decodeNamed([]string{"department", "system", "group", "credential"}, nil)
	const system = "/v1/departments/{department}/systems/{system}"
	return []route{
		typed[nothing, []api.Department](route{method: "GET", pattern: "/v1/departments", name: "department_list", summary: "Departments", handler: on(s, path, ignoring(s.service.Departments))}),
		typed[nothing, api.Department](route{method: "GET", pattern: "/v1/departments/{department}", name: "department_show", summary: "Department", handler: on(s, path, s.getDepartment)}),
		typed[api.Department, api.Department](route{method: "PUT", pattern: "/v1/departments/{department}", name: "department_put", summary: "Write a department", handler: on(s, decodePut[api.Department](s, "department"), s.putDepartment)}),
		typed[nothing, []api.System](route{method: "GET", pattern: "/v1/departments/{department}/systems", name: "system_list", summary: "Systems of a department", handler: on(s, path, func(ctx context.Context, c policy.Caller, in named) ([]api.System, error) {
			return s.service.Systems(ctx, c, in.path["department"])
		})}),
		typed[nothing, api.System](route{method: "GET", pattern: system, name: "system_show", summary: "System", handler: on(s, path, s.getSystem)}),
		typed[api.System, api.System](route{method: "PUT", pattern: system, name: "system_put", summary: "Write a system", handler: on(s, decodePut[api.System](s, "department", "system"), s.putSystem)}),
		typed[nothing, []api.Credential](route{method: "GET", pattern: system + "/credentials", name: "credential_list", summary: "Credentials of a system, without secrets", handler: on(s, path, func(ctx context.Context, c policy.Caller, in named) ([]api.Credential, error) {
			return s.service.Credentials(ctx, c, in.path["department"], in.path["system"])
		})}),
		typed[api.CredentialRequest, api.Credential](route{method: "POST", pattern: system + "/credentials", name: "credential_issue", summary: "Issue a credential; its secret is shown once", handler: on(s, decodeAct[api.CredentialRequest](s, "department", "system"), created(s.service.IssueCredential))}),
		{method: "DELETE", pattern: system + "/credentials/{credential}", name: "credential_revoke", summary: "Revoke a credential", handler: on(s, path, done(func(ctx context.Context, c policy.Caller, in named) error {
			return s.service.RevokeCredential(ctx, c, in.path["department"], in.path["system"], in.path["credential"])
		}))},
		typed[exchange.Fence, exchange.Fence](route{method: "POST", pattern: system + "/fence", name: "system_fence", summary: "Raise the epoch of a system's producers", handler: on(s, decodeAct[exchange.Fence](s, "department", "system"), s.service.FenceSystem)}),
		typed[nothing, []api.Group](route{method: "GET", pattern: "/v1/groups", name: "group_list", summary: "Groups", handler: on(s, path, ignoring(s.service.Groups))}),
		typed[nothing, api.Group](route{method: "GET", pattern: "/v1/groups/{group}", name: "group_show", summary: "Group", handler: on(s, path, s.getGroup)}),
		typed[api.Group, api.Group](route{method: "PUT", pattern: "/v1/groups/{group}", name: "group_put", summary: "Write a group", handler: on(s, decodePut[api.Group](s, "group"), s.putGroup)}),
	}
}

func (s *Server) accessRoutes() []route {
	path := decodeNamed([]string{"grant", "subscription", "publication", "quarantine"}, []string{"resource", "state"})
	table := []route{
		typed[api.Grant, api.Grant](route{method: "POST", pattern: "/v1/grants", name: "grant_request", summary: "Request a grant", handler: on(s, decodeAct[api.Grant](s), created(s.service.RequestGrant))}),
		typed[nothing, []api.Grant](route{method: "GET", pattern: "/v1/grants", name: "grant_list", summary: "Grants", query: []string{"resource", "state"}, handler: on(s, path, func(ctx context.Context, c policy.Caller, in named) ([]api.Grant, error) {
			return s.service.Grants(ctx, c, in.query["resource"], in.query["state"])
		})}),
		typed[nothing, api.Grant](route{method: "GET", pattern: "/v1/grants/{grant}", name: "grant_show", summary: "Grant", handler: on(s, path, s.getGrant)}),
		typed[api.Subscription, api.Subscription](route{method: "POST", pattern: "/v1/subscriptions", name: "subscription_create", summary: "Create a subscription", handler: on(s, decodeAct[api.Subscription](s), created(s.service.CreateSubscription))}),
		typed[nothing, []api.Subscription](route{method: "GET", pattern: "/v1/subscriptions", name: "subscription_list", summary: "Subscriptions", query: []string{"resource"}, handler: on(s, path, func(ctx context.Context, c policy.Caller, in named) ([]api.Subscription, error) {
			return s.service.Subscriptions(ctx, c, in.query["resource"])
		})}),
		typed[nothing, api.Subscription](route{method: "GET", pattern: "/v1/subscriptions/{subscription}", name: "subscription_show", summary: "Subscription with its lag", handler: on(s, path, func(ctx context.Context, c policy.Caller, in named) (api.Subscription, error) {
			return s.service.Subscription(ctx, c, in.path["subscription"])
		})}),
		{method: "DELETE", pattern: "/v1/subscriptions/{subscription}", name: "subscription_delete", summary: "Delete a subscription", handler: on(s, path, done(func(ctx context.Context, c policy.Caller, in named) error {
			return s.service.DeleteSubscription(ctx, c, in.path["subscription"])
		}))},
		typed[nothing, api.Page](route{method: "GET", pattern: "/v1/subscriptions/{subscription}/records", name: "pull", summary: "Hand out the next records of a subscription", query: []string{"limit", "wait", "consistency"}, handler: on(s, s.decodeRead, s.pull)}),
		typed[api.Ack, api.Subscription](route{method: "POST", pattern: "/v1/subscriptions/{subscription}/ack", name: "ack", summary: "Acknowledge what was handed out", handler: on(s, s.decodeAck, s.ack)}),
		typed[nothing, []api.QuarantineItem](route{method: "GET", pattern: "/v1/quarantine", name: "quarantine_list", summary: "Refused records of the caller's department", query: listQuery, handler: on(s, s.decodeList, listed(s.service.Quarantine))}),
		typed[nothing, api.QuarantineItem](route{method: "GET", pattern: "/v1/quarantine/{quarantine}", name: "quarantine_show", summary: "One refused record", handler: on(s, path, func(ctx context.Context, c policy.Caller, in named) (api.QuarantineItem, error) {
			return s.service.QuarantineItem(ctx, c, in.path["quarantine"], in.language)
		})}),
		{method: "POST", pattern: "/v1/quarantine/{quarantine}/discard", name: "quarantine_discard", summary: "Discard a refused record", handler: on(s, decodeAct[api.Decision](s, "quarantine"), done(func(ctx context.Context, c policy.Caller, in exchange.Put[api.Decision]) error {
			return s.service.DiscardQuarantine(ctx, c, in.Path["quarantine"], in.Request)
		}))},
		typed[nothing, []api.Publication](route{method: "GET", pattern: "/v1/publications", name: "publication_list", summary: "Publications on their way", query: listQuery, handler: on(s, s.decodeList, listed(s.service.Publications))}),
		typed[nothing, api.PublicationView](route{method: "GET", pattern: "/v1/publications/{publication}", name: "publication_show", summary: "Publication, with what it would put on the portal for its deciders", handler: on(s, path, s.getPublication)}),
	}
	for _, action := range []string{"approve", "refuse", "revoke"} {
		table = append(table, typed[api.Decision, api.Grant](route{method: "POST", pattern: "/v1/grants/{grant}/" + action, name: "grant_" + action, summary: "Decide a grant: " + action, handler: on(s, decodeAct[api.Decision](s, "grant"), s.decideGrant(action))}))
	}
	for _, action := range []string{"approve", "return", "withdraw"} {
		table = append(table, typed[api.Decision, api.Publication](route{method: "POST", pattern: "/v1/publications/{publication}/" + action, name: "publication_" + action, summary: "Decide a publication: " + action, handler: on(s, decodeAct[api.Decision](s, "publication"), s.decidePublication(action))}))
	}
	for _, to := range [][2]string{{"pause", policy.SubscriptionPaused}, {"resume", policy.SubscriptionActive}} {
		table = append(table, typed[nothing, api.Subscription](route{method: "POST", pattern: "/v1/subscriptions/{subscription}/" + to[0], name: "subscription_" + to[0], summary: "Set a subscription " + to[1], handler: on(s, decodeAct[struct{}](s, "subscription"), s.setSubscription(to[1]))}))
	}
	return table
}

func (s *Server) operationRoutes() []route {
	path := decodeNamed([]string{"member"}, nil)
	return []route{
		typed[nothing, []api.Event](route{method: "GET", pattern: "/v1/audit/events", name: "events", summary: "Exchange events by resource, key, department, type, time", query: []string{"resource", "key", "department", "type", "from", "to", "after", "limit"}, handler: on(s, s.decodeEvents, s.events)}),
		{method: "GET", pattern: "/v1/audit/trust", name: "trust", summary: "Trust file of the log; compare its fingerprints on paper", answer: plainText, handler: on(s, path, func(ctx context.Context, c policy.Caller, _ named) (*reply, error) {
			b, err := s.service.Trust(ctx, c)
			return &reply{body: b, contentType: plainText}, err
		})},
		typed[nothing, api.Cluster](route{method: "GET", pattern: "/v1/cluster", name: "cluster", summary: "Nodes, leader, hashes", handler: on(s, path, func(ctx context.Context, c policy.Caller, _ named) (api.Cluster, error) {
			return s.service.Cluster(ctx, c)
		})}),
		{method: "POST", pattern: "/v1/cluster/members", name: "member_add", summary: "Add a node; answers its join bundle", answer: "application/json", in: reflect.TypeFor[api.MemberRequest](), handler: on(s, decodeAct[api.MemberRequest](s), func(ctx context.Context, c policy.Caller, in exchange.Put[api.MemberRequest]) (*reply, error) {
			b, err := s.service.AddMember(ctx, c, in.Object)
			return &reply{status: http.StatusCreated, body: b, contentType: "application/json"}, err
		})},
		{method: "DELETE", pattern: "/v1/cluster/members/{member}", name: "member_remove", summary: "Remove a node", handler: on(s, path, done(func(ctx context.Context, c policy.Caller, in named) error {
			return s.service.RemoveMember(ctx, c, in.path["member"])
		}))},
		{method: "POST", pattern: "/v1/cluster/transfer-leadership", name: "transfer_leadership", summary: "Hand leadership to another node", in: reflect.TypeFor[exchange.Transfer](), handler: on(s, decodeAct[exchange.Transfer](s), done(func(ctx context.Context, c policy.Caller, in exchange.Put[exchange.Transfer]) error {
			return s.service.TransferLeadership(ctx, c, in.Object)
		}))},
		{method: "GET", pattern: "/healthz", name: "health", summary: "The process lives", answer: "application/json", anonymous: true, public: true, handler: on(s, path, s.health)},
		{method: "GET", pattern: "/readyz", name: "ready", summary: "The node may be given work", answer: "application/json", anonymous: true, handler: on(s, path, s.ready)},
	}
}

func (s *Server) publicRoutes() []route {
	path := decodeNamed([]string{"file", "log", "level", "rest"}, nil)
	return []route{
		{method: "GET", pattern: "/feeds/{file}", name: "feed", summary: "Feed of a resource: {resource}.atom or {resource}.json", answer: "application/atom+xml", anonymous: true, publicOnly: true, handler: on(s, path, s.feed)},
		{method: "GET", pattern: "/audit/checkpoint", name: "checkpoint", summary: "Newest cosigned checkpoint", answer: plainText, anonymous: true, publicOnly: true, handler: on(s, path, s.checkpoint)},
		{method: "GET", pattern: "/audit/{log}/checkpoint", name: "log_checkpoint", summary: "Newest cosigned checkpoint of one log", answer: plainText, anonymous: true, publicOnly: true, handler: on(s, path, s.checkpoint)},
		{method: "GET", pattern: "/audit/{log}/tile/{level}/{rest...}", name: "tile", summary: "Hash tile (C2SP tlog-tiles)", answer: "application/octet-stream", anonymous: true, publicOnly: true, handler: on(s, path, s.tile)},
	}
}
