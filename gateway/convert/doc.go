// Package convert turns a request of one AI protocol into the same request of
// another, and the answer back: OpenAI Chat Completions, Anthropic Messages and
// Gemini generateContent, each as client and as provider, plain and streamed.
//
//	client's request ─▶ read…  ─▶ request (neutral.go) ─▶ write… ─▶ provider's
//	client's answer  ◀─ encode ◀─ answer, event        ◀─ decode ◀─ provider's
//
// Nothing that would change the answer is dropped silently: a field that the
// other protocol cannot say, and one that this package does not know, is a
// FieldError with the name that the client knows it by. What is left out without
// a word is what no answer depends on: who the user is, caching, service tiers,
// hints about the resolution of images. What a model thinks before it answers is
// of its own kind and is not carried to another protocol, in either direction.
//
// A system message in the middle of a chat is moved to the front where the other
// protocol has one place for it. Claude wants max_tokens: without one it gets
// defaultMaxTokens. How hard to think is given in words by some and in tokens by
// others; Google's published table connects them (thinking.go).
package convert
