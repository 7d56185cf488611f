// GeneralName: the forms in which alternative names and name constraints state a name.

import { utf8Text } from "../../base/bytes.ts";
import { DecodeError } from "../../base/byte_reader.ts";
import { contextTag, DerReader } from "./der_reader.ts";
import { type DistinguishedName, readDistinguishedName } from "./distinguished_name.ts";

/** A name of one of the forms of RFC 5280 section 4.2.1.6; forms that this library does not read keep their tag. */
export type GeneralName =
  | { readonly form: "dns"; readonly text: string }
  | { readonly form: "email"; readonly text: string }
  | { readonly form: "uri"; readonly text: string }
  | { readonly form: "ip"; readonly octets: Uint8Array }
  | { readonly form: "directory"; readonly directory: DistinguishedName }
  | { readonly form: "other"; readonly tag: number };

const OTHER_TAGS: readonly number[] = [
  contextTag(0, "constructed"), // otherName
  contextTag(3, "constructed"), // x400Address
  contextTag(5, "constructed"), // ediPartyName
  contextTag(8, "primitive"), // registeredID
];

/** Reads one GeneralName. Throws {@linkcode DecodeError}. */
export function readGeneralName(reader: DerReader): GeneralName {
  const { tag, content } = reader.element();
  switch (tag) {
    case contextTag(1, "primitive"):
      return { form: "email", text: ia5Text(content) };
    case contextTag(2, "primitive"):
      return { form: "dns", text: ia5Text(content) };
    case contextTag(6, "primitive"):
      return { form: "uri", text: ia5Text(content) };
    case contextTag(7, "primitive"):
      return { form: "ip", octets: content };
    case contextTag(4, "constructed"): {
      // Name is a CHOICE, so its tag is explicit.
      const explicit = new DerReader(content);
      const directory = readDistinguishedName(explicit);
      explicit.expectEnd();
      return { form: "directory", directory };
    }
    default:
      if (!OTHER_TAGS.includes(tag)) throw new DecodeError("not a GeneralName");
      return { form: "other", tag };
  }
}

/** Text of an IA5String. Spaces and control characters have no place in a DNS name, address or URI. */
function ia5Text(content: Uint8Array): string {
  if (content.some((octet) => octet <= 0x20 || octet >= 0x7f)) {
    throw new DecodeError("a name with characters outside printable ASCII");
  }
  return utf8Text(content);
}

/**
 * Reads the names of a subjectAltName. Throws {@linkcode DecodeError} for an empty list, an empty name, a DNS name
 * that is none, and an IP address that has neither 4 nor 16 octets.
 */
export function readSubjectAltNames(reader: DerReader): readonly GeneralName[] {
  const names: GeneralName[] = [];
  const list = reader.sequence();
  reader.expectEnd();
  while (!list.isEmpty) {
    const name = readGeneralName(list);
    if ("text" in name && name.text === "") throw new DecodeError("an empty alternative name");
    if (name.form === "dns" && !isDnsName(name.text)) throw new DecodeError("not a DNS name");
    if (name.form === "ip" && name.octets.length !== 4 && name.octets.length !== 16) {
      throw new DecodeError("an IP address has 4 or 16 octets");
    }
    names.push(name);
  }
  // RFC 5280 section 4.2.1.6: "If the subjectAltName extension is present, the sequence MUST contain at least one
  // entry."
  if (names.length === 0) throw new DecodeError("no alternative name");
  return names;
}

/** Whether a text is a DNS name of letters, digits, hyphens, underscores and stars, without a final dot. */
export function isDnsName(text: string): boolean {
  return text.length <= 253 && /^[A-Za-z0-9_*-]{1,63}(?:\.[A-Za-z0-9_*-]{1,63})*$/.test(text);
}
