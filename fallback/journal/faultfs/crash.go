package faultfs

import "math/rand/v2"

// CrashMode says what a power cut leaves of bytes that were not synced.
type CrashMode int

// The modes.
const (
	DropAll    CrashMode = iota // nothing of them, and no unsynced name
	KeepPrefix                  // an arbitrary prefix of the writes and of the name changes
	KeepAll                     // all of them
	Holes                       // sectors in any order: what is missing reads as zeros
)

// Crash is a power cut: handles and locks die, and unsynced bytes and names are
// lost as mode says, by rnd's choice.
func (m *FS) Crash(mode CrashMode, rnd *rand.Rand) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.crash(mode, rnd)
}

func (m *FS) crash(mode CrashMode, rnd *rand.Rand) {
	m.epoch++
	m.hook, m.capacity = nil, 0
	names := len(m.pending)
	switch mode {
	case DropAll:
		names = 0
	case KeepPrefix, Holes:
		names = rnd.IntN(names + 1)
	case KeepAll:
	}
	for _, op := range m.pending[:names] {
		op.apply(m.durable)
	}
	m.pending, m.live = nil, map[string]*node{}
	done := map[*node]bool{}
	for path, n := range m.durable {
		if !done[n] {
			n.crash(mode, rnd)
			done[n] = true
		}
		m.live[path] = n
	}
}

func (n *node) crash(mode CrashMode, rnd *rand.Rand) {
	ops := len(n.pending)
	switch mode {
	case DropAll:
		ops = 0
	case KeepPrefix:
		ops = rnd.IntN(ops + 1)
	case KeepAll, Holes:
	}
	for _, op := range n.pending[:ops] {
		if mode == Holes {
			op = op.withHoles(n.durable, rnd)
		}
		n.durable = op.apply(n.durable)
	}
	if mode == KeepPrefix && ops < len(n.pending) && n.pending[ops].data != nil {
		torn := n.pending[ops]
		torn.data = torn.data[:rnd.IntN(len(torn.data)+1)]
		n.durable = torn.apply(n.durable)
	}
	n.pending = nil
	n.live = append([]byte(nil), n.durable...)
}

// withHoles forgets some sectors: they keep the old bytes, or zeros.
func (op dataOp) withHoles(old []byte, rnd *rand.Rand) dataOp {
	const sector = 512
	if op.data == nil {
		return op
	}
	data := append([]byte(nil), op.data...)
	for at := op.offset / sector * sector; at < op.offset+int64(len(data)); at += sector {
		if rnd.IntN(2) == 0 {
			continue
		}
		for i := max(at, op.offset); i < min(at+sector, op.offset+int64(len(data))); i++ {
			b := byte(0)
			if i < int64(len(old)) {
				b = old[i]
			}
			data[i-op.offset] = b
		}
	}
	return dataOp{op.offset, data}
}
