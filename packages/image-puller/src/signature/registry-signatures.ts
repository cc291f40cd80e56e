import { type Descriptor, digestOf, OciError, parseDigest, readAll, type RepositoryClient } from "oci-client";
import { MAX_PAYLOAD } from "./payload.ts";
import { MAX_SIGNATURES, type SigstoreSignature } from "./signature-source.ts";

/** Media type of a payload that cosign signs (cosign, specs/SIGNATURE_SPEC.md). */
const SIMPLE_SIGNING = "application/vnd.dev.cosign.simplesigning.v1+json";
const SIGNATURE = "dev.cosignproject.cosign/signature";
/** Base64 of the longest signature of a key that is accepted, with room for line breaks. */
const MAX_SIGNATURE = 4096;

/**
 * The signatures that cosign keeps beside an image: the layers of the image that is tagged `sha256-HEX.sig` in the image's own
 * repository. Where there is no such tag there are none. What is malformed is left out: it verifies nothing.
 *
 * @throws OciError for what the registry or the network do
 */
export async function attachedSignatures(
  client: Pick<RepositoryClient, "tagged" | "blob">,
  manifestDigest: string,
  signal?: AbortSignal,
): Promise<readonly SigstoreSignature[]> {
  const { algorithm, hex } = parseDigest(manifestDigest);
  const manifest = await client.tagged(`${algorithm}-${hex}.sig`, signal);
  if (manifest === undefined) return [];
  const signatures: SigstoreSignature[] = [];
  for (const layer of manifest.layers.filter(isSignature).slice(0, MAX_SIGNATURES)) {
    const payload = await payloadOf(client, layer, signal);
    if (payload === undefined) continue;
    const signature = Buffer.from((layer.annotations[SIGNATURE] ?? "").replaceAll(/\s/gu, ""), "base64");
    signatures.push({ payload, signature });
  }
  return signatures;
}

function isSignature({ mediaType, size, annotations }: Descriptor): boolean {
  const signature = annotations[SIGNATURE];
  return (
    mediaType === SIMPLE_SIGNING &&
    size <= MAX_PAYLOAD &&
    signature !== undefined &&
    signature.length <= MAX_SIGNATURE &&
    /^[A-Za-z0-9+/\s]+={0,2}\s*$/u.test(signature)
  );
}

/** A payload; undefined where the registry has other bytes under its digest, or none. */
async function payloadOf(
  client: Pick<RepositoryClient, "blob">,
  layer: Descriptor,
  signal: AbortSignal | undefined,
): Promise<Buffer | undefined> {
  try {
    const payload = await readAll("signed payload", client.blob(layer, signal), layer.size);
    return digestOf(payload, parseDigest(layer.digest).algorithm) === layer.digest ? payload : undefined;
  } catch (error) {
    if (error instanceof OciError && !error.transient) return undefined;
    throw error;
  }
}
