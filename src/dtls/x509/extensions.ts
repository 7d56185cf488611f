// The extensions of certificates that path validation reads.

import { DecodeError } from "../../base/byte_reader.ts";
import { contextTag, DerReader, DerTag } from "./der_reader.ts";
import { type GeneralName, readGeneralName, readSubjectAltNames } from "./general_name.ts";

/** Bits of key usage (RFC 5280 section 4.2.1.3). */
export const KeyUsage = {
  digitalSignature: 1 << 0,
  keyCertSign: 1 << 5,
  crlSign: 1 << 6,
} as const;

/** Object identifiers of extended key usages (RFC 5280 section 4.2.1.12). */
export const KeyPurpose = {
  any: "2.5.29.37.0",
  serverAuth: "1.3.6.1.5.5.7.3.1",
  clientAuth: "1.3.6.1.5.5.7.3.2",
} as const;

/** BasicConstraints. */
export interface BasicConstraints {
  /** cA: whether the key may sign certificates. */
  readonly isAuthority: boolean;
  /** pathLenConstraint. */
  readonly pathLength: number | undefined;
}

/** One subtree of name constraints. */
export interface NameSubtree {
  /** The name at its root. */
  readonly base: GeneralName;
  /** Whether minimum or maximum have other values than RFC 5280 knows, so that it cannot be checked. */
  readonly isBounded: boolean;
}

/** NameConstraints. */
export interface NameConstraints {
  /** Subtrees that names have to be in, for each form that is listed. */
  readonly permitted: readonly NameSubtree[];
  /** Subtrees that names must not be in. */
  readonly excluded: readonly NameSubtree[];
}

/** What the extensions of a certificate say; `undefined` for an extension that is not there. */
export interface CertificateExtensions {
  /** Whether the subject is an authority. */
  readonly basicConstraints: BasicConstraints | undefined;
  /** Bits of {@linkcode KeyUsage}. */
  readonly keyUsage: number | undefined;
  /** Object identifiers, of {@linkcode KeyPurpose} or others. */
  readonly extendedKeyUsage: readonly string[] | undefined;
  /** Empty where there is no such extension. */
  readonly subjectAltNames: readonly GeneralName[];
  /** Names that the subject may certify. */
  readonly nameConstraints: NameConstraints | undefined;
  /** Names the subject's key. */
  readonly subjectKeyIdentifier: Uint8Array | undefined;
  /** Names the issuer's key. */
  readonly authorityKeyIdentifier: Uint8Array | undefined;
  /** Object identifiers of critical extensions that are not understood. */
  readonly unknownCritical: readonly string[];
}

/** Object identifiers of the extensions that are read, in the order of RFC 5280 section 4.2.1. */
const ExtensionId = {
  authorityKeyIdentifier: "2.5.29.35",
  subjectKeyIdentifier: "2.5.29.14",
  keyUsage: "2.5.29.15",
  certificatePolicies: "2.5.29.32",
  policyMappings: "2.5.29.33",
  subjectAltName: "2.5.29.17",
  basicConstraints: "2.5.29.19",
  nameConstraints: "2.5.29.30",
  extendedKeyUsage: "2.5.29.37",
  inhibitAnyPolicy: "2.5.29.54",
} as const;

/**
 * Policies narrow nothing for us: we ask for no policy (user-initial-policy-set is any-policy), and these three
 * fail a path only where an explicit policy is required, which policyConstraints does; that one stays unknown.
 */
const WITHOUT_EFFECT: readonly string[] = [
  ExtensionId.certificatePolicies,
  ExtensionId.policyMappings,
  ExtensionId.inhibitAnyPolicy,
];

/** One extension as it stands in a certificate or revocation list. */
export interface Extension {
  readonly id: string;
  readonly isCritical: boolean;
  readonly value: Uint8Array;
}

