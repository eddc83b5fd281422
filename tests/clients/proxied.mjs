// proxied.mjs agent|fetch|request URL: plain HTTP by the proxy of HTTP_PROXY, the three ways Node programs do it.
//
// agent: node:http with the usual agent, absolute form. fetch: undici's fetch with its ProxyAgent, CONNECT even for http.
// request: node:http by hand, absolute form in the request line.
import http from "node:http";

const [kind, url] = process.argv.slice(2);
const proxy = new URL(process.env.HTTP_PROXY);

const plain = (options) =>
  new Promise((resolve, reject) => {
    const request = http.get(options, async (answer) => {
      let text = "";
      for await (const piece of answer) text += piece;
      resolve(`${answer.statusCode} ${text}`);
    });
    request.on("error", reject);
  });

let found;
if (kind === "agent") {
  const { HttpProxyAgent } = await import("http-proxy-agent");
  const { hostname, port, pathname } = new URL(url);
  found = await plain({ hostname, port, path: pathname, agent: new HttpProxyAgent(proxy.href) });
} else if (kind === "request") {
  found = await plain({ hostname: proxy.hostname, port: proxy.port, path: url, headers: { host: new URL(url).host } });
} else {
  const { ProxyAgent, fetch } = await import("undici");
  try {
    const answer = await fetch(url, { dispatcher: new ProxyAgent(proxy.href) });
    found = `${answer.status} ${await answer.text()}`;
  } catch (error) {
    found = `failed ${error.cause?.message ?? error}`;
  }
}
process.stdout.write(found);
