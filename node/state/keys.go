package state

import (
	"crypto/sha256"
	"encoding/binary"

	"github.com/hutong-bus/hutong/node/store"
)

// logNumber is the number of the audit log in keys. A restore opens a new
// database, so there is one log in each.
const logNumber = 1

func keyKey(dst []byte, resource uint32, key string) []byte {
	return append(store.ResourceKey(dst, store.TableKey, resource), key...)
}

// idHash is what stands for an id in keys: 16 bytes of SHA-256 over the
// length-prefixed source and id. A system could at most collide with itself.
func idHash(source, id string) (h [16]byte) {
	b := make([]byte, 0, 160)
	b = binary.AppendUvarint(b, uint64(len(source)))
	b = append(b, source...)
	b = binary.AppendUvarint(b, uint64(len(id)))
	b = append(b, id...)
	sum := sha256.Sum256(b)
	copy(h[:], sum[:])
	return h
}

// idKey is the key of table dedup or refused id.
func idKey(dst []byte, table byte, resource, system uint32, h [16]byte) []byte {
	dst = binary.BigEndian.AppendUint32(store.ResourceKey(dst, table, resource), system)
	return append(dst, h[:]...)
}

func runPrefix(dst []byte, resource uint32, producer string, epoch uint64) []byte {
	dst = store.AppendName(store.ResourceKey(dst, store.TableRun, resource), producer)
	return binary.BigEndian.AppendUint64(dst, epoch)
}

func runKey(dst []byte, resource uint32, producer string, epoch, first uint64) []byte {
	return binary.BigEndian.AppendUint64(runPrefix(dst, resource, producer, epoch), first)
}

func producerKey(dst []byte, resource uint32, producer string) []byte {
	return append(store.ResourceKey(dst, store.TableProducer, resource), producer...)
}

func headKey(resource uint32) []byte { return store.ResourceKey(nil, store.TableHead, resource) }

func systemKey(table byte, system uint32) []byte {
	return binary.BigEndian.AppendUint32([]byte{table}, system)
}

func quarantineKey(system uint32, number uint64) []byte {
	return binary.BigEndian.AppendUint64(systemKey(store.TableQuarantine, system), number)
}

func logKey(table byte, index uint64) []byte {
	b := binary.BigEndian.AppendUint32(append(make([]byte, 0, 13), table), logNumber)
	return binary.BigEndian.AppendUint64(b, index)
}

func subjectPrefix(s Subject) []byte {
	return store.AppendName(append(store.Key(store.TableSubject), byte(s.Kind)), s.Name)
}

func subjectKey(s Subject, leaf uint64) []byte {
	return binary.BigEndian.AppendUint64(subjectPrefix(s), leaf)
}

func linkKey(node string) []byte { return append(store.Key(store.TableLink), node...) }

func cursorKey(subscription string) []byte {
	return append(store.Key(store.TableCursor), subscription...)
}

// rangeKey is the key of table delivery (by from) or ack (by through).
func rangeKey(table byte, subscription string, offset uint64) []byte {
	return binary.BigEndian.AppendUint64(store.AppendName(store.Key(table), subscription), offset)
}

func requestKey(system, request string) []byte {
	return append(store.AppendName(store.Key(store.TableRequest), system), request...)
}

func requestedKey(at int64, system, request string) []byte {
	b := binary.BigEndian.AppendUint64(store.Key(store.TableRequested), uint64(at))
	return append(store.AppendName(b, system), request...)
}

func catalogueKey(kind byte, name string) []byte {
	return append(append(store.Key(store.TableCatalogue), kind), name...)
}

func schemaKey(resource, version uint32) []byte {
	return binary.BigEndian.AppendUint32(store.ResourceKey(nil, store.TableSchema, resource), version)
}

func publicationKey(number uint64) []byte {
	return binary.BigEndian.AppendUint64(store.Key(store.TablePublication), number)
}

func publishedKey(resource uint32, key string) []byte {
	return append(store.ResourceKey(nil, store.TablePublished, resource), key...)
}

func publicStateKey(state byte, number uint64) []byte {
	return binary.BigEndian.AppendUint64([]byte{store.TablePublicStates, state}, number)
}

func feedKey(resource uint32, seq uint64) []byte {
	return binary.BigEndian.AppendUint64(store.ResourceKey(nil, store.TableFeed, resource), seq)
}

// lastNumber reads the u64 a key ends in.
func lastNumber(key []byte) uint64 { return binary.BigEndian.Uint64(key[len(key)-8:]) }
