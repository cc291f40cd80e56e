import { Code, encode } from "@nacre/protocols";
import { describe, expect, it } from "vitest";

import { errorInfo, FrameType, reasonOf, RpcError, TtrpcClient, transportPair } from "../src/index.ts";
import { encodeStatusResponse } from "../src/message.ts";
import { Echo, echoPair } from "./echo.ts";
import { frameBytes, RawPeer } from "./peer.ts";

const DOMAIN = "test";

describe("the reason of a failure", () => {
  it("reaches the caller beside code and text", async () => {
    const { client, backend } = echoPair();
    backend.errors.set("why", new RpcError(Code.INTERNAL, "outer", { details: [errorInfo(DOMAIN, "DENIED")] }));
    const error = await client.call(Echo.methods.Reject, { text: "why" }).catch((e: unknown) => e);
    expect(error).toMatchObject({ code: Code.INTERNAL, message: "outer" });
    expect(reasonOf(error, DOMAIN)).toBe("DENIED");
    expect(reasonOf(error, "another")).toBeUndefined();
  });

  it("is google.rpc.ErrorInfo in an Any, as other implementations write it", () => {
    const { type_url: type, value } = errorInfo("d", "R");
    expect(type).toBe("type.googleapis.com/google.rpc.ErrorInfo");
    expect(Buffer.from(value).toString("hex")).toBe("0a01521201" + Buffer.from("d").toString("hex"));
    const any = encode("google.rpc.Detail", { type_url: "t", value: Buffer.of(1) });
    expect(Buffer.from(encodeStatusResponse(13, "m", [any])).toString("hex")).toBe("0a0d080d12016d1a060a0174120101");
  });

  it("is nothing where a peer sends none, or what is none", async () => {
    const [a, b] = transportPair();
    const client = new TtrpcClient(a);
    const peer = new RawPeer(b);
    for (const details of [
      [],
      [Buffer.of(0xff)],
      [encode("google.rpc.Detail", { type_url: "x", value: Buffer.of(1) })],
    ]) {
      const call = client.call(Echo.methods.Now, { text: "" }).catch((e: unknown) => e);
      const { id } = await peer.next();
      peer.send(frameBytes(id, FrameType.RESPONSE, encodeStatusResponse(13, "m", details)));
      const error = await call;
      expect(error).toMatchObject({ code: 13, message: "m" });
      expect(reasonOf(error, DOMAIN)).toBeUndefined();
    }
    expect(reasonOf(new Error("plain"), DOMAIN)).toBeUndefined();
  });
});
