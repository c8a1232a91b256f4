package gateway

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
)

// A key has its protocol's own header, an access token is a bearer everywhere.
func TestTokensAreBearersInEveryProtocol(t *testing.T) {
	for typ, header := range map[string]string{"openai-codex-oauth": "Authorization", "claude-kiro-oauth": "X-Api-Key", "gemini-cli-oauth": "X-Goog-Api-Key"} {
		info, _, _ := lookupProvider(typ)
		entry := `{"` + info.keyFields[0] + `":"key"}`
		keyed, signed := http.Header{}, http.Header{}
		parseAccount(accountID{typ, "a"}, info, entry).present(keyed)
		require.Len(t, keyed, 1)
		require.Contains(t, keyed.Get(header), "key")
		parseAccount(accountID{typ, "a"}, info, `{}`).with("token").present(signed)
		require.Equal(t, http.Header{"Authorization": {"Bearer token"}}, signed)
	}
}
