package exchange

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/hutong-bus/hutong/node/api"
	"github.com/hutong-bus/hutong/node/policy"
	"github.com/hutong-bus/hutong/node/state"
	"github.com/hutong-bus/hutong/node/tlog"
	"github.com/hutong-bus/hutong/schemas"
	"github.com/hutong-bus/hutong/schemas/record"
)

// Replica is what the service needs of node/replica.
type Replica interface {
	// Propose has sections applied in their order; see replica.Propose.
	Propose(ctx context.Context, sections [][]byte) ([]state.Result, error)
	// Now is log time plus what has passed since, in Unix milliseconds.
	Now() int64
	// Fresh is nil while this node may serve granted data.
	Fresh() error
	// Strong returns when this node has applied all that was committed when it
	// was called.
	Strong(ctx context.Context) error
}

// Checkpoints is what the service needs of node/checkpoint.
type Checkpoints interface {
	// Latest is the newest cosigned note and nil before the first.
	Latest() []byte
}

// Members is the running cluster, made of replica and authority in package
// node.
type Members interface {
	Cluster(ctx context.Context) (api.Cluster, error)
	// Add makes the new node a member and returns its join bundle.
	Add(ctx context.Context, in api.MemberRequest) ([]byte, error)
	Remove(ctx context.Context, id string) error
	Transfer(ctx context.Context, to string) error
}

// Issuer makes certificates for systems.
type Issuer interface {
	IssueCertificate(system string, notAfter time.Time) (certificatePEM, keyPEM []byte, fingerprint string, err error)
	Fingerprint(c *x509.Certificate) string
}

// Disk says how much room the voters have (invariant 10).
type Disk interface {
	// Room is called for every publish and must be cheap.
	Room() Room
}

// Room is how full the disks are on so many voters that a majority is at risk.
type Room uint8

// The rooms, from enough to none.
const (
	RoomEnough Room = iota
	RoomSlow        // new records are slowed down
	RoomNone        // new records are refused; everything else goes on
)

// Config of the service.
type Config struct {
	Node         string        // this node's id
	RecordBytes  int           // one record, default 256 KiB
	CacheBytes   int64         // compiled schemas, default 64 MiB
	PublishWait  time.Duration // how long a publish waits for a majority, default 20 s
	ReadWait     time.Duration // how long a read waits for the state that it asks for, default 10 s
	FeedEntries  int           // entries of a feed, default 100
	PublicOrigin string        // base address of the public listener, in feeds
	// FeedAuthority and FeedDate begin the ids of feed entries (RFC 4151); they
	// must never change. Without an authority it is the origin of the audit log.
	FeedAuthority, FeedDate string
	LogVKey                 string // verifier key of the log, for the trust file
}

// Service is the exchange. Random and Clock are its only sources of chance
// and of real time: tests give their own.
type Service struct {
	config      Config
	machine     *state.Machine
	replica     Replica
	checkpoints Checkpoints
	members     Members
	issuer      Issuer
	disk        Disk
	key         *tlog.Key // signs receipts
	cache       *schemas.Cache
	random      io.Reader
	clock       func() time.Time
	stopping    context.Context // ends with Drain
	drain       context.CancelFunc

	mu    sync.Mutex
	views map[string]*policy.View // compiled projections, by what they depend on
}

// Parts are the rooms that a Service stands on.
type Parts struct {
	Machine     *state.Machine
	Replica     Replica
	Checkpoints Checkpoints
	Members     Members
	Issuer      Issuer
	Disk        Disk // nil: there is always room
	Key         *tlog.Key
}

// New makes a service. Zero members of config get their defaults.
func New(config Config, p Parts) *Service {
	if config.RecordBytes == 0 {
		config.RecordBytes = record.DefaultLimits().RecordBytes
	}
	if config.CacheBytes == 0 {
		config.CacheBytes = 64 << 20
	}
	if config.PublishWait == 0 {
		config.PublishWait = 20 * time.Second
	}
	if config.FeedEntries == 0 {
		config.FeedEntries = 100
	}
	if config.ReadWait == 0 {
		config.ReadWait = 10 * time.Second
	}
	s := &Service{config: config, machine: p.Machine, replica: p.Replica, checkpoints: p.Checkpoints, members: p.Members, issuer: p.Issuer, disk: p.Disk, key: p.Key,
		cache: schemas.NewCache(config.CacheBytes), random: rand.Reader, clock: time.Now, views: map[string]*policy.View{}}
	s.stopping, s.drain = context.WithCancel(context.Background())
	return s
}

// Position is the applied log index and the cluster epoch, for the headers of
// every answer.
func (s *Service) Position() (index, epoch uint64) {
	index, _, _ = s.machine.Applied()
	v, err := s.machine.View()
	if err != nil {
		return index, 0
	}
	defer v.Close()
	return index, v.Epoch()
}

// Age is how long ago, in log time, this node's state was current.
func (s *Service) Age() time.Duration {
	if s.replica.Fresh() == nil {
		return 0
	}
	_, at, _ := s.machine.Applied()
	return max(0, s.clock().Sub(time.UnixMilli(at)))
}

