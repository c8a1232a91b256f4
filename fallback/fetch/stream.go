package fetch

import (
	"fmt"

	"holdfast/fallback/record"
)

func (b *builder) stream(v any) bool {
	entries, ok := v.([]any)
	if !ok {
		return false
	}
	for _, e := range entries {
		pair, ok := e.([]any)
		if !ok || len(pair) != 2 {
			return false
		}
		id, ok := pair[0].(string)
		if !ok {
			return false
		}
		args := append([]string{"XADD", b.key, id}, flatten(pair[1])...)
		b.size += int64(len(args)) * 32
		b.out = append(b.out, record.ArgvOf(args...))
	}
	return true
}

// streamEnd makes what the entries alone do not: a stream without any, which is
// made by a group that goes again, a last id beyond the last entry, and the counters
// that servers have since Redis 7. info is XINFO STREAM's reply, if it was asked for.
func (b *builder) streamEnd(info []any) {
	last, added, deleted := "", "", ""
	if len(info) > 0 {
		last, added = infoField(info[0], "last-generated-id"), infoField(info[0], "entries-added")
		deleted = infoField(info[0], "max-deleted-entry-id")
	}
	counted := added == "" || deleted == "" || added == fmt.Sprint(len(b.out)) && deleted == "0-0"
	if len(b.out) == 0 {
		b.out = append(b.out, record.ArgvOf("XGROUP", "CREATE", b.key, "holdfast", "0-0", "MKSTREAM"), record.ArgvOf("XGROUP", "DESTROY", b.key, "holdfast"))
	} else if top := b.out[len(b.out)-1]; string(top[2]) == last && counted {
		return
	}
	switch {
	case last == "":
	case !counted:
		b.out = append(b.out, record.ArgvOf("XSETID", b.key, last, "ENTRIESADDED", added, "MAXDELETEDID", deleted))
	case last != "0-0":
		b.out = append(b.out, record.ArgvOf("XSETID", b.key, last))
	}
}

// infoField is a field of a reply that is a map (RESP3) or its flat list; "" if
// it is not there.
func infoField(info any, name string) string {
	switch t := info.(type) {
	case map[any]any:
		if v, ok := t[name]; ok {
			return fmt.Sprint(v)
		}
	case []any:
		for i := 0; i+1 < len(t); i += 2 {
			if t[i] == name {
				return fmt.Sprint(t[i+1])
			}
		}
	}
	return ""
}
