package transfer

import (
	"crypto/sha256"
	"fmt"
	"strings"

	"github.com/google/uuid"
	"github.com/tidwall/gjson"

	"holdfast/gateway/store"
)

// entryUUID is an entry's own uuid, if it has a usable one.
func entryUUID(raw []byte) (string, bool) {
	v, ok := store.Member(raw, "uuid")
	// Copied: a part of the entry's text would keep all of it in memory for as
	// long as the uuid is known.
	return strings.Clone(v.String()), ok && v.Type == gjson.String && v.String() != ""
}

// tokenPath is the path of an entry's token file and the field it is in. The
// reference names the field differently for each type; all end alike.
func tokenPath(raw []byte) (field, text string) {
	store.Members(raw, func(key string, v gjson.Result) {
		is := strings.HasSuffix(key, "_CREDS_FILE_PATH") || strings.HasSuffix(key, "_TOKEN_FILE_PATH")
		if is && v.Type == gjson.String && v.String() != "" && (field == "" || field == key) {
			field, text = key, v.String()
		}
	})
	return field, text
}

func (w *poolWriter) loadToken(a *account) {
	field, text := tokenPath(a.raw)
	if field == "" {
		return
	}
	a.path = text
	what := w.typ + " " + a.uuid
	tf, err := w.tree.findToken(text)
	if err != nil {
		w.rep.fail(&w.rep.Tokens, what, text, "token file of %s: %v", field, err)
		return
	}
	var raw []byte
	if tf.file != "" {
		raw, err = readRegular(tf.file)
	} else {
		raw, err = w.tree.read(tf.place)
	}
	switch {
	case err != nil:
		w.rep.fail(&w.rep.Tokens, what, tf.place, "token file: %v", err)
	case len(raw) == 0:
		w.rep.fail(&w.rep.Tokens, what, tf.place, "token file is empty")
	case !store.ValidObject(raw):
		w.rep.fail(&w.rep.Tokens, what, tf.place, "token file is not a JSON object")
	default:
		a.token, a.file = raw, tf.place
		w.seen[short(tf.place)] = true
		if tf.other != "" {
			w.rep.item(Note, what, text, "two files can be meant: %s was taken, not %s", tf.name(), tf.other)
		}
		if tf.file != "" {
			w.rep.item(Note, what, text, "token file outside the directory; export puts it at %s", tf.place)
		}
	}
}

// assigner gives accounts without a uuid one that follows from their bytes, so
// that a second run, and a run on an export, gives the same.
type assigner struct {
	typ   string
	times map[[32]byte]int
}

var assignedSpace = uuid.NewSHA1(uuid.NameSpaceURL, []byte("holdfast:account"))

func (a *assigner) next(raw []byte) string {
	if a.times == nil {
		a.times = map[[32]byte]int{}
	}
	sum := sha256.Sum256(raw)
	a.times[sum]++
	name := fmt.Sprintf("%s\x00%x\x00%d", a.typ, sum, a.times[sum])
	return uuid.NewSHA1(assignedSpace, []byte(name)).String()
}
