// @anthropic-ai/sdk: one case a run.
import Anthropic from '@anthropic-ai/sdk';
import fs from 'node:fs';

const [kind, base, model, prompt, picture] = process.argv.slice(2);
const client = new Anthropic({ baseURL: base, apiKey: process.env.HOLDFAST_KEY, maxRetries: 0 });
const messages = [{ role: 'user', content: prompt }];
const tools = [{ name: 'get_note', description: 'reads', input_schema: { type: 'object', properties: { path: { type: 'string' } }, required: ['path'] } }];
const text = (m) => m.content.filter((b) => b.type === 'text').map((b) => b.text).join('');

if (kind === 'prompt') {
  const r = await client.messages.create({ model, max_tokens: 500, system: [{ type: 'text', text: 'Be short.', cache_control: { type: 'ephemeral' } }], messages });
  console.log(text(r), r.usage.output_tokens);
} else if (kind === 'stream') {
  const s = client.messages.stream({ model, max_tokens: 9000, messages });
  s.on('text', (t) => process.stdout.write(t));
  const r = await s.finalMessage();
  if (r.stop_reason !== 'end_turn' || !(r.usage.output_tokens > 0)) throw new Error(JSON.stringify(r.usage));
} else if (kind === 'image') {
  const source = { type: 'base64', media_type: 'image/png', data: fs.readFileSync(picture).toString('base64') };
  const r = await client.messages.create({ model, max_tokens: 500, messages: [{ role: 'user', content: [{ type: 'image', source }, { type: 'text', text: prompt }] }] });
  console.log(text(r));
} else if (kind === 'tool' || kind === 'loop') {
  const thinking = { type: 'enabled', budget_tokens: 2000 };
  for (;;) {
    const r = await client.messages.stream({ model, max_tokens: 5000, thinking, messages, tools }).finalMessage();
    if (r.stop_reason !== 'tool_use') {
      console.log(text(r));
      break;
    }
    messages.push({ role: 'assistant', content: r.content });
    messages.push({ role: 'user', content: r.content.filter((b) => b.type === 'tool_use').map((b) => (
      { type: 'tool_result', tool_use_id: b.id, content: fs.readFileSync(b.input.path, 'utf8') })) });
  }
} else if (kind === 'count') {
  const r = await client.messages.countTokens({ model, messages, tools });
  console.log('TOKENS-' + r.input_tokens);
}
