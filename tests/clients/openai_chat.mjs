// openai_chat.mjs GATE: a streamed completion with the official npm package.
import { closeSync, openSync } from "node:fs";
import OpenAI from "openai";

const gate = process.argv[2];
const client = new OpenAI({ apiKey: "any text", maxRetries: 0, timeout: 60_000 });
const messages = [{ role: "user", content: `hello do:gate=${gate}` }];
for await (const chunk of await client.chat.completions.create({ model: "any", messages, stream: true })) {
  const text = chunk.choices[0].delta.content;
  if (text) {
    process.stdout.write(text);
    // The server sends its second event only once this file exists.
    closeSync(openSync(`/mnt/work/${gate}`, "a"));
  }
}
process.stdout.write("end\n");
