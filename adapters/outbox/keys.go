package outbox

import "encoding/binary"

// Key layout: one table byte, then length-prefixed names, then big-endian
// numbers; a variable key stands last and bare. Every value begins with the
// format byte.
const (
	formatByte = 1

	tableMeta     = 'm' // m                          → identity
	tableResource = 'r' // r <resource>               → next, low, rows, bytes
	tableQueue    = 'o' // o <resource> seq           → entry
	tableCursor   = 'c' // c <stream>                 → cursor
	tableRow      = 'd' // d <resource> key           → hashes of the last rows sent
	tableCounter  = 'n' // n day <stream>             → counts ("total" sorts after all days)
	tableUnit     = 'w' // w <stream> unit            → counts of one unit, until all of it is answered
	tableRefusal  = 'q' // q <stream> n               → refusal that no later row of its key has settled
	tableVerdict  = 'v' // v <stream> n               → verdict on its way home
	tableLedger   = 'f' // f <stream> digest          → ledger entry of a unit handed over whole
	totalDay      = "total-----"
)

func appendName(b []byte, name string) []byte {
	b = binary.AppendUvarint(b, uint64(len(name)))
	return append(b, name...)
}

func nameKey(table byte, name string) []byte {
	return appendName([]byte{table}, name)
}

func numberKey(table byte, name string, n uint64) []byte {
	return binary.BigEndian.AppendUint64(nameKey(table, name), n)
}

func tailKey(table byte, name, tail string) []byte {
	return append(nameKey(table, name), tail...)
}

func counterKey(day, stream string) []byte {
	return appendName(append([]byte{tableCounter}, day...), stream)
}

// lastNumber is the number at the end of a key made by numberKey.
func lastNumber(key []byte) uint64 {
	return binary.BigEndian.Uint64(key[len(key)-8:])
}

// prefixEnd is the first key after all keys that begin with prefix.
func prefixEnd(prefix []byte) []byte {
	end := append([]byte(nil), prefix...)
	for i := len(end) - 1; i >= 0; i-- {
		if end[i] < 0xff {
			end[i]++
			return end[:i+1]
		}
	}
	return nil
}
