package state

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/hutong-bus/hutong/node/policy"
	"github.com/hutong-bus/hutong/node/store"
	"github.com/hutong-bus/hutong/schemas"
)

// Kinds of catalogue object in keys.
const (
	kindDepartment   = 'd'
	kindGroup        = 'g'
	kindSystem       = 'y'
	kindCredential   = 'c'
	kindResource     = 'r'
	kindGrant        = 'a'
	kindSubscription = 's'
	kindMember       = 'm'
)

// catalogue holds the objects that decisions look at, all in memory. A
// published catalogue is never changed: a command works on a copy (see edit) and
// the objects behind the pointers are replaced, not changed.
type catalogue struct {
	cluster       clusterInfo
	departments   map[string]*policy.Department
	groups        map[string]*policy.Group
	groupsOf      map[string][]string // department → codes of its groups, sorted; derived
	systems       map[string]*systemEntry
	credentials   map[string]*policy.Credential
	secrets       map[string]string // hash or fingerprint → credential id; derived
	resources     map[string]*resourceEntry
	numbers       []*resourceEntry // by number − 1; derived
	grants        map[string]*policy.Grant
	subscriptions map[string]*policy.Subscription
	members       map[string]*Member
}

// clusterInfo is what Bootstrap fixed.
type clusterInfo struct {
	Cluster  string `json:"cluster"`
	Log      string `json:"log"`
	Previous string `json:"previous,omitempty"`
	Epoch    uint64 `json:"epoch"`
}

// systemEntry is a system as it is stored.
type systemEntry struct {
	Number uint32        `json:"number"`
	Fence  uint64        `json:"fence,omitempty"` // least producer epoch accepted
	System policy.System `json:"system"`
}

// resourceEntry is a resource as it is stored; the texts of its schemas lie in a
// table of their own.
type resourceEntry struct {
	Number   uint32           `json:"number"`
	Schemas  []schemaEntry    `json:"schemas,omitempty"`
	Resource schemas.Resource `json:"resource"`
}

// schemaEntry describes version i + 1.
type schemaEntry struct {
	Title string `json:"title,omitempty"`
	At    int64  `json:"at"`
}

// part names a map of the catalogue in edit.owned.
type part uint16

const (
	partDepartments part = 1 << iota
	partGroups
	partSystems
	partCredentials
	partResources
	partGrants
	partSubscriptions
	partMembers
)

// edit is a catalogue being changed: it copies each map before its first change.
type edit struct {
	*catalogue
	owned part
}

func (c *catalogue) edit() *edit {
	next := *c
	return &edit{catalogue: &next}
}

// own makes sure that the map p belongs to the edit alone.
func own[V any](e *edit, p part, m *map[string]V) map[string]V {
	if e.owned&p == 0 {
		e.owned |= p
		if *m = maps.Clone(*m); *m == nil {
			*m = make(map[string]V)
		}
	}
	return *m
}

func (e *edit) putGroup(g *policy.Group) {
	own(e, partGroups, &e.groups)[g.Code] = g
	e.deriveGroups()
}

func (e *edit) deriveGroups() {
	e.groupsOf = make(map[string][]string)
	for _, code := range sortedKeys(e.groups) {
		for _, d := range e.groups[code].Departments {
			if !slices.Contains(e.groupsOf[d], code) {
				e.groupsOf[d] = append(e.groupsOf[d], code)
			}
		}
	}
}

func (e *edit) putCredential(c *policy.Credential) {
	if e.owned&partCredentials == 0 {
		if e.secrets = maps.Clone(e.secrets); e.secrets == nil {
			e.secrets = make(map[string]string)
		}
	}
	own(e, partCredentials, &e.credentials)[c.ID] = c
	for _, s := range []string{c.Hash, c.Fingerprint} {
		if s != "" {
			e.secrets[s] = c.ID
		}
	}
}

