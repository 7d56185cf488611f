// Keys of tokens: read from PEM, named by their thumbprints (RFC 7638), made where there are none.

import { calculateJwkThumbprint, exportJWK } from "jose";
import { parsePem, PemError, PemLabel, pemText, privateKeyFromPem } from "../dtls/x509/mod.ts";
import { readPublicKeyInfo } from "../dtls/x509/signature.ts";
import { DecodeError } from "../base/byte_reader.ts";

/** The signature algorithms of tokens (RFC 7518, RFC 8037). */
export const TOKEN_ALGORITHMS = ["EdDSA", "ES256"] as const;

/** One of {@linkcode TOKEN_ALGORITHMS}. */
export type TokenAlgorithm = typeof TOKEN_ALGORITHMS[number];

/** A key of tokens. Its algorithm is fixed with it; what a token says of itself only has to agree. */
export interface TokenKey {
  /** SHA-256 thumbprint of the public key by RFC 7638, which tokens name in `kid`. */
  readonly keyId: string;
  /** The only algorithm that this key is used with. */
  readonly algorithm: TokenAlgorithm;
  /** Public for verifying, private for issuing. */
  readonly key: CryptoKey;
}

const KEY_PARAMETERS: Readonly<Record<TokenAlgorithm, EcKeyImportParams | Algorithm>> = {
  EdDSA: { name: "Ed25519" },
  ES256: { name: "ECDSA", namedCurve: "P-256" },
};

/** The algorithm of a public key in DER. Throws {@linkcode PemError} for a key of another kind. */
function algorithmOf(spki: Uint8Array): TokenAlgorithm {
  try {
    const { kind } = readPublicKeyInfo(spki);
    if (kind === "ed25519") return "EdDSA";
    if (kind === "p256") return "ES256";
  } catch (error) {
    if (!(error instanceof DecodeError)) throw error;
    throw new PemError("bad-key", `the public key is damaged: ${error.message}`);
  }
  throw new PemError("bad-key", "a token's key is of Ed25519 or P-256");
}

async function readPublicKey(spki: Uint8Array): Promise<TokenKey> {
  const algorithm = algorithmOf(spki);
  const parameters = KEY_PARAMETERS[algorithm];
  try {
    const key = await crypto.subtle.importKey("spki", spki.slice(), parameters, true, ["verify"]);
    return { keyId: await calculateJwkThumbprint(await exportJWK(key)), algorithm, key };
  } catch (error) {
    throw new PemError("bad-key", `the public key is damaged: ${(error as Error).message}`);
  }
}

/** The public keys of a PEM text, at least one. Throws {@linkcode PemError}. */
export async function tokenKeysFromPem(text: string): Promise<TokenKey[]> {
  const blocks = parsePem(text, PemLabel.publicKey);
  if (blocks.length === 0) throw new PemError("missing", "no PUBLIC KEY in the PEM text");
  return await Promise.all(blocks.map(({ der }) => readPublicKey(der)));
}

/** The private key of a PEM text, for issuing tokens. Throws {@linkcode PemError}. */
export async function tokenSigningKeyFromPem(text: string): Promise<TokenKey> {
  const { pkcs8, publicKey } = privateKeyFromPem(text);
  const { keyId, algorithm } = await readPublicKey(publicKey);
  const parameters = KEY_PARAMETERS[algorithm];
  const key = await crypto.subtle.importKey("pkcs8", pkcs8.slice(), parameters, false, ["sign"]);
  pkcs8.fill(0);
  return { keyId, algorithm, key };
}

/** A new key pair in PEM. */
export async function makeTokenKeyPair(
  algorithm: TokenAlgorithm,
): Promise<{ readonly publicKeyPem: string; readonly privateKeyPem: string }> {
  const pair = await crypto.subtle.generateKey(KEY_PARAMETERS[algorithm], true, [
    "sign",
    "verify",
  ]) as CryptoKeyPair;
  const spki = new Uint8Array(await crypto.subtle.exportKey("spki", pair.publicKey));
  const pkcs8 = new Uint8Array(await crypto.subtle.exportKey("pkcs8", pair.privateKey));
  const privateKeyPem = pemText(PemLabel.privateKey, pkcs8);
  pkcs8.fill(0);
  return { publicKeyPem: pemText(PemLabel.publicKey, spki), privateKeyPem };
}