// Drain tells the service that its node stops: long polls end at once with what
// there is, and Ready says no. Idempotent.
func (s *Service) Drain() { s.drain() }

// Ready says whether this node may be given work: it holds the state of a
// cluster that was founded, as fresh as granted data need it.
func (s *Service) Ready() error {
	if s.stopping.Err() != nil {
		return api.Refuse(api.CodeNoLeader, "本节点正在停止 / this node is stopping")
	}
	if err := s.machine.Err(); err != nil {
		return api.Internal(err)
	}
	v, err := s.view()
	if err != nil {
		return err
	}
	defer v.Close()
	if v.Cluster() == "" {
		return api.Refuse(api.CodeNoLeader, "集群尚未建立 / the cluster is not founded yet")
	}
	return nil
}

// slowness is what a publish waits for while disks fill up.
const slowness = 200 * time.Millisecond

// makeRoom slows or refuses new records where disks are full (invariant 10).
func (s *Service) makeRoom(ctx context.Context) error {
	if s.disk == nil {
		return nil
	}
	switch s.disk.Room() {
	case RoomNone:
		p := api.Refuse(api.CodeDiskLow, "多数节点的磁盘将满,暂不接收新记录;读取、投递、确认照常 / the disks of a majority are nearly full: no new records are taken; reading, delivery and acknowledgement go on")
		p.RetryAfter = 60
		return p
	case RoomSlow:
		t := time.NewTimer(slowness)
		defer t.Stop()
		select {
		case <-t.C:
		case <-ctx.Done():
			return problem(context.Cause(ctx))
		}
	}
	return nil
}

// view opens the state for one request. Granted data and objects are served
// only while it is fresh.
func (s *Service) view() (*state.View, error) {
	if err := s.replica.Fresh(); err != nil {
		return nil, problem(err)
	}
	v, err := s.machine.View()
	if err != nil {
		return nil, problem(err)
	}
	return v, nil
}

// caller is the state's present word on who acts with a credential.
func (s *Service) caller(v *state.View, credential string) (policy.Caller, error) {
	c, ok := v.Caller(credential, s.replica.Now())
	if !ok {
		return policy.Caller{}, api.Refuse(api.CodeUnauthenticated, "凭证不存在、已撤销或已到期 / the credential is unknown, revoked or expired")
	}
	return c, nil
}

// head begins a command in the caller's name. An empty request id is one that
// nobody can repeat.
func (s *Service) head(c policy.Caller, request string) state.Head {
	if request == "" {
		request = uuid.NewString()
	}
	return state.Head{Request: request, By: state.By{System: c.System.FullName(), Department: c.Department.Code, Credential: c.Credential}, At: s.clock().UnixMilli()}
}

// command has one administrative command applied and decodes its answer.
func command[T any](ctx context.Context, s *Service, cmd state.Command) (T, error) {
	var out T
	b, err := state.EncodeCommand(cmd)
	if err != nil {
		return out, api.Internal(err)
	}
	h := record.Header{Kind: record.KindCommand, Node: s.config.Node}
	if _, err := io.ReadFull(s.random, h.Secret[:]); err != nil {
		return out, api.Internal(fmt.Errorf("draw secret: %w", err))
	}
	section, err := record.EncodeCommand(h, b)
	if err != nil {
		return out, api.Refuse(api.CodeTooLarge, "对象放不进日志 / the object does not fit the log")
	}
	ctx, cancel := context.WithTimeoutCause(ctx, s.config.PublishWait, context.DeadlineExceeded)
	defer cancel()
	results, err := s.replica.Propose(ctx, [][]byte{section})
	if err != nil {
		return out, problem(err)
	}
	r := results[0]
	if r.Err != nil {
		return out, refusal(r.Err)
	}
	if r.Code != state.Applied {
		return out, api.Internal(fmt.Errorf("command answered %s", r.Code))
	}
	if len(r.Answer) == 0 {
		return out, nil
	}
	if err := json.Unmarshal(r.Answer, &out); err != nil {
		return out, api.Internal(fmt.Errorf("decode command answer: %w", err))
	}
	return out, nil
}

// schema is the compiled schema of one version.
func (s *Service) schema(v *state.View, resource string, version uint32) (*schemas.Schema, error) {
	return s.cache.Get(resource, version, func() ([]byte, error) { return v.Schema(resource, version) })
}

// cachedViewsMax bounds the compiled projections kept; past it they are made
// anew.
const cachedViewsMax = 4096

// compiled keeps a projection under a name that says all it depends on.
func (s *Service) compiled(name string, compile func() (*policy.View, error)) (*policy.View, error) {
	s.mu.Lock()
	view, ok := s.views[name]
	s.mu.Unlock()
	if ok {
		return view, nil
	}
	view, err := compile()
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.views) >= cachedViewsMax {
		clear(s.views)
	}
	s.views[name] = view
	return view, nil
}
