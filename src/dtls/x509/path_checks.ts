// RFC 5280 section 6.1: the checks of one certification path that need no signature.

import type { Milliseconds } from "../../base/core.ts";
import type { ParsedCertificate } from "./certificate.ts";
import { equalNames, nameText } from "./distinguished_name.ts";
import { KeyPurpose, KeyUsage, type NameConstraints } from "./extensions.ts";
import { CertificateFault } from "./fault.ts";
import { checkNameConstraints } from "./name_constraints.ts";
import type { CertificatePath } from "./path_search.ts";

/** What a leaf is used for. */
export type CertificatePurpose = "serverAuth" | "clientAuth";

/** Smallest RSA modulus that is accepted, in bits (RFC 9325 section 4.5). */
const RSA_MODULUS_BITS_MIN = 2048;

/** Largest RSA modulus that is accepted, in bits: a larger one only costs the verifier. */
const RSA_MODULUS_BITS_MAX = 8192;

/**
 * Checks a path, the leaf first and the trust anchor last, for everything but signatures and revocation. The anchor's
 * own certificate is held to its validity and constraints too, although RFC 5280 leaves that to the application.
 * Throws {@linkcode CertificateFault}.
 */
export function checkPath(
  path: CertificatePath,
  purpose: CertificatePurpose,
  now: Milliseconds,
): void {
  const leaf = path[0]!;
  let maxPathLength = Infinity;
  const constraints: NameConstraints[] = [];
  for (const certificate of path.toReversed()) {
    checkEachCertificate(certificate, purpose, now);
    const isSelfIssued = equalNames(certificate.subject, certificate.issuer);
    // Section 6.1.3 (b): "If certificate i is self-issued and it is not the final certificate in the path, skip this
    // step for certificate i."
    if (certificate === leaf || !isSelfIssued) {
      for (const each of constraints) checkNameConstraints(certificate, each);
    }
    if (certificate === leaf) break;
    checkIssuer(certificate);
    // Section 6.1.4 (l): "If the certificate was not self-issued, verify that max_path_length is greater than zero and
    // decrement max_path_length by 1." An anchor's certificate is no part of the path, so it does not count.
    if (!isSelfIssued && certificate !== path.at(-1)) {
      if (maxPathLength <= 0) {
        throw new CertificateFault("path-too-long", `${describe(certificate)} is one too many`);
      }
      maxPathLength--;
    }
    // (m): "If pathLenConstraint is present in the certificate and is less than max_path_length, set max_path_length
    // to the value of pathLenConstraint."
    const pathLength = certificate.extensions.basicConstraints?.pathLength;
    if (pathLength !== undefined && pathLength < maxPathLength) maxPathLength = pathLength;
    const own = certificate.extensions.nameConstraints;
    if (own !== undefined) constraints.push(own);
  }
  checkLeaf(leaf);
}

function checkEachCertificate(
  certificate: ParsedCertificate,
  purpose: CertificatePurpose,
  now: Milliseconds,
): void {
  const { extensions, publicKey } = certificate;
  // Section 4.1.2.5: "The validity period for a certificate is the period of time from notBefore through notAfter,
  // inclusive."
  if (now < certificate.notBefore) {
    throw new CertificateFault("not-yet-valid", describe(certificate));
  }
  if (now > certificate.notAfter) throw new CertificateFault("expired", describe(certificate));
  // Section 4.2: "A certificate-using system MUST reject the certificate if it encounters a critical extension it does
  // not recognize or a critical extension that contains information that it cannot process."
  if (extensions.unknownCritical.length > 0) {
    throw new CertificateFault("unknown-critical-extension", extensions.unknownCritical.join(", "));
  }
  if (publicKey.kind === "unsupported" || publicKey.modulusBits > RSA_MODULUS_BITS_MAX) {
    throw new CertificateFault("unsupported-algorithm", `the key of ${describe(certificate)}`);
  }
  const isShort = publicKey.kind === "rsa" && publicKey.modulusBits < RSA_MODULUS_BITS_MIN;
  if (isShort || !publicKey.isExponentSound) {
    throw new CertificateFault("weak-key", `the key of ${describe(certificate)}`);
  }
  checkPurpose(certificate, purpose);
}

/** An issuer that states purposes states them for all that it issues, as every verifier in use takes it. */
function checkPurpose(certificate: ParsedCertificate, purpose: CertificatePurpose): void {
  const purposes = certificate.extensions.extendedKeyUsage;
  // Section 4.2.1.12: "If the extension is present, then the certificate MUST only be used for one of the purposes
  // indicated."
  if (purposes === undefined || purposes.includes(KeyPurpose[purpose])) return;
  // "Applications that require the presence of a particular purpose MAY reject certificates that include the
  // anyExtendedKeyUsage OID but not the particular OID expected": for leaves; in an issuer it restricts nothing.
  const isAuthority = certificate.extensions.basicConstraints?.isAuthority === true;
  if (isAuthority && purposes.includes(KeyPurpose.any)) return;
  throw new CertificateFault("wrong-purpose", `${describe(certificate)} is not for ${purpose}`);
}

function checkIssuer(certificate: ParsedCertificate): void {
  // Section 6.1.4 (k): "verify that the basicConstraints extension is present and that cA is set to TRUE"; versions 1
  // and 2, which have no extensions, are rejected with it.
  if (certificate.extensions.basicConstraints?.isAuthority !== true) {
    throw new CertificateFault("not-a-ca", describe(certificate));
  }
  // (n): "If a key usage extension is present, verify that the keyCertSign bit is set."
  const { keyUsage } = certificate.extensions;
  if (keyUsage !== undefined && (keyUsage & KeyUsage.keyCertSign) === 0) {
    throw new CertificateFault("missing-key-cert-sign", describe(certificate));
  }
}

function checkLeaf(certificate: ParsedCertificate): void {
  // RFC 8446 section 4.4.2.2: "the digitalSignature bit MUST be set if the Key Usage extension is present".
  const { keyUsage } = certificate.extensions;
  if (keyUsage !== undefined && (keyUsage & KeyUsage.digitalSignature) === 0) {
    throw new CertificateFault("missing-digital-signature", describe(certificate));
  }
}

/** A certificate's subject for an error's text, never longer than a line. */
export function describe(certificate: ParsedCertificate): string {
  return nameText(certificate.subject).slice(0, 120) || `serial ${certificate.serialNumber}`;
}
