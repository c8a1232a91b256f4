package transfer

import (
	"bytes"
	"context"
	"crypto/sha256"
	"hash"
)

// layoutSink takes the bytes of a type's layout: hashed to compare, and sent in
// pieces where the unit writes.
type layoutSink struct {
	ctx   context.Context
	w     *poolWriter
	sum   hash.Hash
	buf   []byte
	begun bool
	mute  bool
}

func (s *layoutSink) Write(b []byte) (int, error) {
	s.sum.Write(b)
	if s.w.unit == nil || s.mute {
		return len(b), nil
	}
	s.buf = append(s.buf, b...)
	if len(s.buf) < flushBytes/4 {
		return len(b), nil
	}
	return len(b), s.send(s.ctx)
}

func (s *layoutSink) send(ctx context.Context) error {
	cmd := "APPEND"
	if !s.begun {
		cmd, s.begun = "SET", true
	}
	piece := s.buf
	s.buf = nil // the pipeline still holds the piece
	return s.w.queue(ctx, []int{0}, []any{cmd, s.w.st.Keys.Layout(s.w.typ), piece})
}

func (s *layoutSink) finish(ctx context.Context) error {
	key := s.w.st.Keys.Layout(s.w.typ)
	var raw []byte
	var ok bool
	if !s.w.layoutForeign {
		var err error
		if raw, ok, err = s.w.st.Get(ctx, key); err != nil {
			return err
		}
	} else if !s.w.cfg.Force {
		s.w.rep.refuse(&s.w.rep.Layout, key, poolsFile, "Redis holds something that is no string under this key; --force replaces it")
		s.w.res.layoutSame = true // left alone
		return nil
	}
	have := sha256.Sum256(raw)
	s.w.res.layoutSame = ok && bytes.Equal(have[:], s.sum.Sum(nil)) || s.w.res.refused > 0
	if !s.w.res.layoutSame {
		s.w.rep.Layout.New++
	}
	if s.w.unit == nil || s.mute {
		return nil
	}
	return s.send(ctx)
}
