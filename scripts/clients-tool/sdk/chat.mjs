// openai, Chat Completions: one case a run.
import OpenAI from 'openai';
import fs from 'node:fs';

const [kind, base, model, prompt, picture] = process.argv.slice(2);
const client = new OpenAI({ baseURL: base + '/v1', apiKey: process.env.HOLDFAST_KEY, maxRetries: 0 });
const messages = [{ role: 'system', content: 'Be short.' }, { role: 'user', content: prompt }];
const tools = [{ type: 'function', function: { name: 'get_note', description: 'reads', parameters: { type: 'object', properties: { path: { type: 'string' } }, required: ['path'] } } }];

if (kind === 'prompt') {
  const r = await client.chat.completions.create({ model, messages, max_completion_tokens: 500 });
  console.log(r.choices[0].message.content, r.usage.total_tokens);
} else if (kind === 'stream') {
  const s = client.chat.completions.stream({ model, messages, stream_options: { include_usage: true } });
  s.on('content', (t) => process.stdout.write(t));
  const r = await s.finalChatCompletion();
  if (!(r.usage.total_tokens > 0)) throw new Error('no usage');
} else if (kind === 'image') {
  messages[1].content = [{ type: 'text', text: prompt }, { type: 'image_url', image_url: { url: 'data:image/png;base64,' + fs.readFileSync(picture).toString('base64') } }];
  const r = await client.chat.completions.create({ model, messages });
  console.log(r.choices[0].message.content);
} else if (kind === 'tool' || kind === 'loop') {
  for (;;) {
    const r = await client.chat.completions.stream({ model, messages, tools }).finalChatCompletion();
    const { content, tool_calls } = r.choices[0].message;
    if (r.choices[0].finish_reason !== 'tool_calls') {
      console.log(content);
      break;
    }
    messages.push({ role: 'assistant', content, tool_calls: tool_calls.map((c) => ({ id: c.id, type: c.type, function: { name: c.function.name, arguments: c.function.arguments } })) });
    for (const c of tool_calls) {
      messages.push({ role: 'tool', tool_call_id: c.id, content: fs.readFileSync(JSON.parse(c.function.arguments).path, 'utf8') });
    }
  }
}
