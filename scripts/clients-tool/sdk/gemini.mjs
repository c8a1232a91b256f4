// @google/genai: one case a run.
import { GoogleGenAI } from '@google/genai';
import fs from 'node:fs';

const [kind, base, model, prompt, picture] = process.argv.slice(2);
const ai = new GoogleGenAI({ apiKey: process.env.HOLDFAST_KEY, httpOptions: { baseUrl: base } });
const contents = [{ role: 'user', parts: [{ text: prompt }] }];
const tools = [{ functionDeclarations: [{ name: 'get_note', description: 'reads', parameters: { type: 'OBJECT', properties: { path: { type: 'STRING' } }, required: ['path'] } }] }];

if (kind === 'prompt') {
  const r = await ai.models.generateContent({ model, contents: prompt, config: { systemInstruction: 'Be short.', maxOutputTokens: 500 } });
  console.log(r.text, r.usageMetadata.totalTokenCount);
} else if (kind === 'stream') {
  let usage;
  for await (const c of await ai.models.generateContentStream({ model, contents })) {
    if (c.text) process.stdout.write(c.text);
    usage = c.usageMetadata ?? usage;
  }
  if (!(usage.totalTokenCount > 0)) throw new Error('no usage');
} else if (kind === 'image') {
  const data = fs.readFileSync(picture).toString('base64');
  const r = await ai.models.generateContent({ model, contents: [{ role: 'user', parts: [{ text: prompt }, { inlineData: { mimeType: 'image/png', data } }] }] });
  console.log(r.text);
} else if (kind === 'tool' || kind === 'loop') {
  const config = { tools, thinkingConfig: { includeThoughts: true } };
  for (;;) {
    const r = await ai.models.generateContent({ model, contents, config });
    if (!r.functionCalls) {
      console.log(r.text);
      break;
    }
    contents.push(r.candidates[0].content);
    contents.push({ role: 'user', parts: r.functionCalls.map((c) => ({ functionResponse: { id: c.id, name: c.name, response: { output: fs.readFileSync(c.args.path, 'utf8') } } })) });
  }
} else if (kind === 'count') {
  const r = await ai.models.countTokens({ model, contents });
  console.log('TOKENS-' + r.totalTokens);
}
