// Certificate revocation lists (RFC 5280 section 5): complete lists, signed by the issuer of the certificates.

import { equalBytes } from "../../base/bytes.ts";
import { DecodeError } from "../../base/byte_reader.ts";
import type { Milliseconds } from "../../base/core.ts";
import { readInnerAlgorithm, readSerialNumber, readSignedStructure } from "./certificate.ts";
import { contextTag, DerReader, DerTag } from "./der_reader.ts";
import { type DistinguishedName, equalNames, readDistinguishedName } from "./distinguished_name.ts";
import {
  type Extension,
  KeyUsage,
  readAuthorityKeyIdentifier,
  readExtensions,
} from "./extensions.ts";
import { CertificateFault } from "./fault.ts";
import { isAlgorithmOfKey, type PublicKeyInfo, type SignatureAlgorithm } from "./signature.ts";

/** One entry of a revocation list. */
export interface RevokedCertificate {
  /** Milliseconds since the Unix epoch. */
  readonly revokedAt: number;
  /** CRLReason (RFC 5280 section 5.3.1), 0 where it is not stated. */
  readonly reason: number;
}

/** A revocation list that was read, not one that was verified. */
export interface ParsedCrl {
  /** All of its octets. */
  readonly der: Uint8Array;
  /** Who signed it. */
  readonly issuer: DistinguishedName;
  /** Milliseconds since the Unix epoch. */
  readonly thisUpdate: number;
  /** Milliseconds since the Unix epoch. */
  readonly nextUpdate: number | undefined;
  /** Rises with every list of an issuer. */
  readonly crlNumber: bigint | undefined;
  /** Names the issuer's key. */
  readonly authorityKeyIdentifier: Uint8Array | undefined;
  /** Object identifiers of extensions that bind and are not understood, of the list or its entries. */
  readonly unknownCritical: readonly string[];
  /** By serial number, in lower-case hexadecimal digits without leading zero octets. */
  readonly revoked: ReadonlyMap<string, RevokedCertificate>;
  /** The octets that the signature covers. */
  readonly signedOctets: Uint8Array;
  /** `undefined` for an algorithm that is not supported. */
  readonly signatureAlgorithm: SignatureAlgorithm | undefined;
  /** The issuer's signature. */
  readonly signature: Uint8Array;
}

const CrlExtensionId = {
  crlNumber: "2.5.29.20",
  reasonCode: "2.5.29.21",
  authorityKeyIdentifier: "2.5.29.35",
} as const;

/**
 * Extensions that make a list less than a complete one, which nothing here combines: deltaCRLIndicator and
 * issuingDistributionPoint. RFC 5280 section 5.2.5: "implementations that do not support this extension MUST either
 * treat the status of any certificate not listed on this CRL as unknown or locate another CRL". Both have to be
 * critical; an issuer that left that out meant no complete list either.
 */
const PARTIAL_LIST_EXTENSIONS: readonly string[] = ["2.5.29.27", "2.5.29.28"];

/** Reads a revocation list. Throws {@linkcode DecodeError}. */
export function parseCrl(der: Uint8Array): ParsedCrl {
  const structure = readSignedStructure(der);
  const { fields } = structure;
  const isVersion2 = fields.peekTag() === DerTag.integer;
  // RFC 5280 section 5.1: "Version OPTIONAL, -- if present, MUST be v2".
  if (isVersion2 && fields.smallInteger() !== 1) throw new DecodeError("not a version 2 list");
  const signatureAlgorithm = readInnerAlgorithm(structure);
  const issuer = readDistinguishedName(fields);
  const thisUpdate = fields.time();
  const nextTag = fields.peekTag();
  const hasNextUpdate = nextTag === DerTag.utcTime || nextTag === DerTag.generalizedTime;
  const nextUpdate = hasNextUpdate ? fields.time() : undefined;
  const unknownCritical: string[] = [];
  const revoked = readEntries(fields.optional(DerTag.sequence), isVersion2, unknownCritical);
  const extensions = readListExtensions(fields, isVersion2);
  fields.expectEnd();
  const known: readonly string[] = Object.values(CrlExtensionId);
  addUnknownCritical(extensions, known, unknownCritical);
  const number = valueOf(extensions, CrlExtensionId.crlNumber)?.unsigned();
  const keyIdentifier = valueOf(extensions, CrlExtensionId.authorityKeyIdentifier);
  return {
    der,
    issuer,
    thisUpdate,
    nextUpdate,
    crlNumber: number?.reduce((sum, octet) => (sum << 8n) | BigInt(octet), 0n),
    authorityKeyIdentifier: keyIdentifier && readAuthorityKeyIdentifier(keyIdentifier),
    unknownCritical,
    revoked,
    signedOctets: structure.signedOctets,
    signatureAlgorithm,
    signature: structure.signature,
  };
}

