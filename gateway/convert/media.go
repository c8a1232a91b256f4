package convert

import (
	"encoding/base64"
	"mime"
	"net/http"
	"net/url"
	"path"
	"strings"
)

// mediaNames are names that clients use for what the providers know by another.
var mediaNames = map[string]string{
	"image/jpg": "image/jpeg", "image/pjpeg": "image/jpeg", "image/x-png": "image/png",
	"application/x-pdf": "application/pdf", "audio/x-wav": "audio/wav", "audio/wave": "audio/wav", "audio/mpeg": "audio/mp3",
}

// mediaByExtension are the types of addresses that tell theirs.
var mediaByExtension = map[string]string{
	".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".webp": "image/webp", ".gif": "image/gif",
	".heic": "image/heic", ".heif": "image/heif", ".pdf": "application/pdf",
}

// mediaType is a media type as the providers know it: without parameters, in
// small letters, by its registered name.
func mediaType(s string) string {
	name, _, err := mime.ParseMediaType(s)
	if err != nil {
		name, _, _ = strings.Cut(strings.ToLower(strings.TrimSpace(s)), ";")
	}
	if known, ok := mediaNames[name]; ok {
		return known
	}
	return name
}

// mediaOf finds the type of data whose sender named none, or one that says nothing.
func mediaOf(named, data string) string {
	if named = mediaType(named); named != "" && named != "application/octet-stream" && named != "image/*" {
		return named
	}
	head := data[:min(len(data), 684)]
	raw, _ := base64.StdEncoding.DecodeString(head[:len(head)/4*4])
	found, _, _ := strings.Cut(http.DetectContentType(raw), ";")
	return found
}

// mediaOfURL is the type that the name in an address tells; "" if it tells none.
func mediaOfURL(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	return mediaByExtension[strings.ToLower(path.Ext(u.Path))]
}

// plainBase64 is base64 as every provider takes it: the usual alphabet, padded,
// without line breaks.
func plainBase64(s string) string {
	if strings.ContainsAny(s, "\r\n\t ") {
		s = strings.NewReplacer("\r", "", "\n", "", "\t", "", " ", "").Replace(s)
	}
	if strings.ContainsAny(s, "-_") {
		s = strings.NewReplacer("-", "+", "_", "/").Replace(s)
	}
	s = strings.TrimRight(s, "=")
	if n := len(s) % 4; n > 0 {
		s += "===="[n:]
	}
	return s
}

// cutDataURL takes a data URL with base64 apart; parameters of its type say
// nothing to a provider.
func cutDataURL(s string) (media, data string, ok bool) {
	if len(s) < 5 || !strings.EqualFold(s[:5], "data:") {
		return "", "", false
	}
	head, data, found := strings.Cut(s[5:], ",")
	media, isBase64 := strings.CutSuffix(strings.TrimSpace(head), ";base64")
	if !found || !isBase64 {
		return "", "", false
	}
	data = plainBase64(data)
	return mediaOf(media, data), data, true
}

// image reads an address: data in itself or one on the web.
func (r *reader) image(field, address string) part {
	p := part{kind: imagePart, field: field}
	if media, data, ok := cutDataURL(address); ok {
		p.media, p.data = media, data
	} else if isWeb(address) {
		p.url = address
	} else {
		r.refuse(field, "is neither a data URL with base64 nor an http or https URL")
	}
	return p
}

func isWeb(address string) bool {
	return strings.HasPrefix(address, "https://") || strings.HasPrefix(address, "http://")
}

// blob is data that came with the name of its type.
func (r *reader) blob(field, media, data string) part {
	data = plainBase64(data)
	if data == "" {
		r.refuse(field, "has no data")
	}
	p := part{kind: filePart, field: field, media: mediaOf(media, data), data: data}
	if strings.HasPrefix(p.media, "image/") {
		p.kind = imagePart
	}
	return p
}

// file reads a document: data with or without a data URL around it.
func (r *reader) file(field, name, data string) part {
	media, plain, ok := cutDataURL(data)
	if !ok {
		media, plain = mediaByExtension[strings.ToLower(path.Ext(name))], data
	}
	p := r.blob(field, media, plain)
	p.filename = name
	return p
}

// plainText is the text of a file that is nothing else.
func (p part) plainText() (string, bool) {
	if !strings.HasPrefix(p.media, "text/") && p.media != "application/json" && p.media != "application/xml" {
		return "", false
	}
	raw, err := base64.StdEncoding.DecodeString(p.data)
	return string(raw), err == nil && p.data != ""
}

// fileName is a file's name, for providers that want one.
func (p part) fileName() string {
	if p.filename != "" {
		return p.filename
	}
	_, ext, _ := strings.Cut(p.media, "/")
	return "file." + ext
}
