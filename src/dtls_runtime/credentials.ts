// Certificates, keys and trust as people have them, PEM or DER, made into what an association takes.

import { equalBytes, utf8Text } from "../base/bytes.ts";
import type { CryptoProvider } from "../dtls/crypto/provider.ts";
import { DtlsError } from "../dtls/errors.ts";
import type { Credential } from "../dtls/options.ts";
import {
  CertificateFault,
  certificatesFromPem,
  crlsFromPem,
  parseCertificate,
  PemError,
  PemLabel,
  pemText,
  privateKeyFromPem,
  type RevocationPolicy,
  TrustStore,
  TrustStoreError,
} from "../dtls/x509/mod.ts";

/** One or more structures: a PEM text, PEM or DER as bytes, or several of these. */
export type PemOrDer = string | Uint8Array | readonly (string | Uint8Array)[];

/** A certificate chain and its key. */
export interface CertificateAndKey {
  /** The certificate, and those between it and its authority, the certificate itself first. */
  readonly cert: PemOrDer;
  /** The private key of the certificate: PEM, or PKCS#8 in DER. P-256, P-384, Ed25519 or RSA. */
  readonly key: string | Uint8Array;
}

/** Whom one side trusts. */
export interface TrustOptions {
  /**
   * The authorities that may sign the peer's certificate. Default: those that the runtime comes with, which take
   * `--allow-sys` in Deno.
   */
  readonly ca?: PemOrDer;
  /** Revocation lists of the authorities. */
  readonly crl?: PemOrDer;
  /** Which certificates need a revocation list. Default `"if-present"`. */
  readonly revocation?: RevocationPolicy;
}

/** The first byte of every structure in DER here: a SEQUENCE. */
const DER_SEQUENCE = 0x30;

/** Runs a step on what a user gave; what is wrong with it is a `bad-option`. */
function checked<Result>(what: string, step: () => Result): Result {
  try {
    return step();
  } catch (error) {
    const isKnown = error instanceof PemError || error instanceof TrustStoreError ||
      error instanceof CertificateFault || error instanceof TypeError;
    if (!isKnown) throw error;
    throw new DtlsError("bad-option", `${what}: ${error.message}`, { cause: error });
  }
}

/** The DER of everything in `source`, whose PEM blocks `fromPem` reads. */
function derOf(source: PemOrDer, fromPem: (text: string) => Uint8Array[]): Uint8Array[] {
  const parts = typeof source === "string" || source instanceof Uint8Array ? [source] : source;
  return parts.flatMap((part) => {
    if (typeof part === "string") return fromPem(part);
    return part[0] === DER_SEQUENCE ? [part] : fromPem(utf8Text(part));
  });
}

/** Reads a certificate and its key. Throws `DtlsError` `bad-option`. */
export function readCredential(
  { cert, key }: CertificateAndKey,
  provider: CryptoProvider,
): Credential {
  const chain = checked("cert", () => derOf(cert, certificatesFromPem));
  const leaf = chain[0];
  if (leaf === undefined) throw new DtlsError("bad-option", "cert: no certificate");
  const { spki } = checked("cert", () => parseCertificate(leaf)).publicKey;
  const { pkcs8, publicKey } = checked("key", () => {
    if (typeof key === "string") return privateKeyFromPem(key);
    const isDer = key[0] === DER_SEQUENCE;
    return privateKeyFromPem(isDer ? pemText(PemLabel.privateKey, key) : utf8Text(key));
  });
  if (!equalBytes(spki, publicKey)) {
    throw new DtlsError("bad-option", "key: it does not belong to the certificate");
  }
  return { chain, key: checked("key", () => provider.signingKey(pkcs8)) };
}

/** The authorities that the runtime comes with, but those few whose certificates are not quite DER. */
async function runtimeAuthorities(): Promise<Uint8Array[]> {
  const { rootCertificates } = await import("node:tls");
  return rootCertificates.flatMap(certificatesFromPem).filter((der) => {
    try {
      return parseCertificate(der) !== undefined;
    } catch (error) {
      if (!(error instanceof CertificateFault)) throw error;
      return false;
    }
  });
}

/** Reads whom to trust. Throws `DtlsError` `bad-option`. */
export async function readTrust(
  { ca, crl, revocation }: TrustOptions,
  provider: CryptoProvider,
): Promise<TrustStore> {
  const authorities = ca ?? await runtimeAuthorities();
  return checked("ca", () =>
    new TrustStore({
      provider,
      trustAnchors: derOf(authorities, certificatesFromPem),
      crls: crl === undefined ? [] : checked("crl", () => derOf(crl, crlsFromPem)),
      ...(revocation !== undefined && { revocation }),
    }));
}
