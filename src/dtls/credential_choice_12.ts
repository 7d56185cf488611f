// Which credential an end presents in DTLS 1.2: by cipher suite, kind of key, curve, signature schemes and authorities.

import type { SuiteParameters } from "./cipher_suites.ts";
import { ClientCertificateType } from "./code_points.ts";
import { certificateKind } from "./handshake_12.ts";
import { type CertificateRequest12, certificateTypeOf } from "./handshake_messages_12.ts";
import { chooseCredential, type ChosenCredential } from "./handshake_proofs.ts";
import type { Credential } from "./options.ts";
import { isChainOfAuthorities } from "./x509/mod.ts";

/** What a client can verify, and in which suites, best first. */
export interface ClientAbilities {
  readonly suites: readonly SuiteParameters[];
  readonly groups: readonly number[];
  readonly signatureSchemes: readonly number[];
}

/** A server's credential with the suite that it is used in. */
export interface ChosenServerCredential extends ChosenCredential {
  readonly suite: SuiteParameters;
}

/** The server's best credential that the client can verify, in the best suite for it. */
export function chooseServerCredential(
  credentials: readonly Credential[],
  { suites, groups, signatureSchemes }: ClientAbilities,
): ChosenServerCredential | undefined {
  for (const credential of credentials) {
    const { type, group } = certificateKind(credential.key.publicKey);
    // RFC 8422 section 5.1: the curve of the certificate is among those that the client offers.
    if (group !== undefined && !groups.includes(group)) continue;
    const suite = suites.find(({ certificate }) => certificate === SUITE_CERTIFICATES[type]);
    const chosen = chooseCredential([credential], signatureSchemes, "1.2");
    if (suite !== undefined && chosen !== undefined) return { ...chosen, suite };
  }
  return undefined;
}

const SUITE_CERTIFICATES = {
  [ClientCertificateType.RSA_SIGN]: "rsa",
  [ClientCertificateType.ECDSA_SIGN]: "ecdsa",
} as const;

/** A client's credential, if a server's request can be met with it (RFC 5246 section 7.4.6). */
export function chooseClientCredential(
  credential: Credential | undefined,
  { certificateTypes, signatureSchemes, authorities }: CertificateRequest12,
): ChosenCredential | undefined {
  if (credential === undefined) return undefined;
  const { type } = certificateKind(credential.key.publicKey);
  if (!certificateTypes.includes(type)) return undefined;
  if (!isChainOfAuthorities(credential.chain, authorities)) return undefined;
  return chooseCredential([credential], signatureSchemes, "1.2");
}

/** The certificate_types that go with schemes. */
export function certificateTypesOf(schemes: readonly number[]): ClientCertificateType[] {
  return [...new Set(schemes.map(certificateTypeOf))];
}
