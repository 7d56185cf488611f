// The names of authorities by which a peer says whose certificates it accepts.

import { DecodeError } from "../../base/byte_reader.ts";
import { equalBytes } from "../../base/bytes.ts";
import { parseCertificate } from "./certificate.ts";
import { DerReader } from "./der_reader.ts";
import { type DistinguishedName, equalNames, readDistinguishedName } from "./distinguished_name.ts";

/**
 * Whether a chain (DER, leaf first) suits a peer that named these authorities: RFC 5246 section 7.4.6, "one of the
 * certificates in the certificate chain SHOULD be issued by one of the listed CAs". `authorities` are encoded names, of
 * certificate_authorities (RFC 8446 section 4.2.4) or of a CertificateRequest of DTLS 1.2; none of them means that
 * any chain will do. A name that is no name is met by the same octets alone. Throws `CertificateFault` (`malformed`)
 * for a chain that cannot be read.
 */
export function isChainOfAuthorities(
  chain: readonly Uint8Array[],
  authorities: readonly Uint8Array[],
): boolean {
  if (authorities.length === 0) return true;
  const issuers = chain.map((der) => parseCertificate(der).issuer);
  return authorities.some((encoding) => {
    const name = readName(encoding);
    return issuers.some((issuer) =>
      equalBytes(issuer.encoding, encoding) || (name !== undefined && equalNames(issuer, name))
    );
  });
}

function readName(encoding: Uint8Array): DistinguishedName | undefined {
  try {
    const reader = new DerReader(encoding);
    const name = readDistinguishedName(reader);
    reader.expectEnd();
    return name;
  } catch (error) {
    if (!(error instanceof DecodeError)) throw error;
    return undefined;
  }
}
