package fetch

import (
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"holdfast/fallback/record"
)

// askExpiry is the command that tells when a key expires: since Redis 7 the moment
// itself. Before, what is left of its life, which is counted from before the question:
// on a slow link the key would go too early here, and a lock before its time.
func (f *Fetcher) askExpiry() string {
	if f.noWhen {
		return "PTTL"
	}
	return "PEXPIRETIME"
}

// refusesExpiry notes that the server, or our user, knows no PEXPIRETIME.
func (f *Fetcher) refusesExpiry(asked ...*redis.Cmd) bool {
	for _, c := range asked {
		// Its name is in the error of an unknown command, and of one that is not allowed;
		// not in that of a key that is not.
		if !f.noWhen && IsReply(c.Err()) && strings.Contains(strings.ToLower(c.Err().Error()), "pexpiretime") {
			f.noWhen = true
			return true
		}
	}
	return false
}

// deadline is the moment in Unix ms that the answer to askExpiry tells; negative: never.
func (f *Fetcher) deadline(answer int64, asked time.Time) int64 {
	if answer < 0 || !f.noWhen {
		return answer
	}
	return asked.UnixMilli() + answer
}

// expireAt adds the expiry, unless there is none.
func (b *builder) expireAt(deadline int64) {
	if deadline >= 0 {
		b.out = append(b.out, record.ArgvOf("PEXPIREAT", b.key, strconv.FormatInt(deadline, 10)))
	}
}