function valueOf(extensions: readonly Extension[], id: string): DerReader | undefined {
  const extension = extensions.find((candidate) => candidate.id === id);
  return extension && new DerReader(extension.value);
}

function addUnknownCritical(
  extensions: readonly Extension[],
  known: readonly string[],
  to: string[],
): void {
  for (const { id, isCritical } of extensions) {
    const isBinding = isCritical || PARTIAL_LIST_EXTENSIONS.includes(id);
    if (isBinding && !known.includes(id) && !to.includes(id)) to.push(id);
  }
}

function readListExtensions(fields: DerReader, isVersion2: boolean): readonly Extension[] {
  const explicit = fields.optional(contextTag(0, "constructed"));
  if (explicit === undefined) return [];
  if (!isVersion2) throw new DecodeError("extensions in a version 1 list");
  const extensions = readExtensions(explicit.sequence());
  explicit.expectEnd();
  return extensions;
}

function readEntries(
  list: DerReader | undefined,
  isVersion2: boolean,
  unknownCritical: string[],
): ReadonlyMap<string, RevokedCertificate> {
  const revoked = new Map<string, RevokedCertificate>();
  while (list !== undefined && !list.isEmpty) {
    const entry = list.sequence();
    const serialNumber = readSerialNumber(entry);
    const revokedAt = entry.time();
    let reason = 0;
    if (!entry.isEmpty) {
      if (!isVersion2) throw new DecodeError("extensions in a version 1 list");
      const fields = entry.sequence();
      // An empty list is not of RFC 5280, but a library in wide use writes one for every entry without a reason.
      const extensions = fields.isEmpty ? [] : readExtensions(fields);
      reason = valueOf(extensions, CrlExtensionId.reasonCode)?.smallInteger(DerTag.enumerated) ?? 0;
      addUnknownCritical(extensions, [CrlExtensionId.reasonCode], unknownCritical);
    }
    entry.expectEnd();
    revoked.set(serialNumber, { revokedAt, reason });
  }
  return revoked;
}

/** The issuer whose list is looked for: a certificate authority of the path. */
export interface CrlIssuer {
  readonly subject: DistinguishedName;
  readonly publicKey: PublicKeyInfo;
  readonly keyUsage: number | undefined;
  readonly subjectKeyIdentifier: Uint8Array | undefined;
}

/** Whether a list claims to be this issuer's: by name, and by key identifier where both state one. */
export function isCrlOfIssuer(crl: ParsedCrl, issuer: CrlIssuer): boolean {
  // RFC 5280 section 6.3.3 (b)(1): "verify that the CRL issuer matches the certificate issuer".
  if (!equalNames(crl.issuer, issuer.subject)) return false;
  const stated = crl.authorityKeyIdentifier;
  const actual = issuer.subjectKeyIdentifier;
  return stated === undefined || actual === undefined || equalBytes(stated, actual);
}

/**
 * Throws {@linkcode CertificateFault} unless a list that {@linkcode isCrlOfIssuer} may be used now.
 * `isSigned` checks the list's signature under the issuer's key.
 */
export function checkCrlUsable(
  crl: ParsedCrl,
  issuer: CrlIssuer,
  now: Milliseconds,
  isSigned: () => boolean,
): void {
  // Section 6.3.3 (f): "If a key usage extension is present in the CRL issuer's certificate, verify that the cRLSign
  // bit is set."
  if (issuer.keyUsage !== undefined && (issuer.keyUsage & KeyUsage.crlSign) === 0) {
    throw new CertificateFault("crl-missing-crl-sign", "the issuer may not sign revocation lists");
  }
  // Section 5.2: "If a CRL contains a critical extension that the application cannot process, then the application
  // MUST NOT use that CRL to determine the status of certificates."
  if (crl.unknownCritical.length > 0) {
    throw new CertificateFault("crl-unknown-critical-extension", crl.unknownCritical.join(", "));
  }
  if (now < crl.thisUpdate) {
    throw new CertificateFault("crl-not-yet-valid", "the revocation list is of the future");
  }
  // "Conforming CRL issuers MUST include the nextUpdate field in all CRLs." A list without end could be replayed for
  // ever, so it counts as one that has ended.
  if (crl.nextUpdate === undefined || now > crl.nextUpdate) {
    throw new CertificateFault("crl-expired", "the revocation list is past its next update");
  }
  const algorithm = crl.signatureAlgorithm;
  if (algorithm === undefined || !isAlgorithmOfKey(algorithm, issuer.publicKey) || !isSigned()) {
    throw new CertificateFault("crl-bad-signature", "the revocation list is not the issuer's");
  }
}
