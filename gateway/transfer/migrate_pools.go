package transfer

import (
	"bytes"
	"context"
	"errors"
	"io/fs"

	"holdfast/gateway/store"
)

// pools imports provider_pools.json with the token files that it names.
func (p *pass) pools(ctx context.Context) error {
	real, err := p.tree.resolveInside(poolsFile)
	if errors.Is(err, fs.ErrNotExist) && !p.tree.exists(poolsFile) {
		p.rep.skip(&p.rep.Pools, "provider pools", poolsFile, "the file does not exist; no accounts were imported")
		return p.removeTypes(ctx, nil)
	}
	var scan *poolsScan
	if err == nil {
		f, ferr := openRegular(real)
		if err = ferr; err == nil {
			defer f.Close()
			scan, err = scanPools(f)
		}
	}
	if err != nil {
		p.keep[poolsFile] = true
		p.rep.fail(&p.rep.Pools, "provider pools", poolsFile, "%v", err)
		return nil
	}
	if p.skeleton, err = p.poolsSkeleton(scan); err != nil {
		return err
	}
	types := map[string]bool{}
	for _, m := range scan.members {
		switch {
		case m.overridden:
			p.rep.skip(&p.rep.Pools, m.key, poolsFile, "the same type comes again further down, which counts instead")
		case !m.array:
			p.rep.skip(&p.rep.Pools, m.key, poolsFile, "its value is not an array of accounts")
		default:
			types[m.key] = true
			if err := p.pool(ctx, scan, m); err != nil {
				return err
			}
		}
	}
	if p.rep.Accounts.total() == 0 {
		p.rep.item(Note, "provider pools", poolsFile, "empty provider pools: the file holds no account")
	}
	return p.removeTypes(ctx, types)
}

func (p *pass) poolsSkeleton(scan *poolsScan) ([]byte, error) {
	var buf bytes.Buffer
	w := store.NewLayoutWriter(&buf, scan.prefix)
	for _, m := range scan.members {
		it := store.LayoutItem{Gap: m.gap, Head: m.head, Name: m.key, Ref: m.active()}
		if !it.Ref {
			raw := make([]byte, m.to-m.from)
			if _, err := scan.f.ReadAt(raw, m.from); err != nil {
				return nil, plain(err)
			}
			it.Literal = raw
		}
		w.Item(it)
	}
	err := w.Close(scan.tail)
	return buf.Bytes(), err
}

// literalsDiffer looks for a value of the old skeleton that the new one lacks or
// has otherwise.
func literalsDiffer(old, now []byte) (name string, differs bool) {
	have := map[string]string{}
	for _, it := range layoutItems(now) {
		if !it.Ref {
			have[it.Name] = string(it.Literal)
		}
	}
	for _, it := range layoutItems(old) {
		if !it.Ref && have[it.Name] != string(it.Literal) {
			return it.Name, true
		}
	}
	return "", false
}

func layoutItems(raw []byte) (items []store.LayoutItem) {
	l, err := store.NewLayoutReader(bytes.NewReader(raw))
	for err == nil {
		var it store.LayoutItem
		if it, err = l.Next(); err == nil {
			items = append(items, it)
		}
	}
	return items
}

// removeTypes removes, if forced, the provider types that the file does not have.
func (p *pass) removeTypes(ctx context.Context, keep map[string]bool) error {
	if !p.cfg.Force {
		return nil
	}
	types, err := p.st.FindTypes(ctx)
	if err != nil {
		return err
	}
	for _, typ := range types {
		if keep[typ] {
			continue
		}
		w, err := p.poolWriter(ctx, typ)
		if err != nil {
			return err
		}
		if err := w.drop(ctx); err != nil {
			return err
		}
		p.rep.Pools.Removed++
	}
	return nil
}

// pool imports one provider type, all of it in one atomic unit.
func (p *pass) pool(ctx context.Context, scan *poolsScan, m poolsMember) error {
	w, err := p.poolWriter(ctx, m.key)
	if err != nil {
		return err
	}
	defer w.close()
	tail, err := scan.elements(m, func(e element) error { return w.element(ctx, e) })
	if err != nil {
		return err
	}
	if err := w.finish(ctx, tail); err != nil {
		return err
	}
	if w.unit == nil {
		return nil
	}
	if scan.changed() {
		return errors.New("read " + poolsFile + ": it changed while it was read; nothing of " + m.key + " was written; run again")
	}
	return w.unit.commit(ctx)
}
