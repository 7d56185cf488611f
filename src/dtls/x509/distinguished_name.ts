// Distinguished names: reading, comparing as RFC 5280 section 7.1 asks, and writing as RFC 4514 does.

import { toHex, utf8Bytes, utf8Text } from "../../base/bytes.ts";
import { DecodeError } from "../../base/byte_reader.ts";
import { DerReader, DerTag } from "./der_reader.ts";

/** One attribute of a name, such as CN=localhost. */
export interface NameAttribute {
  /** Object identifier in dotted form. */
  readonly type: string;
  /** The value as text, `undefined` where it is not of a string type that is understood. */
  readonly text: string | undefined;
  /** The value's DER element. */
  readonly encoding: Uint8Array;
}

/** A distinguished name. */
export interface DistinguishedName {
  /** Relative distinguished names from the root to the entity, each a set of attributes. */
  readonly rdns: readonly (readonly NameAttribute[])[];
  /** One text for each relative distinguished name; two are equal exactly when the names match. */
  readonly canonical: readonly string[];
  /** The name's DER element. */
  readonly encoding: Uint8Array;
}

/** Object identifiers of attributes that this library looks at. */
export const AttributeType = {
  commonName: "2.5.4.3",
  emailAddress: "1.2.840.113549.1.9.1",
} as const;

/** RFC 4514 section 3: the attribute types that have a short name. */
const SHORT_NAMES: ReadonlyMap<string, string> = new Map([
  ["2.5.4.3", "CN"],
  ["2.5.4.7", "L"],
  ["2.5.4.8", "ST"],
  ["2.5.4.10", "O"],
  ["2.5.4.11", "OU"],
  ["2.5.4.6", "C"],
  ["2.5.4.9", "STREET"],
  ["0.9.2342.19200300.100.1.25", "DC"],
  ["0.9.2342.19200300.100.1.1", "UID"],
]);

/** Reads a Name. Throws {@linkcode DecodeError}. */
export function readDistinguishedName(fields: DerReader): DistinguishedName {
  const { tag, content, encoding } = fields.element();
  if (tag !== DerTag.sequence) throw new DecodeError("a name that is no SEQUENCE");
  const reader = new DerReader(content);
  const rdns: NameAttribute[][] = [];
  while (!reader.isEmpty) {
    const set = reader.nested(DerTag.set);
    const attributes: NameAttribute[] = [];
    while (!set.isEmpty) attributes.push(readAttribute(set.sequence()));
    if (attributes.length === 0) throw new DecodeError("an empty relative distinguished name");
    rdns.push(attributes);
  }
  return { rdns, canonical: rdns.map(canonicalRdn), encoding };
}

function readAttribute(reader: DerReader): NameAttribute {
  const type = reader.objectIdentifier();
  const value = reader.element();
  reader.expectEnd();
  return { type, text: decodeString(value.tag, value.content), encoding: value.encoding };
}

/** The text of a string type. RFC 5280 section 7.1 leaves Teletex and Universal strings optional: they stay bytes. */
function decodeString(tag: number, content: Uint8Array): string | undefined {
  switch (tag) {
    case DerTag.utf8String:
      return decodeStrict(new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }), content);
    case DerTag.bmpString:
      return decodeStrict(new TextDecoder("utf-16be", { fatal: true, ignoreBOM: true }), content);
    case DerTag.printableString:
    case DerTag.ia5String:
    case DerTag.visibleString:
      if (content.some((octet) => octet >= 0x80)) throw new DecodeError("not a string of ASCII");
      return utf8Text(content);
    default:
      return undefined;
  }
}

function decodeStrict(decoder: TextDecoder, content: Uint8Array): string {
  try {
    return decoder.decode(content);
  } catch {
    throw new DecodeError("invalid characters in a name");
  }
}

// RFC 5280 section 7.1: "Conforming implementations MUST use the LDAP StringPrep profile (including insignificant
// space handling), as specified in [RFC4518]": compatibility normalisation, case folding, spaces compressed.
function prepared(text: string): string {
  return text.normalize("NFKC").toLowerCase().normalize("NFKC").replace(/\s+/g, " ").trim();
}

// "RDN1 and RDN2 match if they have the same number of naming attributes and for each naming attribute in RDN1
// there is a matching naming attribute in RDN2": sorted, so that the order in the set does not count.
function canonicalRdn(attributes: readonly NameAttribute[]): string {
  return JSON.stringify(
    attributes.map((attribute) =>
      attribute.text === undefined
        ? [attribute.type, "der", toHex(attribute.encoding)]
        : [attribute.type, "text", prepared(attribute.text)]
    ).map((parts) => JSON.stringify(parts)).sort(),
  );
}

/** Whether two names match. */
export function equalNames(a: DistinguishedName, b: DistinguishedName): boolean {
  return a.canonical.length === b.canonical.length && isWithinName(a, b);
}

/** Whether `name` is `base` or below it: RFC 5280 section 7.1, "when trailing RDNs in DN1 are ignored". */
export function isWithinName(name: DistinguishedName, base: DistinguishedName): boolean {
  return name.canonical.length >= base.canonical.length &&
    base.canonical.every((rdn, i) => rdn === name.canonical[i]);
}

/** A name as text by RFC 4514, the entity first: `CN=server,O=Example`. */
export function nameText(name: DistinguishedName): string {
  return name.rdns.toReversed().map((rdn) => rdn.map(attributeText).join("+")).join(",");
}

function attributeText(attribute: NameAttribute): string {
  const shortName = SHORT_NAMES.get(attribute.type);
  // RFC 4514 section 2.4: "If the AttributeType is of the dotted-decimal form, the AttributeValue is represented by
  // a number sign ('#') character followed by the hexadecimal encoding of each of the octets of the BER encoding".
  if (shortName === undefined || attribute.text === undefined) {
    return `${shortName ?? attribute.type}=#${toHex(attribute.encoding)}`;
  }
  return `${shortName}=${escapeNameText(attribute.text)}`;
}

/** Escapes an attribute's value as RFC 4514 section 2.4 asks, and control characters too, so that it fits one line. */
export function escapeNameText(text: string): string {
  const characters = [...text];
  return characters.map((character, i) => {
    if (/[\\"+,;<>]/.test(character)) return `\\${character}`;
    if (i === 0 && (character === " " || character === "#")) return `\\${character}`;
    if (i === characters.length - 1 && character === " ") return "\\ ";
    return /[\p{Cc}\p{Cf}\u2028\u2029]/u.test(character)
      ? toHex(utf8Bytes(character)).replace(/../g, "\\$&")
      : character;
  }).join("");
}
