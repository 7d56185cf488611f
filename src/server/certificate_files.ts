// Certificates and keys as files: read with errors that name the file, written so that no key can be read by others.

import {
  certificatesFromPem,
  crlsFromPem,
  parseCertificate,
  parseCrl,
  type ParsedCertificate,
  type ParsedCrl,
  PemError,
  privateKeyFromPem,
} from "../dtls/x509/mod.ts";
import { CertificateFault } from "../dtls/x509/fault.ts";
import { DecodeError } from "../base/byte_reader.ts";
import { equalBytes } from "../base/bytes.ts";

export { certificateFingerprint, PemError, TrustStoreError } from "../dtls/x509/mod.ts";

/** Why certificate files cannot be used. */
export type CertificateFileErrorReason =
  | "missing"
  | "unreadable"
  | "unwritable"
  | "malformed"
  | "key-mismatch"
  | "exists"
  | "not-ours";

/** A certificate or key file cannot be used, or not be written. The message is one line that names the file. */
export class CertificateFileError extends Error {
  /** The type's name. */
  override readonly name = "CertificateFileError";
  /** Why. */
  readonly reason: CertificateFileErrorReason;

  /** An error of this reason about `path`. */
  constructor(reason: CertificateFileErrorReason, path: string, detail: string, cause?: unknown) {
    super(`${path}: ${detail}`, { cause });
    this.reason = reason;
  }
}

/** A certificate with its chain and private key, as DTLS takes them. */
export interface Credential {
  /** Certificates in DER, the leaf first. */
  readonly chain: readonly Uint8Array[];
  /** The first of the chain. */
  readonly leaf: ParsedCertificate;
  /** The private key, PKCS#8 in DER. */
  readonly pkcs8: Uint8Array;
}

/**
 * Reads a certificate chain and its private key from PEM files. Throws {@linkcode CertificateFileError}, with the
 * reason `key-mismatch` where the key is not the first certificate's.
 */
export async function readCredential(
  certificatePath: string,
  keyPath: string,
): Promise<Credential> {
  const chain = await readCertificates(certificatePath);
  const { leaf, key } = await readKeyOf(chain[0]!, certificatePath, keyPath);
  return { chain, leaf, pkcs8: key };
}

async function readKeyOf(der: Uint8Array, certificatePath: string, keyPath: string) {
  const keyText = await readFile(keyPath);
  const leaf = inFile(certificatePath, () => parseCertificate(der));
  const key = inFile(keyPath, () => privateKeyFromPem(keyText));
  if (!equalBytes(key.publicKey, leaf.publicKey.spki)) {
    throw new CertificateFileError(
      "key-mismatch",
      keyPath,
      `the private key does not match the certificate in ${certificatePath}`,
    );
  }
  return { leaf, key: key.pkcs8 };
}

/** Reads the certificates of a PEM file in DER, at least one. Throws {@linkcode CertificateFileError}. */
export async function readCertificates(path: string): Promise<Uint8Array[]> {
  const text = await readFile(path);
  return inFile(path, () => {
    const ders = certificatesFromPem(text);
    for (const der of ders) parseCertificate(der);
    return ders;
  });
}

/** Reads the first revocation list of a PEM file. Throws {@linkcode CertificateFileError}. */
export async function readCrl(path: string): Promise<ParsedCrl> {
  const text = await readFile(path);
  return inFile(path, () => parseCrl(crlsFromPem(text)[0]!));
}

/** Reads the revocation lists of a PEM file in DER, at least one. Throws {@linkcode CertificateFileError}. */
export async function readCrls(path: string): Promise<Uint8Array[]> {
  const text = await readFile(path);
  return inFile(path, () => {
    const ders = crlsFromPem(text);
    for (const der of ders) parseCrl(der);
    return ders;
  });
}

/** Reads a text file. Throws {@linkcode CertificateFileError}. */
export async function readFile(path: string): Promise<string> {
  try {
    return await Deno.readTextFile(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) {
      throw new CertificateFileError("missing", path, "no such file", error);
    }
    if (error instanceof Deno.errors.PermissionDenied) {
      throw new CertificateFileError("unreadable", path, "permission denied", error);
    }
    const detail = error instanceof Error ? error.message : String(error);
    throw new CertificateFileError("unreadable", path, detail, error);
  }
}

function inFile<Value>(path: string, read: () => Value): Value {
  try {
    return read();
  } catch (error) {
    const isFault = error instanceof PemError || error instanceof CertificateFault ||
      error instanceof DecodeError;
    if (!isFault) throw error;
    throw new CertificateFileError("malformed", path, error.message, error);
  }
}

/** Whether a file is there. */
export async function fileExists(path: string): Promise<boolean> {
  try {
    await Deno.stat(path);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

/** How {@linkcode writeFile} writes. */
export interface WriteFileOptions {
  /** `private` files are made with mode 0600 and never have another one. */
  readonly access: "public" | "private";
  /** Whether a file that is there is replaced. */
  readonly overwrite: boolean;
}

/**
 * Writes a whole file or none: to a temporary name beside it, which then takes its place. Throws
 * {@linkcode CertificateFileError}, with the reason `exists` where the file is there and not to be replaced.
 */
export async function writeFile(
  path: string,
  text: string,
  options: WriteFileOptions,
): Promise<void> {
  const temporary = `${path}.${crypto.randomUUID()}.tmp`;
  const mode = options.access === "private" ? 0o600 : 0o644;
  try {
    await Deno.writeTextFile(temporary, text, { createNew: true, mode });
    if (options.overwrite) await Deno.rename(temporary, path);
    else await moveToFreeName(temporary, path);
  } catch (error) {
    await Deno.remove(temporary).catch(ignoreMissing);
    if (error instanceof Deno.errors.AlreadyExists) {
      throw new CertificateFileError("exists", path, "exists already", error);
    }
    throw unwritable(path, error);
  }
}

/** Makes a folder where there is none. Throws {@linkcode CertificateFileError}. */
export async function makeFolder(path: string): Promise<void> {
  try {
    await Deno.mkdir(path, { recursive: true });
  } catch (error) {
    throw unwritable(path, error);
  }
}

function unwritable(path: string, error: unknown): CertificateFileError {
  const detail = error instanceof Deno.errors.PermissionDenied
    ? "permission denied"
    : error instanceof Error
    ? error.message
    : String(error);
  return new CertificateFileError("unwritable", path, detail, error);
}

/** Takes the name if it is free. Unlike a rename, a link never replaces what somebody else wrote in the meantime. */
async function moveToFreeName(temporary: string, path: string): Promise<void> {
  try {
    await Deno.link(temporary, path);
  } catch (error) {
    if (error instanceof Deno.errors.AlreadyExists) throw error;
    // A file system without links: to look first is the best that can be done.
    if (await fileExists(path)) throw new Deno.errors.AlreadyExists(path);
    return await Deno.rename(temporary, path);
  }
  await Deno.remove(temporary);
}

function ignoreMissing(error: unknown): void {
  const isMissing = error instanceof Deno.errors.NotFound ||
    error instanceof Deno.errors.NotADirectory;
  if (!isMissing) throw error;
}
