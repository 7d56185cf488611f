// Keys of tokens as files: `token.key` signs, `token.pem` verifies.

import { PemError } from "../dtls/x509/mod.ts";
import { certificatePaths, expectFree } from "./certificate_directory.ts";
import {
  CertificateFileError,
  fileExists,
  makeFolder,
  readFile,
  writeFile,
} from "./certificate_files.ts";
import {
  makeTokenKeyPair,
  type TokenAlgorithm,
  type TokenKey,
  tokenKeysFromPem,
  tokenSigningKeyFromPem,
} from "./token_keys.ts";

/** The public key of a folder's tokens. */
export function tokenPublicKeyPath(directory: string): string {
  return certificatePaths(directory, "token").certificate;
}

/** The private key of a folder's tokens. */
export function tokenPrivateKeyPath(directory: string): string {
  return certificatePaths(directory, "token").key;
}

/** Reads the public keys of a PEM file, at least one. Throws {@linkcode CertificateFileError}. */
export async function readTokenKeys(path: string): Promise<TokenKey[]> {
  return await inFile(path, tokenKeysFromPem);
}

/** Reads the private key of a PEM file. Throws {@linkcode CertificateFileError}. */
export async function readTokenSigningKey(path: string): Promise<TokenKey> {
  return await inFile(path, tokenSigningKeyFromPem);
}

async function inFile<Value>(path: string, read: (text: string) => Promise<Value>): Promise<Value> {
  const text = await readFile(path);
  try {
    return await read(text);
  } catch (error) {
    if (!(error instanceof PemError)) throw error;
    throw new CertificateFileError("malformed", path, error.message, error);
  }
}

/**
 * Makes a folder's pair of token keys where there is none, and says whether it did. Throws
 * {@linkcode CertificateFileError} where one half is there without the other.
 */
export async function ensureTokenKeys(
  directory: string,
  algorithm: TokenAlgorithm,
): Promise<boolean> {
  const publicPath = tokenPublicKeyPath(directory);
  const privatePath = tokenPrivateKeyPath(directory);
  if (await fileExists(privatePath)) return false;
  await expectFree(publicPath);
  await makeFolder(directory);
  const { publicKeyPem, privateKeyPem } = await makeTokenKeyPair(algorithm);
  await writeFile(privatePath, privateKeyPem, { access: "private", overwrite: false });
  await writeFile(publicPath, publicKeyPem, { access: "public", overwrite: false });
  return true;
}
