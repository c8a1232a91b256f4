package fakes

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"strings"

	"github.com/tidwall/gjson"
)

// heard is what a request says, in no protocol.
type heard struct {
	model   string
	stream  bool
	usage   bool // the stream ends with the usage
	thinks  bool // the model was told to think
	counts  bool // only the number of tokens is asked for
	said    []string
	results []string // of tools, since the user's last words
	images  int
	tools   []offered
}

type offered struct {
	name   string
	schema gjson.Result
}

// plan is what the model does.
type plan struct {
	thought string
	text    []string // in pieces
	call    string   // name of a tool, and its arguments
	args    string
}

// id is one for the call, which no other call has.
func (p plan) id(prefix string) string {
	sum := sha256.Sum256([]byte(p.args))
	return prefix + hex.EncodeToString(sum[:8])
}

// Words is the number of pieces of a long stream, and Word one of them.
const Words = 2000

// Word is a piece of a long stream.
func Word(i int) string { return fmt.Sprintf("w%04d ", i) }

var (
	mark   = regexp.MustCompile(`CASE-(prompt|tool|image|stream|loop)-([a-z0-9]+)`)
	file   = regexp.MustCompile(`file ([^ "\n]+)`)
	secret = regexp.MustCompile(`SECRET-[a-z0-9]+`)
)

// plan decides by the last mark in what the user said.
func (h heard) plan() plan {
	all := strings.Join(h.said, "\n")
	found := mark.FindAllStringSubmatch(all, -1)
	if len(found) == 0 {
		return plan{text: []string{"ok"}}
	}
	kind, id := found[len(found)-1][1], found[len(found)-1][2]
	results := strings.Join(h.results, "\n")
	thought := ""
	if h.thinks {
		thought = "I think about " + id
	}
	switch kind {
	case "prompt":
		return plan{thought: thought, text: []string{"The answer is ", "PONG-" + id + "."}}
	case "stream":
		p := plan{thought: thought}
		for i := range Words {
			p.text = append(p.text, Word(i))
		}
		p.text = append(p.text, "END-"+id)
		return p
	case "tool":
		if s := secret.FindString(results); s != "" {
			return plan{thought: thought, text: []string{"The note says ", s + "."}}
		}
	case "loop":
		files := file.FindAllStringSubmatch(sinceMark(all, kind), -1)
		if n := len(h.results); n < len(files) {
			return h.call(thought, files[n:n+1])
		}
		return plan{thought: thought, text: []string{"They say ", strings.Join(secret.FindAllString(results, -1), " and ") + "."}}
	case "image":
		if h.images > 0 {
			return plan{thought: thought, text: []string{"I see it: ", "IMAGE-" + id + "."}}
		}
	}
	if len(h.results) > 0 {
		return plan{text: []string{"The tool gave something else: " + results}}
	}
	return h.call(thought, file.FindAllStringSubmatch(all, -1))
}

// sinceMark is what was said from the last mark of a kind on.
func sinceMark(all, kind string) string { return all[strings.LastIndex(all, "CASE-"+kind):] }

// readers are tools that read a file, by their names in the clients.
var readers = []string{"Read", "read_file", "read", "read_files", "exec_command", "shell_command", "shell", "local_shell", "bash", "Bash", "run_shell_command", "execute_command", "run_commands", "get_note"}

// call calls the first tool that reads a file.
func (h heard) call(thought string, files [][]string) plan {
	path := ""
	if len(files) > 0 {
		path = strings.TrimRight(files[len(files)-1][1], ".,:;")
	}
	for _, name := range readers {
		for _, t := range h.tools {
			short := t.name[strings.LastIndex(t.name, "__")+1:]
			if t.name == name || strings.TrimPrefix(short, "_") == name {
				args, _ := json.Marshal(arguments(t.schema, path))
				return plan{thought: thought, text: []string{"Let me look."}, call: t.name, args: string(args)}
			}
		}
	}
	if len(h.tools) == 0 { // a question beside the conversation, like one for its title
		return plan{text: []string{"A short title"}}
	}
	names := ""
	for _, t := range h.tools {
		names += " " + t.name
	}
	return plan{text: []string{"There is no tool that reads a file among:" + names}}
}

// arguments fills in what a tool requires, and the path of a file.
func arguments(schema gjson.Result, path string) object {
	required := map[string]bool{}
	for _, name := range schema.Get("required").Array() {
		required[name.Str] = true
	}
	out := object{}
	schema.Get("properties").ForEach(func(k, v gjson.Result) bool {
		if made := argument(k.Str, v, path, required[k.Str]); made != nil {
			out[k.Str] = made
		}
		return true
	})
	return out
}

func argument(name string, v gjson.Result, path string, required bool) any {
	typ := v.Get("type").String()
	isPath := strings.Contains(strings.ToLower(name), "path") || name == "file" || name == "files"
	isCommand := name == "cmd" || name == "command" || name == "commands"
	switch {
	case isPath && strings.Contains(typ, "array"):
		if v.Get("items.type").Str == "object" {
			return []any{arguments(v.Get("items"), path)}
		}
		return []string{path}
	case isPath && (required || name != "dir_path"):
		return path
	case isCommand && strings.Contains(typ, "array"):
		if name == "commands" {
			return []string{"cat " + path}
		}
		return []string{"cat", path}
	case isCommand:
		return "cat " + path
	case !required:
		return nil
	case strings.Contains(typ, "boolean"):
		return false
	case strings.Contains(typ, "number"), strings.Contains(typ, "integer"):
		return 1
	case strings.Contains(typ, "array"):
		return []any{}
	case len(v.Get("enum").Array()) > 0:
		return v.Get("enum.0").Value()
	}
	return "x"
}

// image checks that base64 data is an image of its type, and counts it.
func (h *heard) image(no *objections, where, media, data string) {
	raw, err := base64.StdEncoding.DecodeString(data)
	if !no.check(err == nil, "%s: invalid base64 data", where) {
		return
	}
	switch media {
	case "image/png", "image/jpeg", "image/gif", "image/webp":
	default:
		no.check(false, "%s: media type %q is not supported", where, media)
		return
	}
	real := http.DetectContentType(raw)
	if no.check(real == media, "%s: the image is of type %s, not %s", where, real, media) {
		h.images++
	}
}

// dataImage is the same for a data URL.
func (h *heard) dataImage(no *objections, where, address string) {
	rest, ok := strings.CutPrefix(address, "data:")
	media, data, found := strings.Cut(rest, ";base64,")
	if no.check(ok && found, "%s: not a data URL: %.60s", where, address) {
		h.image(no, where, media, data)
	}
}
