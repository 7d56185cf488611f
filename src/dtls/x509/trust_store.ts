// Trust anchors and revocation lists, and the validation of a peer's certificates against them (RFC 5280 section 6).

import { createHash } from "node:crypto";
import { DecodeError } from "../../base/byte_reader.ts";
import { equalBytes, toHex } from "../../base/bytes.ts";
import type { Milliseconds } from "../../base/core.ts";
import { parseCertificate, type ParsedCertificate } from "./certificate.ts";
import { checkCrlUsable, type CrlIssuer, isCrlOfIssuer, parseCrl, type ParsedCrl } from "./crl.ts";
import type { CryptoProvider } from "../crypto/provider.ts";
import { CertificateFault, TrustStoreError } from "./fault.ts";
import { checkPath, describe } from "./path_checks.ts";
import { candidatePaths, type CertificatePath, PathSearchExhausted } from "./path_search.ts";
import { certificateHasServerName } from "./server_name.ts";
import { type PublicKeyInfo, type SignatureAlgorithm, verifySignature } from "./signature.ts";

/** Limits of validation; each bounds what a peer can make us do. */
export interface CertificateLimits {
  /** Most certificates in a chain as it is sent, and in a path without its anchor. Default 8. */
  readonly chainCertificatesMax: number;
  /** Largest certificate, in bytes. Default 16,384. */
  readonly certificateBytesMax: number;
  /** Largest revocation list, in bytes. Default 8,388,608. */
  readonly crlBytesMax: number;
  /** Most certificates looked at in the search for a path. Default 64. */
  readonly pathStepsMax: number;
  /** Most paths that are checked. Default 8. */
  readonly pathAttemptsMax: number;
  /** Most signatures that one validation verifies, revocation lists included. Default 24. */
  readonly signatureChecksMax: number;
  /** Most good signatures that a store remembers, so that it verifies them once; 0 for none. Default 1,024. */
  readonly signatureCacheMax: number;
}

/** The defaults of {@linkcode CertificateLimits}. */
export const DEFAULT_CERTIFICATE_LIMITS: CertificateLimits = {
  chainCertificatesMax: 8,
  certificateBytesMax: 16_384,
  crlBytesMax: 8_388_608,
  pathStepsMax: 64,
  pathAttemptsMax: 8,
  signatureChecksMax: 24,
  signatureCacheMax: 1_024,
};

/**
 * Which certificates of a path need a revocation list: those whose issuer has one in the store, the leaf at least, or
 * all. A list that is there but cannot be used (expired, wrong signature) refuses its issuer's certificates always.
 */
export type RevocationPolicy = "if-present" | "leaf" | "all";

/** What a store is made of. */
export interface TrustStoreOptions {
  /** Certificates in DER that are trusted as issuers. */
  readonly trustAnchors: readonly Uint8Array[];
  /** Revocation lists in DER. Default none. */
  readonly crls?: readonly Uint8Array[];
  /** Default `"if-present"`. */
  readonly revocation?: RevocationPolicy;
  /** Limits that differ from {@linkcode DEFAULT_CERTIFICATE_LIMITS}. */
  readonly limits?: Partial<CertificateLimits>;
  /** What verifies signatures. Default: node:crypto. */
  readonly provider?: CryptoProvider;
}

/** A peer's certificates and what they are wanted for. A client always says which server it wants. */
export type CertificateChainQuery =
  & {
    /** Certificates in DER as the peer sent them: the leaf first, the others in any order. */
    readonly chain: readonly Uint8Array[];
    /** The time of the validation. */
    readonly now: Milliseconds;
  }
  & (
    | { readonly purpose: "serverAuth"; readonly serverName: string }
    | { readonly purpose: "clientAuth"; readonly serverName?: undefined }
  );

/** What validation gives. */
export interface ValidatedCertificate {
  /** The peer's own certificate. */
  readonly leaf: ParsedCertificate;
  /** The leaf's SubjectPublicKeyInfo in DER. */
  readonly publicKey: Uint8Array;
  /** The path that was found, the leaf first and the trust anchor last. */
  readonly path: CertificatePath;
}

/** Certificates that a store keeps parsed: a client meets the same few again and again. */
const PARSED_CERTIFICATES_MAX = 64;

/** Something with a signature: a certificate or a revocation list. */
interface Signed {
  readonly der: Uint8Array;
  readonly signedOctets: Uint8Array;
  readonly signatureAlgorithm: SignatureAlgorithm | undefined;
  readonly signature: Uint8Array;
}

