import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { jsonLines, vectors } from "../../../test/setup/data.ts";
import type { Feature } from "../src/index.ts";
import { AGENT, Harness, HUB } from "./components.ts";

interface Row {
  readonly id: string;
  readonly section: string;
  readonly method: string;
  readonly path: string;
  readonly request_headers: Readonly<Record<string, string>>;
  readonly request_body?: string;
  readonly status: number | null;
  readonly response_headers?: Readonly<Record<string, string>>;
  readonly header_names?: readonly string[];
  readonly response_body?: string;
}

const OWN: Row = {
  id: "all/GET /aa/evidence?runtime_data=a%20b",
  section: "all",
  method: "GET",
  path: "/aa/evidence?runtime_data=a%20b",
  request_headers: {},
  status: 200,
  response_headers: { "content-type": "application/octet-stream" },
  header_names: ["content-length", "content-type", "date"],
  response_body: '{"report_data":"YSBi","svn":"1"}',
};

const recorded = vectors("golden/asr.jsonl");
const rows = recorded === undefined ? [OWN] : jsonLines<Row>(recorded);

const PARSER = "what follows the sentence's start is of the JSON parser";
const RELEASE = "the version is this project's";

/** Where ours differs from what was recorded: another body, and why. */
const DIFFERENCES: Readonly<Record<string, readonly [body: string, why: string]>> = {
  "all/GET /info": ['{"version":"0.1.0","tee":"sample","feature":"all"}', RELEASE],
  "all/GET /info?x=1": ['{"version":"0.1.0","tee":"sample","feature":"all"}', RELEASE],
  "attestation/GET /info": ['{"version":"0.1.0","tee":"sample","feature":"attestation"}', RELEASE],
  "aa-down-info": ['{"version":"0.1.0","feature":"all"}', "upstream's closes the connection without an answer"],
  "all/aael-missing": ["Illegal AAEL eventry format: missing field `operation`", PARSER],
  "all/aael-array": ["Illegal AAEL eventry format: expected an object", PARSER],
  "all/aael-wrong-type": ["Illegal AAEL eventry format: expected a string as domain", PARSER],
  "all/aael-not-json": ["Illegal AAEL eventry format: event: expected JSON", PARSER],
  "all/aael-empty": ["Illegal AAEL eventry format: event: expected JSON", PARSER],
  "attestation/POST /aa/aael": ["Illegal AAEL eventry format: event: expected JSON", PARSER],
};

const refuse = (): never => {
  throw new Error("refused");
};

/** What was up when the last section was recorded, row by row. */
const STATES: Readonly<Record<string, (harness: Harness) => Promise<void>>> = {
  deny: (harness) => harness.hub({ GetResource: refuse }),
  "kbs-down": (harness) => harness.hub({ GetResource: refuse }),
  "kbs-down-token": (harness) => harness.agent({ ...AGENT, GetToken: refuse }),
  "aa-down-token": (harness) => harness.agent(undefined),
  "aa-down-info": (harness) => harness.agent(undefined),
  "cdh-down": (harness) => harness.hub(undefined),
  "cdh-back": (harness) => harness.hub(HUB),
  "aa-back": (harness) => harness.agent(AGENT),
};

describe.each([...new Set(rows.map(({ section }) => section))])("the recorded replies of section %s", (section) => {
  let harness: Harness;
  beforeAll(async () => {
    harness = await Harness.start(section === "attestation" ? "attestation" : ("all" satisfies Feature));
  });
  afterAll(() => harness[Symbol.asyncDispose]());

  it.each(rows.filter((row) => row.section === section))("$id", async (row) => {
    await STATES[row.id]?.(harness);
    const reply = await harness.send(row.method, row.path, row.request_body, row.request_headers);
    const [body] = DIFFERENCES[row.id] ?? [row.response_body];
    expect(reply.body).toBe(body);
    // A difference that went away must leave the table.
    expect(body === row.response_body).toBe(DIFFERENCES[row.id] === undefined);
    if (row.status === null) return;
    expect(reply.status).toBe(row.status);
    expect(Object.keys(reply.headers).sort()).toEqual(row.header_names);
    expect(reply.headers).toMatchObject(row.response_headers ?? {});
  });
});

if (recorded !== undefined) {
  it("the differences are of recorded replies, each with its reason", () => {
    const ids = rows.map(({ id }) => id);
    for (const [id, [, why]] of Object.entries(DIFFERENCES)) {
      expect(ids).toContain(id);
      expect(why).not.toBe("");
    }
  });
}
