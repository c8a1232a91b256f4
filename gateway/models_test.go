package gateway

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// A model in the list is one that a request can be sent to.
func TestModelsAreThoseThatCanBeServed(t *testing.T) {
	endpoint := `"OPENAI_API_KEY":"k","OPENAI_BASE_URL":"http://x"`
	s := buildSnapshot(rawState{
		pools: map[string]map[string]string{
			"openai-custom": {
				"a":   `{"supportedModels":["good"],` + endpoint + `}`,
				"off": `{"supportedModels":["disabled"],"isDisabled":true,` + endpoint + `}`,
				"key": `{"supportedModels":["no-key"],"OPENAI_BASE_URL":"http://x"}`,
				"url": `{"supportedModels":["no-url"],"OPENAI_API_KEY":"k"}`,
			},
			"claude-custom":     {"c": `{"supportedModels":["other-protocol"],"checkModelName":"other-check"}`},
			"claude-kiro-oauth": {"k": `{"checkModelName":"kiro"}`},
		},
		customModels: `[{"id":"alias","actualProvider":"openai-custom","actualModel":"good"},{"id":"lost","actualProvider":"openai-custom","actualModel":"no-key"},{"id":"foreign","actualProvider":"claude-custom","actualModel":"other-protocol"}]`,
	}, sourceRedis, "", nil)
	var ids []string
	for _, m := range listModels(s, "") {
		ids = append(ids, m.ID)
	}
	require.Equal(t, []string{"alias", "good"}, ids)
}
