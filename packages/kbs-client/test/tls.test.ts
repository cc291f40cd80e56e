import { once } from "node:events";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";

import { attest } from "@nacre/kbs-protocol";
import { afterEach, describe, expect, it } from "vitest";

import { NodeKbsHttp } from "../src/index.ts";
import { certificate, ecKey, type CertificateOptions } from "../../trustee/test/certificates.ts";

const closing: (() => void)[] = [];
afterEach(() => {
  for (const close of closing.splice(0)) close();
});

const ADDRESS = new Map([["2.5.29.17", Buffer.from("300687047f000001", "hex")]]);
const NAME = new Map([["2.5.29.17", Buffer.from("30058203612e62", "hex")]]);
const pem = (der: Buffer): string =>
  `-----BEGIN CERTIFICATE-----\n${der.toString("base64").replaceAll(/.{64}/gu, "$&\n")}\n-----END CERTIFICATE-----\n`;

/** A broker that vouches for itself, and how often somebody connected. */
async function broker(change: Partial<CertificateOptions> = {}) {
  const key = ecKey();
  const options = { subject: "broker", key: key.publicKey, signer: key.privateKey, ca: true, extensions: ADDRESS };
  const cert = pem(certificate({ ...options, ...change }));
  let connections = 0;
  const server = createServer({ cert, key: key.privateKey.export({ type: "pkcs8", format: "pem" }) }, (_, response) =>
    response.end("{}"),
  );
  server.on("connection", () => (connections += 1)).on("tlsClientError", () => {});
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  closing.push(() => {
    server.close();
    server.closeAllConnections();
  });
  const url = `https://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return { url, cert, connections: () => connections };
}

function client(options: ConstructorParameters<typeof NodeKbsHttp>[0]): NodeKbsHttp {
  const http = new NodeKbsHttp(options);
  closing.push(() => http.close());
  return http;
}

describe("a broker over TLS", () => {
  it.each([false, true])("is asked where its authority is given (pinned: %s)", async (pin) => {
    const { url, cert } = await broker();
    const http = client({ roots: [cert], pin });
    expect(await http.send({ method: "GET", url, headers: {}, maxBody: 10 })).toMatchObject({
      status: 200,
      body: "{}",
    });
  });

  it.each<readonly [string, Partial<CertificateOptions>, boolean]>([
    ["that nobody vouches for", {}, false],
    ["of another name", { extensions: NAME }, true],
    ["whose certificate has run out", { to: "20260101000000Z" }, true],
    ["whose certificate does not hold yet", { from: "400101000000Z" }, true],
  ])("%s is asked once, and told nothing", async (_, change, given) => {
    const { url, cert, connections } = await broker(change);
    const http = client(given ? { roots: [cert] } : {});
    const evidence = {
      tee: () => "sample" as const,
      evidence: () => Promise.resolve("{}"),
      additionalEvidence: () => Promise.resolve(new Map<string, string>()),
    };
    const clock = { monotonic: () => 0, sleep: () => Promise.resolve() };
    await expect(attest({ url, http, evidence, initdata: undefined, clock })).rejects.toMatchObject({ code: "peer" });
    expect(connections()).toBe(1);
  });

  it("that is gone is asked again", async () => {
    const http = client({ roots: [(await broker()).cert] });
    const sent = http.send({ method: "GET", url: "https://127.0.0.1:1", headers: {}, maxBody: 10 });
    await expect(sent).rejects.toMatchObject({ code: "network" });
  });
});
