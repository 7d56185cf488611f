// PEM (RFC 7468): certificates, revocation lists and private keys as text.

import { createPrivateKey, createPublicKey, type KeyObject } from "node:crypto";
import { fromBase64, toBase64 } from "../../base/bytes.ts";

/** Why a PEM text cannot be used. */
export type PemErrorReason = "malformed" | "missing" | "encrypted" | "too-large" | "bad-key";

/** A PEM text that cannot be used. */
export class PemError extends Error {
  /** The type's name. */
  override readonly name = "PemError";
  /** Why. */
  readonly reason: PemErrorReason;

  /** An error of this reason, with a text for a person. */
  constructor(reason: PemErrorReason, message: string) {
    super(message);
    this.reason = reason;
  }
}

/** Labels of RFC 7468. */
export const PemLabel = {
  certificate: "CERTIFICATE",
  crl: "X509 CRL",
  privateKey: "PRIVATE KEY",
  publicKey: "PUBLIC KEY",
} as const;

/** Longest PEM text that is read, in characters. */
export const PEM_TEXT_LENGTH_MAX = 16_777_216;

/** One block of a PEM text. */
export interface PemBlock {
  /** What stands after BEGIN. */
  readonly label: string;
  /** The octets. */
  readonly der: Uint8Array;
}

/**
 * All blocks of a PEM text, those with `label` only where it is given; text between blocks is ignored, as RFC 7468
 * section 2 allows. Throws {@linkcode PemError}.
 */
export function parsePem(text: string, label?: string): PemBlock[] {
  if (text.length > PEM_TEXT_LENGTH_MAX) {
    throw new PemError("too-large", "the PEM text is too long");
  }
  const blocks: PemBlock[] = [];
  let open: { label: string; lines: string[] } | undefined;
  for (const line of text.split(/\r\n|\n|\r/)) {
    const [, boundary, boundaryLabel] = /^-----(BEGIN|END) ([A-Z0-9 ]+)-----\s*$/.exec(line) ?? [];
    if (boundary === undefined) {
      open?.lines.push(line);
    } else if (boundary === "BEGIN") {
      if (open !== undefined) throw new PemError("malformed", `${open.label} has no END line`);
      open = { label: boundaryLabel!, lines: [] };
    } else {
      if (open === undefined || open.label !== boundaryLabel) {
        throw new PemError("malformed", "END without its BEGIN line");
      }
      if (label === undefined || open.label === label) blocks.push(decodeBlock(open));
      open = undefined;
    }
  }
  if (open !== undefined) throw new PemError("malformed", `${open.label} has no END line`);
  return blocks;
}

function decodeBlock({ label, lines }: { label: string; lines: string[] }): PemBlock {
  // RFC 1421's headers are not of RFC 7468; the one that is still met says that a key is encrypted.
  if (lines.some((line) => /ENCRYPTED/.test(line))) {
    throw new PemError("encrypted", "the private key is encrypted; decrypt it first");
  }
  const base64 = lines.join("").replace(/[ \t]/g, "");
  try {
    if (base64 !== "") return { label, der: fromBase64(base64) };
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
  }
  throw new PemError("malformed", `${label} is not base64`);
}

/** A PEM block with lines of 64 characters and a newline at its end. */
export function pemText(label: string, der: Uint8Array): string {
  const lines = toBase64(der).match(/.{1,64}/g) ?? [];
  return `-----BEGIN ${label}-----\n${lines.join("\n")}\n-----END ${label}-----\n`;
}

/** The certificates of a PEM text in DER, at least one. Throws {@linkcode PemError}. */
export function certificatesFromPem(text: string): Uint8Array[] {
  return required(parsePem(text, PemLabel.certificate), PemLabel.certificate);
}

/** The revocation lists of a PEM text in DER, at least one. Throws {@linkcode PemError}. */
export function crlsFromPem(text: string): Uint8Array[] {
  return required(parsePem(text, PemLabel.crl), PemLabel.crl);
}

function required(blocks: readonly PemBlock[], label: string): Uint8Array[] {
  if (blocks.length === 0) throw new PemError("missing", `no ${label} in the PEM text`);
  return blocks.map(({ der }) => der);
}

/** A private key that was read from PEM. */
export interface PemPrivateKey {
  /** PKCS#8 in DER. */
  readonly pkcs8: Uint8Array;
  /** The SubjectPublicKeyInfo in DER, to compare with a certificate's. */
  readonly publicKey: Uint8Array;
}

/**
 * The one private key of a PEM text: PKCS#8, or the older `EC PRIVATE KEY` and `RSA PRIVATE KEY`.
 * Throws {@linkcode PemError}.
 */
export function privateKeyFromPem(text: string): PemPrivateKey {
  const blocks = parsePem(text).filter(({ label }) => label.endsWith("PRIVATE KEY"));
  const block = blocks[0];
  if (block === undefined) throw new PemError("missing", "no PRIVATE KEY in the PEM text");
  if (blocks.length > 1) {
    throw new PemError("malformed", "more than one PRIVATE KEY in the PEM text");
  }
  if (block.label === "ENCRYPTED PRIVATE KEY") {
    throw new PemError("encrypted", "the private key is encrypted; decrypt it first");
  }
  const key = loadPrivateKey(pemText(block.label, block.der));
  return {
    pkcs8: new Uint8Array(key.export({ format: "der", type: "pkcs8" })),
    publicKey: publicKeyOf(key),
  };
}

function loadPrivateKey(pem: string): KeyObject {
  try {
    return createPrivateKey(pem);
  } catch {
    throw new PemError("bad-key", "the private key is damaged, or of an unsupported kind");
  }
}

function publicKeyOf(key: KeyObject): Uint8Array {
  return new Uint8Array(createPublicKey(key).export({ format: "der", type: "spki" }));
}
