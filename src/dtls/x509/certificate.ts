// X.509 certificates: reading one from DER.

import { equalBytes, toHex } from "../../base/bytes.ts";
import { DecodeError } from "../../base/byte_reader.ts";
import { contextTag, DerReader, DerTag } from "./der_reader.ts";
import { type DistinguishedName, readDistinguishedName } from "./distinguished_name.ts";
import {
  type CertificateExtensions,
  readCertificateExtensions,
  readExtensions,
} from "./extensions.ts";
import { CertificateFault } from "./fault.ts";
import {
  type PublicKeyInfo,
  readPublicKeyInfo,
  readSignatureAlgorithm,
  type SignatureAlgorithm,
} from "./signature.ts";

/** A certificate that was read, not one that was verified. */
export interface ParsedCertificate {
  /** All of its octets. */
  readonly der: Uint8Array;
  /** Of X.509; only version 3 has extensions. */
  readonly version: 1 | 2 | 3;
  /** Lower-case hexadecimal digits without leading zero octets. */
  readonly serialNumber: string;
  /** Who signed it. */
  readonly issuer: DistinguishedName;
  /** Who holds the key. */
  readonly subject: DistinguishedName;
  /** First moment of validity, milliseconds since the Unix epoch. */
  readonly notBefore: number;
  /** Last moment of validity, milliseconds since the Unix epoch. */
  readonly notAfter: number;
  /** The subject's key. */
  readonly publicKey: PublicKeyInfo;
  /** What the extensions say. */
  readonly extensions: CertificateExtensions;
  /** The octets that the signature covers. */
  readonly signedOctets: Uint8Array;
  /** `undefined` for an algorithm that is not supported. */
  readonly signatureAlgorithm: SignatureAlgorithm | undefined;
  /** The issuer's signature. */
  readonly signature: Uint8Array;
}

/** Reads a certificate. Throws {@linkcode CertificateFault} with the reason `malformed`. */
export function parseCertificate(der: Uint8Array): ParsedCertificate {
  try {
    return readCertificate(der);
  } catch (error) {
    if (!(error instanceof DecodeError)) throw error;
    throw new CertificateFault("malformed", error.message);
  }
}

/** What certificates and revocation lists have in common: signed octets, an algorithm, a signature. */
export interface SignedStructure {
  readonly signedOctets: Uint8Array;
  readonly algorithmIdentifier: Uint8Array;
  readonly signature: Uint8Array;
  /** A reader of the content of the signed octets. */
  readonly fields: DerReader;
}

/** Reads the outer SEQUENCE of a certificate or revocation list. Throws {@linkcode DecodeError}. */
export function readSignedStructure(der: Uint8Array): SignedStructure {
  const outer = new DerReader(der);
  const parts = outer.sequence();
  outer.expectEnd();
  const signed = parts.element();
  if (signed.tag !== DerTag.sequence) throw new DecodeError("no signed SEQUENCE");
  const algorithm = parts.element();
  const signature = parts.bitStringOctets();
  parts.expectEnd();
  return {
    signedOctets: signed.encoding,
    algorithmIdentifier: algorithm.encoding,
    signature,
    fields: new DerReader(signed.content),
  };
}

/**
 * Reads the signature algorithm inside the signed octets. Throws {@linkcode DecodeError} where it differs from the one
 * outside.
 */
export function readInnerAlgorithm(structure: SignedStructure): SignatureAlgorithm | undefined {
  // RFC 5280 section 4.1.1.2: "This field MUST contain the same algorithm identifier as the signature field in the
  // sequence tbsCertificate".
  if (!equalBytes(structure.fields.element().encoding, structure.algorithmIdentifier)) {
    throw new DecodeError("two different signature algorithms");
  }
  return readSignatureAlgorithm(structure.algorithmIdentifier);
}

function readCertificate(der: Uint8Array): ParsedCertificate {
  const structure = readSignedStructure(der);
  const { fields } = structure;
  const version = readVersion(fields.optional(contextTag(0, "constructed")));
  const serialNumber = readSerialNumber(fields);
  const signatureAlgorithm = readInnerAlgorithm(structure);
  const issuer = readDistinguishedName(fields);
  // RFC 5280 section 4.1.2.4: "The issuer field MUST contain a non-empty distinguished name (DN)."
  if (issuer.rdns.length === 0) throw new DecodeError("an empty issuer");
  const validity = fields.sequence();
  const notBefore = validity.time();
  const notAfter = validity.time();
  validity.expectEnd();
  const subject = readDistinguishedName(fields);
  const publicKey = readPublicKeyInfo(fields.element().encoding);
  skipUniqueIdentifiers(fields, version);
  const extensions = readCertificateExtensions(readExtensionList(fields, version));
  fields.expectEnd();
  return {
    der,
    version,
    serialNumber,
    issuer,
    subject,
    notBefore,
    notAfter,
    publicKey,
    extensions,
    signedOctets: structure.signedOctets,
    signatureAlgorithm,
    signature: structure.signature,
  };
}

function readVersion(explicit: DerReader | undefined): 1 | 2 | 3 {
  if (explicit === undefined) return 1;
  const version = explicit.smallInteger();
  explicit.expectEnd();
  // Version 1 is the default, which DER leaves out.
  if (version !== 1 && version !== 2) throw new DecodeError("not a version of X.509");
  return version === 1 ? 2 : 3;
}

/** Reads a serial number as {@linkcode ParsedCertificate.serialNumber} has it. Throws {@linkcode DecodeError}. */
export function readSerialNumber(fields: DerReader): string {
  const magnitude = fields.unsigned();
  // RFC 5280 section 4.1.2.2: "Conforming CAs MUST NOT use serialNumber values longer than 20 octets."
  if (magnitude.length > 20) throw new DecodeError("a serial number of more than 20 octets");
  return toHex(magnitude);
}

function skipUniqueIdentifiers(fields: DerReader, version: 1 | 2 | 3): void {
  for (const tag of [contextTag(1, "primitive"), contextTag(2, "primitive")]) {
    if (fields.peekTag() !== tag) continue;
    if (version === 1) throw new DecodeError("a unique identifier in version 1");
    fields.element();
  }
}

function readExtensionList(fields: DerReader, version: 1 | 2 | 3) {
  const explicit = fields.optional(contextTag(3, "constructed"));
  if (explicit === undefined) return [];
  // RFC 5280 section 4.1.2.9: "This field MUST only appear if the version is 3".
  if (version !== 3) throw new DecodeError("extensions before version 3");
  const list = readExtensions(explicit.sequence());
  explicit.expectEnd();
  return list;
}
