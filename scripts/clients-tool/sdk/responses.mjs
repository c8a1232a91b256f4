// openai, Responses: one case a run.
import OpenAI from 'openai';
import fs from 'node:fs';

const [kind, base, model, prompt, picture] = process.argv.slice(2);
const client = new OpenAI({ baseURL: base + '/v1', apiKey: process.env.HOLDFAST_KEY, maxRetries: 0 });
const tools = [{ type: 'function', name: 'get_note', description: 'reads', strict: false, parameters: { type: 'object', properties: { path: { type: 'string' } }, required: ['path'] } }];
const input = [{ role: 'user', content: prompt }];

if (kind === 'prompt') {
  const r = await client.responses.create({ model, instructions: 'Be short.', input: prompt });
  console.log(r.output_text, r.usage.total_tokens);
} else if (kind === 'stream') {
  const s = await client.responses.create({ model, input, stream: true });
  let done = false;
  for await (const e of s) {
    if (e.type === 'response.output_text.delta') process.stdout.write(e.delta);
    if (e.type === 'response.completed') done = e.response.usage.total_tokens > 0;
  }
  if (!done) throw new Error('no end');
} else if (kind === 'image') {
  const image_url = 'data:image/png;base64,' + fs.readFileSync(picture).toString('base64');
  const r = await client.responses.create({ model, input: [{ role: 'user', content: [{ type: 'input_text', text: prompt }, { type: 'input_image', image_url, detail: 'auto' }] }] });
  console.log(r.output_text);
} else if (kind === 'tool' || kind === 'loop') {
  for (;;) {
    const reasoning = model.startsWith('gpt-5') ? { effort: 'high', summary: 'auto' } : undefined;
    const r = await client.responses.stream({ model, input, tools, reasoning, store: false, include: ['reasoning.encrypted_content'] }).finalResponse();
    const calls = r.output.filter((i) => i.type === 'function_call');
    if (calls.length === 0) {
      console.log(r.output_text);
      break;
    }
    input.push(...r.output.map(({ parsed_arguments, ...item }) => item));
    for (const item of calls) {
      input.push({ type: 'function_call_output', call_id: item.call_id, output: fs.readFileSync(JSON.parse(item.arguments).path, 'utf8') });
    }
  }
} else if (kind === 'count') {
  const r = await client.responses.inputTokens.count({ model, input });
  console.log('TOKENS-' + r.input_tokens);
}
