package fetch

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"

	"holdfast/fallback/record"
)

// Fields of hashes may have deadlines of their own since Redis 7.4 and Valkey 9.
// Which fields have one can only be asked by name, so a hash that may have some is
// read a second time, with the question in the same MULTI. If its fields are other
// ones by then it is read once more.
const fieldTries = 3

// fieldSupport is whether a server knows such deadlines, asked once for each link.
type fieldSupport uint8

const (
	fieldsNotAsked fieldSupport = iota
	fieldsExpire
	fieldsStay // or our user may not ask
)

// hashLook is what is asked of a hash before it is read.
type hashLook struct {
	length   *redis.IntCmd
	encoding *redis.StringCmd
	probe    *redis.Cmd
}

// lookAt asks for the length of hashes, and what tells whether fields of it may have
// deadlines.
func (f *Fetcher) lookAt(ctx context.Context, c *redis.Client, keys []string) (map[string]*hashLook, error) {
	looks := make(map[string]*hashLook, len(keys))
	_, err := c.Pipelined(ctx, func(p redis.Pipeliner) error {
		for _, k := range keys {
			l := &hashLook{length: p.HLen(ctx, k)}
			if f.fields != fieldsStay {
				l.encoding = p.ObjectEncoding(ctx, k)
			}
			if f.fields == fieldsNotAsked && len(looks) == 0 {
				l.probe = p.Do(ctx, "HPEXPIRETIME", k, "FIELDS", 1, "")
			}
			looks[k] = l
		}
		return nil
	})
	if err != nil && !IsReply(err) {
		return nil, fmt.Errorf("fetch lengths: %w", err)
	}
	for _, l := range looks {
		if l.probe == nil {
			continue
		}
		f.fields = fieldsExpire
		// As in refusesExpiry. Where its type changed meanwhile, the next link asks again.
		if IsReply(l.probe.Err()) && strings.Contains(strings.ToLower(l.probe.Err().Error()), "hpexpiretime") {
			f.fields = fieldsStay
		}
	}
	return looks, nil
}

// mayExpire reports whether fields of the hash may have deadlines: those that are
// packed in the plain way have none.
func (f *Fetcher) mayExpire(l *hashLook) bool {
	if f.fields != fieldsExpire || l == nil {
		return false
	}
	return l.encoding == nil || l.encoding.Val() != "listpack" && l.encoding.Val() != "ziplist"
}

// readFields reads hashes with the deadlines of their fields into have, where they
// may have some. Those that are not there afterwards were changing all the time.
func (f *Fetcher) readFields(ctx context.Context, c *redis.Client, keys []string, have map[string]Value) error {
	names := map[string][]string{}
	for range fieldTries {
		var left []string
		var expiries []*redis.Cmd
		reads := map[string]*redis.Cmd{}
		_, err := c.Pipelined(ctx, func(p redis.Pipeliner) error {
			for _, k := range keys {
				p.Do(ctx, "MULTI")
				expiries = append(expiries, p.Do(ctx, f.askExpiry(), k))
				p.Do(ctx, "HGETALL", k)
				if len(names[k]) > 0 {
					p.Do(ctx, askFields(k, names[k])...)
				}
				reads[k] = p.Do(ctx, "EXEC")
			}
			return nil
		})
		if err != nil && !IsReply(err) {
			return fmt.Errorf("fetch hashes: %w", err)
		}
		if f.refusesExpiry(expiries...) {
			continue // it asks otherwise now
		}
		for _, k := range keys {
			parts, err := reads[k].Slice()
			if err != nil || len(parts) < 2 {
				continue // of another type by now
			}
			flat := flatten(parts[1])
			found := fieldNames(flat)
			if !slices.Equal(found, names[k]) {
				names[k], left = found, append(left, k)
				continue
			}
			v := f.toValue(k, "hash", reads[k], f.asked)
			if len(parts) > 2 {
				v.Commands = append(v.Commands, fieldDeadlines(k, found, parts[2])...)
			}
			have[k] = v
		}
		if keys = left; len(keys) == 0 {
			return nil
		}
	}
	for _, k := range keys {
		have[k] = Value{Busy: true} // without the deadlines it would be wrong
	}
	return nil
}

// fieldNames are the fields in what HGETALL gave, in order.
func fieldNames(flat []string) (names []string) {
	for i := 0; i+1 < len(flat); i += 2 {
		names = append(names, flat[i])
	}
	slices.Sort(names)
	return names
}

func askFields(key string, names []string) []any {
	args := []any{"HPEXPIRETIME", key, "FIELDS", len(names)}
	for _, n := range names {
		args = append(args, n)
	}
	return args
}

// fieldDeadlines are the commands that give fields the deadlines of a reply of
// HPEXPIRETIME, one for each moment.
func fieldDeadlines(key string, names []string, reply any) (out [][][]byte) {
	list, _ := reply.([]any)
	byMoment := map[int64][]string{}
	for i, at := range list {
		if ms, ok := at.(int64); ok && ms >= 0 && i < len(names) {
			byMoment[ms] = append(byMoment[ms], names[i])
		}
	}
	for ms, fields := range byMoment {
		args := append([]string{"HPEXPIREAT", key, strconv.FormatInt(ms, 10), "FIELDS", strconv.Itoa(len(fields))}, fields...)
		out = append(out, record.ArgvOf(args...))
	}
	return out
}