/** Trust anchors and revocation lists, read once and used for many validations. */
export class TrustStore {
  readonly #anchors: readonly ParsedCertificate[];
  readonly #crls: readonly ParsedCrl[];
  readonly #revocation: RevocationPolicy;
  readonly #limits: CertificateLimits;
  readonly #provider: CryptoProvider | undefined;
  /** Certificates that were parsed, by the end of their octets; the oldest goes first. */
  readonly #parsed = new Map<number, ParsedCertificate>();
  /** Fingerprints of key and signed structure whose signature was good; the oldest goes first. */
  readonly #goodSignatures = new Set<string>();

  /** Throws {@linkcode TrustStoreError} where an anchor or a revocation list cannot be read. */
  constructor(options: TrustStoreOptions) {
    this.#limits = { ...DEFAULT_CERTIFICATE_LIMITS, ...options.limits };
    this.#revocation = options.revocation ?? "if-present";
    this.#provider = options.provider;
    this.#anchors = options.trustAnchors.map((der, i) =>
      readOwn(`trust anchor ${i + 1}`, der, this.#limits.certificateBytesMax, parseCertificate)
    );
    this.#crls = (options.crls ?? []).map((der, i) =>
      readOwn(`revocation list ${i + 1}`, der, this.#limits.crlBytesMax, parseCrl)
    );
  }

  /**
   * The names of the trust anchors, each once, as encoded: what certificate_authorities (RFC 8446 section 4.2.4) and
   * the CertificateRequest of DTLS 1.2 tell a peer.
   */
  get authorityNames(): readonly Uint8Array[] {
    const names = new Map<string, Uint8Array>();
    for (const { subject } of this.#anchors) names.set(toHex(subject.encoding), subject.encoding);
    return [...names.values()];
  }

  /**
   * Validates a peer's certificates: finds a path to a trust anchor and holds it to RFC 5280 section 6, RFC 9525 for
   * the server's name, and the revocation lists. Throws {@linkcode CertificateFault}.
   */
  validate(query: CertificateChainQuery): ValidatedCertificate {
    const [leaf, ...intermediates] = this.#parseChain(query.chain);
    const signatures = new SignatureBudget(this.#limits.signatureChecksMax);
    let firstFault: CertificateFault | undefined;
    let attempts = 0;
    try {
      const { chainCertificatesMax, pathStepsMax } = this.#limits;
      const paths = candidatePaths({
        leaf: leaf!,
        intermediates,
        anchors: this.#anchors,
        pathCertificatesMax: chainCertificatesMax,
        stepsMax: pathStepsMax,
      });
      for (const path of paths) {
        if (attempts++ >= this.#limits.pathAttemptsMax) break;
        try {
          this.#checkCandidate(path, query, signatures);
          return { leaf: leaf!, publicKey: leaf!.publicKey.spki, path };
        } catch (error) {
          if (!(error instanceof CertificateFault)) throw error;
          firstFault ??= error;
        }
      }
    } catch (error) {
      if (!(error instanceof PathSearchExhausted)) throw error;
      firstFault ??= new CertificateFault("too-many-paths", error.message);
    }
    throw firstFault ?? new CertificateFault("unknown-ca", `no path from ${describe(leaf!)}`);
  }

  #parseChain(chain: readonly Uint8Array[]): readonly ParsedCertificate[] {
    if (chain.length === 0) throw new CertificateFault("malformed", "an empty chain");
    if (chain.length > this.#limits.chainCertificatesMax) {
      throw new CertificateFault("chain-too-long", `${chain.length} certificates`);
    }
    return chain.map((der) => {
      if (der.length > this.#limits.certificateBytesMax) {
        throw new CertificateFault("too-large", `a certificate of ${der.length} bytes`);
      }
      return this.#parse(der);
    });
  }

  #parse(der: Uint8Array): ParsedCertificate {
    const key = endOf(der);
    const known = this.#parsed.get(key);
    if (known !== undefined && equalBytes(known.der, der)) return known;
    // A copy: what is kept must not change with the message that it came in.
    const parsed = parseCertificate(der.slice());
    this.#parsed.set(key, parsed);
    if (this.#parsed.size > PARSED_CERTIFICATES_MAX) {
      this.#parsed.delete(this.#parsed.keys().next().value!);
    }
    return parsed;
  }

  /** Cheap checks come first, so that a stranger's nonsense costs no signature. */
  #checkCandidate(
    path: CertificatePath,
    query: CertificateChainQuery,
    signatures: SignatureBudget,
  ): void {
    const { purpose, now, serverName } = query;
    checkPath(path, purpose, now);
    const leaf = path[0]!;
    if (purpose === "serverAuth" && !certificateHasServerName(leaf, serverName)) {
      throw new CertificateFault("name-mismatch", `${describe(leaf)} is not ${serverName}`);
    }
    for (let i = path.length - 2; i >= 0; i--) {
      this.#checkSignature(path[i]!, path[i + 1]!.publicKey, signatures);
    }
    for (let i = path.length - 2; i >= 0; i--) {
      this.#checkRevocation(path[i]!, path[i + 1]!, i === 0, now, signatures);
    }
  }

