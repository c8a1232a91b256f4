package main

import (
	"fmt"
	"os"
	"path/filepath"
)

// client is a program that people run, or a script that uses an SDK.
type client struct {
	name     string
	dir      string // under the directory of the installed packages
	protocol string // that it speaks
	// command is its arguments for a run; the first is the program, under dir.
	command func(r *run) ([]string, error)
	env     func(r *run) []string
	// counts: it has a question for the number of tokens.
	counts bool
	lacks  string // of what it cannot do, by case
}

// run is one case with one client on one pool.
type run struct {
	client  client
	pool    pool
	kind    string // one of kinds
	id      string
	base    string // address of the pool, without a version
	home    string
	prompt  string
	picture string
}

// write puts a file of settings into the client's home.
func (r *run) write(name, text string) error {
	path := filepath.Join(r.home, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	return os.WriteFile(path, []byte(text), 0o600)
}

var clients = []client{
	{name: "Claude Code", dir: "claude-code", protocol: "claude", command: claudeCode, env: claudeCodeEnv},
	{name: "Codex CLI", dir: "codex", protocol: "responses", command: codex, env: keyEnv},
	{name: "gemini-cli", dir: "gemini-cli", protocol: "gemini", command: geminiCLI, env: geminiEnv},
	{name: "opencode", dir: "opencode", protocol: "chat", command: opencode("@ai-sdk/openai-compatible", "/v1"), env: opencodeEnv},
	{name: "opencode as Claude", dir: "opencode", protocol: "claude", command: opencode("@ai-sdk/anthropic", "/v1"), env: opencodeEnv},
	{name: "opencode as OpenAI", dir: "opencode", protocol: "responses", command: opencode("@ai-sdk/openai", "/v1"), env: opencodeEnv},
	{name: "opencode as Gemini", dir: "opencode", protocol: "gemini", command: opencode("@ai-sdk/google", "/v1beta"), env: opencodeEnv},
	{name: "qwen-code", dir: "qwen-code", protocol: "chat", command: qwenCode, env: qwenEnv},
	{name: "Cline", dir: "cline", protocol: "chat", command: cline, env: clineEnv},
	{name: "openai (chat)", dir: "sdks", protocol: "chat", command: sdk("chat.mjs"), env: keyEnv},
	{name: "openai (responses)", dir: "sdks", protocol: "responses", command: sdk("responses.mjs"), env: keyEnv, counts: true},
	{name: "@anthropic-ai/sdk", dir: "sdks", protocol: "claude", command: sdk("claude.mjs"), env: keyEnv, counts: true},
	{name: "@google/genai", dir: "sdks", protocol: "gemini", command: sdk("gemini.mjs"), env: keyEnv, counts: true},
}

func keyEnv(*run) []string { return []string{"HOLDFAST_KEY=" + clientKey} }

func claudeCode(r *run) ([]string, error) {
	return []string{"node_modules/.bin/claude", "-p", r.prompt, "--allowedTools", "Read", "--output-format", "text"}, nil
}

func claudeCodeEnv(r *run) []string {
	return []string{
		"ANTHROPIC_BASE_URL=" + r.base, "ANTHROPIC_API_KEY=" + clientKey, "ANTHROPIC_MODEL=" + r.pool.model,
		"ANTHROPIC_DEFAULT_HAIKU_MODEL=" + r.pool.model, "ANTHROPIC_SMALL_FAST_MODEL=" + r.pool.model,
		"CLAUDE_CONFIG_DIR=" + filepath.Join(r.home, ".claude"), "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC=1",
		"DISABLE_TELEMETRY=1", "DISABLE_AUTOUPDATER=1", "DISABLE_ERROR_REPORTING=1", "CLAUDE_CODE_MAX_RETRIES=1", "MAX_THINKING_TOKENS=4000",
	}
}

func codex(r *run) ([]string, error) {
	config := fmt.Sprintf("model = %q\nmodel_reasoning_effort = \"high\"\nmodel_provider = \"holdfast\"\ncheck_for_update_on_startup = false\n[analytics]\nenabled = false\n[model_providers.holdfast]\nname = \"holdfast\"\n"+
		"base_url = %q\nenv_key = \"HOLDFAST_KEY\"\nwire_api = \"responses\"\nrequest_max_retries = 0\nstream_max_retries = 0\n", r.pool.model, r.base+"/v1")
	args := []string{"node_modules/.bin/codex", "exec", "--skip-git-repo-check", "-s", "danger-full-access", r.prompt}
	if r.kind == "image" {
		args = append(args, "-i", r.picture)
	}
	return args, r.write(".codex/config.toml", config)
}

func geminiCLI(r *run) ([]string, error) {
	if r.kind == "image" {
		r.prompt = "@picture.png " + r.prompt
	}
	return []string{"node_modules/.bin/gemini", "-m", r.pool.model, "--yolo", "--skip-trust", "-o", "text", "-p", r.prompt},
		r.write(".gemini/settings.json", `{"security":{"auth":{"selectedType":"gemini-api-key"}},"privacy":{"usageStatisticsEnabled":false},"general":{"enableAutoUpdate":false},"telemetry":{"enabled":false}}`)
}

func geminiEnv(r *run) []string {
	return []string{"GEMINI_API_KEY=" + clientKey, "GOOGLE_GEMINI_BASE_URL=" + r.base, "GEMINI_TELEMETRY_ENABLED=false"}
}

func opencode(npm, version string) func(*run) ([]string, error) {
	return func(r *run) ([]string, error) {
		config := fmt.Sprintf(`{"$schema":"https://opencode.ai/config.json","share":"disabled","autoupdate":false,"model":"holdfast/%[3]s","small_model":"holdfast/%[3]s","provider":{"holdfast":{"npm":%[1]q,"name":"holdfast",
			"options":{"baseURL":%[2]q,"apiKey":%[4]q},"models":{%[3]q:{"name":"m","attachment":true,"tool_call":true,"reasoning":true,"temperature":true,"modalities":{"input":["text","image"],"output":["text"]},"limit":{"context":200000,"output":8000}}}}}}`,
			npm, r.base+version, r.pool.model, clientKey)
		args := []string{"node_modules/.bin/opencode", "run", "--pure", "--auto", r.prompt}
		if r.kind == "image" {
			args = append(args, "-f", r.picture)
		}
		return args, r.write(".config/opencode/opencode.json", config)
	}
}

func opencodeEnv(*run) []string {
	return []string{"OPENCODE_DISABLE_AUTOUPDATE=1", "OPENCODE_DISABLE_MODELS_FETCH=1", "OPENCODE_DISABLE_LSP_DOWNLOAD=1", "OPENCODE_DISABLE_DEFAULT_PLUGINS=1"}
}

func qwenCode(r *run) ([]string, error) {
	if r.kind == "image" {
		r.prompt = "@picture.png " + r.prompt
	}
	return []string{"node_modules/.bin/qwen", "-m", r.pool.model, "--yolo", "--auth-type", "openai", "-o", "text", "-p", r.prompt},
		r.write(".qwen/settings.json", `{"privacy":{"usageStatisticsEnabled":false},"general":{"enableAutoUpdate":false},"telemetry":{"enabled":false},"model":{"generationConfig":{"modalities":{"image":true}}}}`)
}

func qwenEnv(r *run) []string {
	return []string{"OPENAI_API_KEY=" + clientKey, "OPENAI_BASE_URL=" + r.base + "/v1", "OPENAI_MODEL=" + r.pool.model}
}

func cline(r *run) ([]string, error) {
	if r.kind == "image" {
		r.prompt += " @" + r.picture
	}
	settings := fmt.Sprintf(`{"version":1,"lastUsedProvider":"openai-compatible","modes":{},"providers":{"openai-compatible":{"settings":{"provider":"openai-compatible","apiKey":%q,"model":%q,"baseUrl":%q},
		"updatedAt":"2026-01-01T00:00:00.000Z","tokenSource":"manual"}}}`, clientKey, r.pool.model, r.base+"/v1")
	return []string{"node_modules/.bin/cline", "--auto-approve", "true", "--retries", "1", r.prompt}, r.write(".cline/data/settings/providers.json", settings)
}

func clineEnv(*run) []string { return []string{"CLINE_TELEMETRY_DISABLED=1"} }

// sdk is a script of ours; node finds the packages beside its copy.
func sdk(script string) func(*run) ([]string, error) {
	return func(r *run) ([]string, error) {
		return []string{"node", "holdfast-" + script, r.kind, r.base, r.pool.model, r.prompt, r.picture}, nil
	}
}
