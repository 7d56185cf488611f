// Proof that a client holds a token's key: its signature over the exporter value of the association (RFC 9266).

import { calculateJwkThumbprint, type JWK } from "jose";

/** Longest JSON Web Key that is read, in characters. */
const PROOF_KEY_LENGTH_MAX = 1_024;

/** A client's proof. */
export interface TokenProof {
  /** SHA-256 thumbprint (RFC 7638) that the key must have, in base64url: the token's `jkt`. */
  readonly keyThumbprint: string;
  /** The public key as a JSON Web Key: Ed25519 or P-256. */
  readonly key: string;
  /** What is signed. */
  readonly exporter: Uint8Array;
  /** 64 bytes: of Ed25519, or r and s of ECDSA with SHA-256 as RFC 7518 section 3.4 joins them. */
  readonly signature: Uint8Array;
}

/** Whether a proof holds. False as well for a malformed key; never throws for what a client sends. */
export async function verifyProof(proof: TokenProof): Promise<boolean> {
  const { keyThumbprint, key, exporter, signature } = proof;
  if (key.length > PROOF_KEY_LENGTH_MAX || exporter.length === 0) return false;
  const jwk = parsePublicJwk(key);
  if (jwk === undefined) return false;
  const isEd25519 = jwk.kty === "OKP";
  const importAs = isEd25519 ? { name: "Ed25519" } : { name: "ECDSA", namedCurve: "P-256" };
  const verifyAs = isEd25519 ? importAs : { name: "ECDSA", hash: "SHA-256" };
  try {
    if (await calculateJwkThumbprint(jwk) !== keyThumbprint) return false;
    const imported = await crypto.subtle.importKey("jwk", jwk, importAs, false, ["verify"]);
    return await crypto.subtle.verify(verifyAs, imported, signature.slice(), exporter.slice());
  } catch {
    // A point that is not on its curve, a coordinate of a wrong length: no key, so no proof.
    return false;
  }
}

/** The members that make a public key, and nothing else of what a client wrote; `undefined` for another kind of key. */
function parsePublicJwk(text: string): (JWK & JsonWebKey) | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (typeof value !== "object" || value === null) return undefined;
  const { kty, crv, x, y, d } = value as Record<string, unknown>;
  // A private key has no place here; whoever sends one has lost it.
  if (d !== undefined || typeof x !== "string") return undefined;
  if (kty === "OKP" && crv === "Ed25519") return { kty, crv, x };
  if (kty === "EC" && crv === "P-256" && typeof y === "string") return { kty, crv, x, y };
  return undefined;
}
