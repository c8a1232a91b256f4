// Package convert turns a request of one AI protocol into the same request of
// another, and the answer back: OpenAI Chat Completions and Responses, Anthropic
// Messages and Gemini generateContent, each as client and as provider, plain and
// streamed.
//
//	client's request ─▶ read…  ─▶ request (neutral.go) ─▶ write… ─▶ provider's
//	client's answer  ◀─ encode ◀─ answer, event        ◀─ decode ◀─ provider's
//
// Nothing that would change the answer is dropped silently: a field that the
// other protocol cannot say, and one that this package does not know, is a
// FieldError with the name that the client knows it by.
//
// A hint is no part of the answer, and its refusal would make the request useless.
// Hints are left out where a provider has no place for them: who the user is,
// caching, service tiers, the resolution of images, verbosity, seeds, top_k,
// penalties, one call at a time, safety settings. How hard to think, and how to
// choose words, is brought into what the model takes (models.go).
//
// A tool that a provider runs itself (web search and the like) is left out where
// the client offers tools of its own beside it, and refused where it stands alone.
//
// What a model thinks is shown where the client's protocol has a place for it. What
// the provider wants back of it travels beside the client, for the account that made
// it (seals.go). Stop sequences that a provider does not take end the answer here
// (stops.go), and the number of tokens is asked for or estimated (count.go).
//
// System messages in the middle are moved to the front. Claude wants max_tokens:
// without one it gets defaultMaxTokens. Calls whose pieces a provider mixes are
// put one after the other (calls.go), and each has an id of its own.
package convert
