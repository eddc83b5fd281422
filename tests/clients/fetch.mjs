// fetch.mjs URL [GATE]: GET with Node's fetch, or with GATE a streamed completion read as it comes.
import { closeSync, openSync } from "node:fs";

const [url, gate] = process.argv.slice(2);
if (!gate) {
  const answer = await fetch(url);
  process.stdout.write(`${answer.status} ${await answer.text()}`);
} else {
  const body = JSON.stringify({ model: "any", stream: true, messages: [{ role: "user", content: `do:gate=${gate}` }] });
  const answer = await fetch(url, { method: "POST", headers: { "content-type": "application/json" }, body });
  const decoder = new TextDecoder();
  let text = "";
  for await (const bytes of answer.body) {
    text += decoder.decode(bytes, { stream: true });
    // The server sends its second event only once this file exists.
    if (text.includes("piece-0")) closeSync(openSync(`/mnt/work/${gate}`, "a"));
  }
  process.stdout.write(`${answer.status} ${text}`);
}