func (e *edit) putResource(r *resourceEntry) {
	if e.owned&partResources == 0 {
		e.numbers = slices.Clone(e.numbers)
	}
	own(e, partResources, &e.resources)[r.Resource.Resource] = r
	for uint32(len(e.numbers)) < r.Number {
		e.numbers = append(e.numbers, nil)
	}
	e.numbers[r.Number-1] = r
}

// resource gives the entry with a number, nil for none.
func (c *catalogue) resource(number uint32) *resourceEntry {
	if number == 0 || uint64(number) > uint64(len(c.numbers)) {
		return nil
	}
	return c.numbers[number-1]
}

// groupMembers is the function policy.CanPublish takes.
func (c *catalogue) groupMembers(code string) []string {
	if g := c.groups[code]; g != nil {
		return g.Departments
	}
	return nil
}

// caller puts together who acts as a system with a credential (not looked at
// when empty); ok is false when one of them does not stand at log time now.
func (c *catalogue) caller(system, credential string, now int64) (policy.Caller, bool) {
	s := c.systems[system]
	if s == nil {
		return policy.Caller{}, false
	}
	d := c.departments[s.System.Department]
	if d == nil {
		return policy.Caller{}, false
	}
	caller := policy.Caller{System: s.System, Department: *d, Groups: c.groupsOf[d.Code], Credential: credential}
	if credential == "" {
		return caller, true
	}
	k := c.credentials[credential]
	if k == nil || k.System != system || !k.ValidAt(now) {
		return policy.Caller{}, false
	}
	caller.Scopes = k.Scopes
	return caller, true
}

// splitSystem splits a section's system "<department>.<system>[/<credential>]".
func splitSystem(s string) (system, credential string) {
	system, credential, _ = strings.Cut(s, "/")
	return system, credential
}

// loadCatalogue reads all catalogue objects.
func loadCatalogue(r store.Reader) (*catalogue, error) {
	e := (&catalogue{}).edit()
	it := r.NewIter(store.Key(store.TableCatalogue), store.Key(store.TableCatalogue+1))
	for ok := it.First(); ok; ok = it.Next() {
		key := it.Key()
		if len(key) < 2 {
			_ = it.Close()
			return nil, fmt.Errorf("catalogue key: %w", ErrCorrupt)
		}
		if err := e.load(key[1], string(key[2:]), it.Value()); err != nil {
			_ = it.Close()
			return nil, err
		}
	}
	if err := it.Close(); err != nil {
		return nil, fmt.Errorf("read catalogue: %w", err)
	}
	e.deriveGroups()
	return e.catalogue, nil
}

func (e *edit) load(kind byte, name string, value []byte) (err error) {
	switch kind {
	case kindDepartment:
		err = loadInto(own(e, partDepartments, &e.departments), name, value)
	case kindGroup:
		err = loadInto(own(e, partGroups, &e.groups), name, value)
	case kindSystem:
		err = loadInto(own(e, partSystems, &e.systems), name, value)
	case kindCredential:
		c := new(policy.Credential)
		if err = json.Unmarshal(value, c); err == nil {
			e.putCredential(c)
		}
	case kindResource:
		r := new(resourceEntry)
		if err = json.Unmarshal(value, r); err == nil && r.Number != 0 {
			e.putResource(r)
		}
	case kindGrant:
		err = loadInto(own(e, partGrants, &e.grants), name, value)
	case kindSubscription:
		err = loadInto(own(e, partSubscriptions, &e.subscriptions), name, value)
	case kindMember:
		err = loadInto(own(e, partMembers, &e.members), name, value)
	default:
		return fmt.Errorf("catalogue object of kind %q: %w", kind, ErrUpgrade)
	}
	if err != nil {
		return fmt.Errorf("catalogue object %c %s: %w: %w", kind, name, ErrCorrupt, err)
	}
	return nil
}

func loadInto[T any](m map[string]*T, name string, value []byte) error {
	v := new(T)
	if err := json.Unmarshal(value, v); err != nil {
		return err
	}
	m[name] = v
	return nil
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