/** Reads Extensions from the content of their SEQUENCE. Throws {@linkcode DecodeError}, also where one comes twice. */
export function readExtensions(reader: DerReader): readonly Extension[] {
  const extensions = new Map<string, Extension>();
  if (reader.isEmpty) throw new DecodeError("an empty list of extensions");
  while (!reader.isEmpty) {
    const fields = reader.sequence();
    const id = fields.objectIdentifier();
    const isCritical = fields.peekTag() === DerTag.boolean && fields.boolean();
    const value = fields.content(DerTag.octetString);
    fields.expectEnd();
    // RFC 5280 section 4.2: "A certificate MUST NOT include more than one instance of a particular extension."
    if (extensions.has(id)) throw new DecodeError(`extension ${id} comes twice`);
    extensions.set(id, { id, isCritical, value });
  }
  return [...extensions.values()];
}

/** Reads the values of a certificate's extensions. Throws {@linkcode DecodeError}. */
export function readCertificateExtensions(list: readonly Extension[]): CertificateExtensions {
  const readers = new Map(list.map(({ id, value }) => [id, new DerReader(value)]));
  const read = <Value>(id: string, readValue: (reader: DerReader) => Value): Value | undefined => {
    const reader = readers.get(id);
    if (reader === undefined) return undefined;
    const value = readValue(reader);
    reader.expectEnd();
    return value;
  };
  const known: readonly string[] = Object.values(ExtensionId);
  return {
    basicConstraints: read(ExtensionId.basicConstraints, readBasicConstraints),
    keyUsage: read(ExtensionId.keyUsage, (reader) => reader.namedBits()),
    extendedKeyUsage: read(ExtensionId.extendedKeyUsage, readKeyPurposes),
    subjectAltNames: read(ExtensionId.subjectAltName, readSubjectAltNames) ?? [],
    nameConstraints: read(ExtensionId.nameConstraints, readNameConstraints),
    subjectKeyIdentifier: read(
      ExtensionId.subjectKeyIdentifier,
      (reader) => reader.content(DerTag.octetString),
    ),
    authorityKeyIdentifier: read(ExtensionId.authorityKeyIdentifier, readAuthorityKeyIdentifier),
    unknownCritical: list.filter(({ id, isCritical }) =>
      isCritical && !known.includes(id) && !WITHOUT_EFFECT.includes(id)
    ).map(({ id }) => id),
  };
}

function readBasicConstraints(reader: DerReader): BasicConstraints {
  const fields = reader.sequence();
  const isAuthority = fields.peekTag() === DerTag.boolean && fields.boolean();
  const pathLength = fields.isEmpty ? undefined : fields.smallInteger();
  fields.expectEnd();
  return { isAuthority, pathLength };
}

function readKeyPurposes(reader: DerReader): readonly string[] {
  const list = reader.sequence();
  const purposes: string[] = [];
  while (!list.isEmpty) purposes.push(list.objectIdentifier());
  if (purposes.length === 0) throw new DecodeError("no key purpose");
  return purposes;
}

/** The keyIdentifier of an AuthorityKeyIdentifier; its issuer and serial number are hints that are not needed. */
export function readAuthorityKeyIdentifier(reader: DerReader): Uint8Array | undefined {
  const fields = reader.sequence();
  const tag = contextTag(0, "primitive");
  const identifier = fields.peekTag() === tag ? fields.content(tag) : undefined;
  while (!fields.isEmpty) fields.element();
  return identifier;
}

function readNameConstraints(reader: DerReader): NameConstraints {
  const fields = reader.sequence();
  const permitted = fields.optional(contextTag(0, "constructed"));
  const excluded = fields.optional(contextTag(1, "constructed"));
  fields.expectEnd();
  // RFC 5280 section 4.2.1.10: "either the permittedSubtrees field or the excludedSubtrees MUST be present".
  if (permitted === undefined && excluded === undefined) throw new DecodeError("no subtree");
  return { permitted: readSubtrees(permitted), excluded: readSubtrees(excluded) };
}

function readSubtrees(reader: DerReader | undefined): readonly NameSubtree[] {
  const subtrees: NameSubtree[] = [];
  while (reader !== undefined && !reader.isEmpty) {
    const fields = reader.sequence();
    const base = readGeneralName(fields);
    if (base.form === "ip" && base.octets.length !== 8 && base.octets.length !== 32) {
      throw new DecodeError("an address range has 8 or 32 octets");
    }
    // "the minimum MUST be zero, and maximum MUST be absent"; in DER, zero as the default is absent too.
    subtrees.push({ base, isBounded: !fields.isEmpty });
  }
  return subtrees;
}
