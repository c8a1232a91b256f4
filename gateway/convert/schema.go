package convert

import (
	"strings"

	"github.com/tidwall/gjson"
)

// jsonSchema turns Gemini's own kind of schema into JSON Schema: types are in
// capitals there, counts are strings, and null is a flag.
func (r *reader) jsonSchema(field string, v gjson.Result) object {
	out := object{}
	nullable := false
	r.object(field, v, func(field, key string, v gjson.Result) bool {
		switch key = camel(key); key {
		case "type":
			if name := strings.ToLower(r.text(field, v)); name != "type_unspecified" {
				out["type"] = name
			}
		case "nullable":
			nullable = r.flag(field, v)
		case "properties":
			props := object{}
			r.object(field, v, func(field, name string, v gjson.Result) bool {
				props[name] = r.jsonSchema(field, v)
				return true
			})
			out[key] = props
		case "items":
			out[key] = r.jsonSchema(field, v)
		case "anyOf":
			any := []any{}
			r.list(field, v, func(field string, v gjson.Result) { any = append(any, r.jsonSchema(field, v)) })
			out[key] = any
		case "minItems", "maxItems", "minLength", "maxLength", "minProperties", "maxProperties":
			out[key] = v.Int()
		case "example":
			out["examples"] = []any{rawJSON(v.Raw)}
		case "format":
			if v.Str != "enum" { // says nothing beside enum
				out[key] = rawJSON(v.Raw)
			}
		case "title", "description", "default", "enum", "pattern", "minimum", "maximum", "required":
			out[key] = rawJSON(v.Raw)
		case "propertyOrdering":
		default:
			return false
		}
		return true
	})
	if name, ok := out["type"].(string); ok && nullable {
		out["type"] = []string{name, "null"}
	}
	return out
}

// camel is a field's name in camelCase: Gemini takes snake_case as well.
func camel(key string) string {
	if !strings.Contains(key, "_") {
		return key
	}
	var out strings.Builder
	for i, word := range strings.Split(key, "_") {
		if i > 0 && word != "" {
			word = strings.ToUpper(word[:1]) + word[1:]
		}
		out.WriteString(word)
	}
	return out.String()
}

// isStrict reports whether a schema is of the kind that providers enforce: each
// object closed, and each of its properties required.
func isStrict(schema string) bool { return strictSchema(gjson.Parse(schema)) }

func strictSchema(v gjson.Result) bool {
	if v.IsArray() {
		ok := true
		v.ForEach(func(_, v gjson.Result) bool {
			ok = strictSchema(v)
			return ok
		})
		return ok
	}
	if !v.IsObject() {
		return true
	}
	if props := v.Get("properties"); v.Get("type").Str == "object" || props.IsObject() {
		required := map[string]bool{}
		for _, name := range v.Get("required").Array() {
			required[name.Str] = true
		}
		if v.Get("additionalProperties").Raw != "false" || len(required) != len(props.Map()) {
			return false
		}
	}
	ok := true
	v.ForEach(func(k, v gjson.Result) bool {
		switch k.Str {
		case "properties", "$defs", "definitions": // names, not keywords
			v.ForEach(func(_, v gjson.Result) bool {
				ok = strictSchema(v)
				return ok
			})
		case "items", "anyOf", "allOf", "oneOf", "prefixItems":
			ok = strictSchema(v)
		}
		return ok
	})
	return ok
}
