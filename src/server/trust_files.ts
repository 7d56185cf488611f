// A server's certificates as files: read at the start, and again when they change, so that a revocation needs no
// restart.

import type { CryptoProvider } from "../dtls/crypto/provider.ts";
import type { Credential } from "../dtls/options.ts";
import { TrustStore } from "../dtls/x509/mod.ts";
import { type CertificatePaths } from "./certificate_directory.ts";
import { readTokenKeys } from "./token_files.ts";
import type { TokenKey } from "./token_keys.ts";
import { fileExists, readCertificates, readCredential, readCrls } from "./certificate_files.ts";

/** How often the files are looked at. */
export const FILE_CHECK_MS = 2_000;

/** Files that a server's trust comes from. */
export interface TrustPaths {
  readonly ca: string;
  readonly server: CertificatePaths;
  /** The revocation list, where there is one. */
  readonly crl: string | undefined;
  /** The public keys of tokens, where tokens are accepted. */
  readonly tokenKeys?: string;
}

/** What the files say. */
export interface Trust {
  readonly store: TrustStore;
  readonly credentials: readonly Credential[];
  readonly tokenKeys: readonly TokenKey[];
}

/** Reads the files. Throws `CertificateFileError` where one cannot be used. */
async function readTrust(paths: TrustPaths, provider: CryptoProvider): Promise<Trust> {
  const { ca, server, crl, tokenKeys } = paths;
  const crls = crl !== undefined && await fileExists(crl) ? await readCrls(crl) : [];
  const { chain, pkcs8 } = await readCredential(server.certificate, server.key);
  return {
    store: new TrustStore({ trustAnchors: await readCertificates(ca), crls, provider }),
    credentials: [{ chain, key: provider.signingKey(pkcs8) }],
    tokenKeys: tokenKeys === undefined ? [] : await readTokenKeys(tokenKeys),
  };
}

/** The certificates of a server, as they are in its files now. */
export class TrustFiles {
  readonly #paths: TrustPaths;
  readonly #provider: CryptoProvider;
  #trust: Trust;
  #stamp: string;

  private constructor(paths: TrustPaths, provider: CryptoProvider, trust: Trust, stamp: string) {
    this.#paths = paths;
    this.#provider = provider;
    this.#trust = trust;
    this.#stamp = stamp;
  }

  /** Reads the files. Throws `CertificateFileError` where one cannot be used. */
  static async open(paths: TrustPaths, provider: CryptoProvider): Promise<TrustFiles> {
    const stamp = await fileStamp(paths);
    return new TrustFiles(paths, provider, await readTrust(paths, provider), stamp);
  }

  /** What the files said when they were last read. */
  get trust(): Trust {
    return this.#trust;
  }

  /**
   * Reads the files again if they have changed. Returns whether they had. Throws `CertificateFileError` for files
   * that cannot be used; what was read before stays in force, and the same files are not tried again.
   */
  async refresh(): Promise<boolean> {
    const stamp = await fileStamp(this.#paths);
    if (stamp === this.#stamp) return false;
    this.#stamp = stamp;
    this.#trust = await readTrust(this.#paths, this.#provider);
    return true;
  }
}

/** Changes whenever one of the files does. */
async function fileStamp({ ca, server, crl, tokenKeys }: TrustPaths): Promise<string> {
  const paths = [ca, server.certificate, server.key, crl, tokenKeys].filter((path) =>
    path !== undefined
  );
  const stamps = await Promise.all(paths.map(async (path) => {
    try {
      const { mtime, size, ino } = await Deno.stat(path);
      return `${mtime?.getTime()} ${size} ${ino}`;
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) return "missing";
      throw error;
    }
  }));
  return stamps.join(";");
}
