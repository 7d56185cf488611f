// Who a certificate speaks for: fingerprint, subject as text, and the principal of a session.

import { createHash } from "node:crypto";
import { toHex } from "../../base/bytes.ts";
import type { ParsedCertificate } from "./certificate.ts";
import { AttributeType, escapeNameText, nameText } from "./distinguished_name.ts";

/** SHA-256 of a certificate in DER: 32 bytes, what `x5t#S256` of RFC 8705 states. */
export function certificateFingerprint(der: Uint8Array): Uint8Array {
  return new Uint8Array(createHash("sha256").update(der).digest());
}

/** A certificate's subject by RFC 4514, `""` for an empty one. */
export function certificateSubjectText(certificate: ParsedCertificate): string {
  return nameText(certificate.subject);
}

/** Longest principal that is made of a name, in characters; beyond, the fingerprint stands for it. */
export const PRINCIPAL_LENGTH_MAX = 256;

/**
 * The principal that a validated certificate authenticates. The first that there is of
 *
 * - `cert:URI=`, the first URI of the alternative names, as it is,
 * - `cert:DNS=`, the first DNS name, in lower case,
 * - `cert:email=`, the first mail address, its host in lower case,
 * - `cert:CN=`, the subject's common name, where it has exactly one, escaped as in RFC 4514,
 * - `cert:subject=`, the whole subject by RFC 4514,
 * - `cert:sha256=`, the certificate's fingerprint in hexadecimal.
 *
 * The kind is part of it, so that no name of one kind passes for one of another.
 */
export function certificatePrincipal(leaf: ParsedCertificate): string {
  const principal = principalName(leaf);
  return principal !== undefined && principal.length <= PRINCIPAL_LENGTH_MAX
    ? `cert:${principal}`
    : `cert:sha256=${toHex(certificateFingerprint(leaf.der))}`;
}

function principalName(leaf: ParsedCertificate): string | undefined {
  const names = leaf.extensions.subjectAltNames;
  for (const name of names) if (name.form === "uri") return `URI=${name.text}`;
  for (const name of names) if (name.form === "dns") return `DNS=${name.text.toLowerCase()}`;
  for (const name of names) {
    if (name.form !== "email") continue;
    const at = name.text.lastIndexOf("@") + 1;
    return `email=${name.text.slice(0, at)}${name.text.slice(at).toLowerCase()}`;
  }
  const commonNames = leaf.subject.rdns.flat().filter(({ type }) =>
    type === AttributeType.commonName
  );
  const commonName = commonNames[0]?.text;
  if (commonNames.length === 1 && commonName !== undefined && commonName !== "") {
    return `CN=${escapeNameText(commonName)}`;
  }
  return leaf.subject.rdns.length > 0 ? `subject=${nameText(leaf.subject)}` : undefined;
}