  #checkSignature(
    certificate: ParsedCertificate,
    issuerKey: PublicKeyInfo,
    signatures: SignatureBudget,
  ): void {
    if (certificate.signatureAlgorithm === undefined) {
      throw new CertificateFault("unsupported-algorithm", `signature of ${describe(certificate)}`);
    }
    if (!this.#isSigned(certificate, issuerKey, signatures)) {
      throw new CertificateFault("bad-signature", `signature of ${describe(certificate)}`);
    }
  }

  /** RFC 5280 section 6.3.3, for complete lists of the issuer itself. */
  #checkRevocation(
    certificate: ParsedCertificate,
    issuerCertificate: ParsedCertificate,
    isLeaf: boolean,
    now: Milliseconds,
    signatures: SignatureBudget,
  ): void {
    const issuer: CrlIssuer = {
      subject: issuerCertificate.subject,
      publicKey: issuerCertificate.publicKey,
      keyUsage: issuerCertificate.extensions.keyUsage,
      subjectKeyIdentifier: issuerCertificate.extensions.subjectKeyIdentifier,
    };
    let usable = 0;
    let fault: CertificateFault | undefined;
    for (const crl of this.#crls) {
      if (!isCrlOfIssuer(crl, issuer)) continue;
      try {
        checkCrlUsable(crl, issuer, now, () => this.#isSigned(crl, issuer.publicKey, signatures));
        usable++;
      } catch (error) {
        if (!(error instanceof CertificateFault)) throw error;
        fault ??= error;
        continue;
      }
      if (crl.revoked.has(certificate.serialNumber)) {
        throw new CertificateFault("revoked", describe(certificate));
      }
    }
    if (usable > 0) return;
    if (fault !== undefined) throw fault;
    const isListNeeded = this.#revocation === "all" || (this.#revocation === "leaf" && isLeaf);
    if (isListNeeded) throw new CertificateFault("crl-missing", describe(issuerCertificate));
  }

  /** Whether a signature is good. Good ones are remembered: they stay good, whatever the time. */
  #isSigned(signed: Signed, key: PublicKeyInfo, signatures: SignatureBudget): boolean {
    if (signed.signatureAlgorithm === undefined) return false;
    const cacheMax = this.#limits.signatureCacheMax;
    const cacheKey = cacheMax > 0 ? `${fingerprint(key.spki)} ${fingerprint(signed.der)}` : "";
    if (this.#goodSignatures.has(cacheKey)) return true;
    signatures.spend();
    const { signatureAlgorithm, signedOctets, signature } = signed;
    if (!verifySignature(signatureAlgorithm, key, signedOctets, signature, this.#provider)) {
      return false;
    }
    if (cacheMax > 0) {
      this.#goodSignatures.add(cacheKey);
      if (this.#goodSignatures.size > cacheMax) {
        this.#goodSignatures.delete(this.#goodSignatures.values().next().value!);
      }
    }
    return true;
  }
}

/** Signatures that one validation may still verify. */
class SignatureBudget {
  #left: number;

  constructor(left: number) {
    this.#left = left;
  }

  spend(): void {
    if (this.#left-- > 0) return;
    throw new PathSearchExhausted("too many signatures to verify");
  }
}

/** The last six octets as a number: they are of a signature, and differ where certificates do. */
function endOf(der: Uint8Array): number {
  let number = 0;
  for (let i = Math.max(0, der.length - 6); i < der.length; i++) number = 256 * number + der[i]!;
  return number;
}

const fingerprints = new WeakMap<Uint8Array, string>();

/** The hash of octets that stay as they are. */
function fingerprint(bytes: Uint8Array): string {
  let text = fingerprints.get(bytes);
  if (text === undefined) {
    text = createHash("sha256").update(bytes).digest("base64");
    fingerprints.set(bytes, text);
  }
  return text;
}

function readOwn<Value>(
  what: string,
  der: Uint8Array,
  bytesMax: number,
  parse: (der: Uint8Array) => Value,
): Value {
  if (der.length > bytesMax) throw new TrustStoreError(`${what} has ${der.length} bytes`);
  try {
    return parse(der);
  } catch (error) {
    if (!(error instanceof CertificateFault || error instanceof DecodeError)) throw error;
    throw new TrustStoreError(`${what}: ${error.message}`);
  }
}

/**
 * Validates a chain against trust anchors that are used once; see {@linkcode TrustStore} for more than once.
 * Throws {@linkcode CertificateFault} for the peer's faults and {@linkcode TrustStoreError} for ours.
 */
export function validateCertificatePath(
  query: CertificateChainQuery & TrustStoreOptions,
): ValidatedCertificate {
  return new TrustStore(query).validate(query);
}
