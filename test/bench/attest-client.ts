/**
 * A guest of the bench, by the code that guests run: handshakes with sample evidence and a new key, each followed by one
 * resource. argv: port, how many at once, seconds. Prints the median of one in milliseconds and the rate.
 */
import { getResource, handshake, parseResourceUri, TeeKey, type EvidenceSource } from "@nacre/kbs-protocol";
import { NodeKbsHttp } from "@nacre/kbs-client";

import { median } from "./row.ts";

const [, , port = "", clients = "1", seconds = "1"] = process.argv;
const url = `http://127.0.0.1:${port}`;
const uri = parseResourceUri("kbs:///bench/key/one");
const http = new NodeKbsHttp();
const evidence: EvidenceSource = {
  tee: () => "sample",
  evidence: (data) => Promise.resolve(JSON.stringify({ svn: "1", report_data: data.toString("base64") })),
  additionalEvidence: () => Promise.resolve(new Map()),
};
const clock = { monotonic: () => performance.now(), sleep: () => Promise.reject(new Error("no retries here")) };

async function once(): Promise<void> {
  const { key, cookies } = await handshake({
    url,
    http,
    evidence,
    key: await TeeKey.generate(),
    initdata: undefined,
  });
  const session = { headers: cookies.headers, key };
  const bytes = await getResource(uri, { url, http, clock, sessions: { session: () => Promise.resolve(session) } });
  if (bytes.length !== 32) throw new Error(`expected the resource, got ${bytes.length} bytes`);
}

// Compilers of both sides have seen every path by then.
for (let i = 0; i < 300; i++) await once();
const times: number[] = [];
const begin = performance.now();
const end = begin + Number(seconds) * 1000;
await Promise.all(
  Array.from({ length: Number(clients) }, async () => {
    while (performance.now() < end) {
      const start = performance.now();
      await once();
      times.push(performance.now() - start);
    }
  }),
);
const rate = times.length / ((performance.now() - begin) / 1000);
process.stdout.write(`${JSON.stringify({ median: median(times), rate })}\n`);
http.close();
