package record

import (
	"encoding/binary"
)

// Origin says that a journaled write had been sent to Redis when the link died:
// it carried a fence, a number that Redis stored under Key in the same
// MULTI/EXEC. At replay the fence tells whether it was executed then. The zero
// value is a write that never left.
type Origin struct {
	Key    string
	Number uint64
	Seen   bool // an earlier number of the same fence was acknowledged
}

func appendOrigin(dst []byte, o Origin) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(o.Key)))
	dst = append(dst, o.Key...)
	if o.Key == "" {
		return dst
	}
	dst = binary.AppendUvarint(dst, o.Number)
	if o.Seen {
		return binary.AppendUvarint(dst, 1)
	}
	return binary.AppendUvarint(dst, 0)
}

func (d *decoder) origin() Origin {
	o := Origin{Key: string(d.bytes())}
	if o.Key != "" {
		o.Number = d.uvarint()
		o.Seen = d.length(1) == 1
	}
	return o
}
