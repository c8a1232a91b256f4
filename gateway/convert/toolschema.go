package convert

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
)

// members is a JSON object that is changed at its top alone.
type members map[string]json.RawMessage

// parameters is a tool's schema as a provider takes it. OpenAI and Claude want an
// object at the top, and no choice between several there: the properties of all of
// them are offered then, and what each of them requires is required. A schema that is
// right passes as it is, byte for byte.
func parameters(provider Format, schema string) string {
	top := members{}
	if json.Unmarshal([]byte(schema), &top) != nil {
		return schema
	}
	changed := false
	if typ := strings.TrimSpace(string(top["type"])); typ != `"object"` {
		top["type"], changed = json.RawMessage(`"object"`), true
	}
	if provider != Gemini {
		for _, keyword := range []string{"anyOf", "oneOf", "allOf"} {
			var choices []members
			if json.Unmarshal(top[keyword], &choices) == nil && len(choices) > 0 {
				delete(top, keyword)
				top.offer(choices, keyword == "allOf")
				changed = true
			}
		}
	}
	var props members
	if (provider == Chat || provider == Responses) && (json.Unmarshal(top["properties"], &props) != nil || props == nil) {
		top["properties"], changed = json.RawMessage(`{}`), true
	}
	if !changed {
		return schema
	}
	return string(marshal(top))
}

// offer adds what several schemas allow; all says that each of them holds.
func (top members) offer(choices []members, all bool) {
	props, required := members{}, []string(nil)
	_ = json.Unmarshal(top["properties"], &props) // none, or an object
	_ = json.Unmarshal(top["required"], &required)
	var common []string
	for i, c := range choices {
		c = top.resolve(c)
		own, wanted := members{}, []string(nil)
		_ = json.Unmarshal(c["properties"], &own)
		_ = json.Unmarshal(c["required"], &wanted)
		for name, v := range own {
			if _, ok := props[name]; !ok {
				props[name] = v
			}
		}
		switch {
		case i == 0:
			common = wanted
		case all:
			common = append(common, wanted...)
		default:
			common = slices.DeleteFunc(common, func(name string) bool { return !slices.Contains(wanted, name) })
		}
	}
	required = append(required, common...)
	slices.Sort(required)
	top["properties"] = marshal(props)
	if required = slices.Compact(required); len(required) > 0 {
		top["required"] = marshal(required)
	}
}

// resolve follows a reference to a definition beside it.
func (top members) resolve(c members) members {
	var ref string
	if json.Unmarshal(c["$ref"], &ref) != nil {
		return c
	}
	for _, where := range []string{"$defs", "definitions"} {
		name, ok := strings.CutPrefix(ref, "#/"+where+"/")
		defs := map[string]members{}
		if ok && json.Unmarshal(top[where], &defs) == nil && defs[name] != nil {
			return maps.Clone(defs[name])
		}
	}
	return c
}
