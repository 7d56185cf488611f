// Which credential an end presents in DTLS 1.2: by cipher suite, kind of key, curve, signature schemes and authorities.

import type { SuiteParameters } from "./cipher_suites.ts";
import { ClientCertificateType } from "./code_points.ts";
import { chooseCredential, type ChosenCredential } from "./credentials.ts";
import { certificateKind } from "./handshake_12.ts";
import { type CertificateRequest12, certificateTypeOf } from "./handshake_messages_12.ts";
import type { Credential } from "./options.ts";

/** What a client can verify, and in which suites, best first. */
export interface ClientAbilities {
  readonly suites: readonly SuiteParameters[];
  readonly groups: readonly number[];
  readonly schemes: readonly number[];
  /** The names of authorities that it trusts; none where it does not say. */
  readonly authorities: readonly Uint8Array[];
}

/** A server's credential with the suite that it is used in. */
export interface ChosenServerCredential extends ChosenCredential {
  readonly suite: SuiteParameters;
}

/** The server's best credential that the client can verify, in the best suite for it. */
export function chooseServerCredential(
  credentials: readonly Credential[],
  { suites, groups, schemes, authorities }: ClientAbilities,
): ChosenServerCredential | undefined {
  const suiteFor = (credential: Credential) => {
    const { type, group } = certificateKind(credential.key.publicKey);
    // RFC 8422 section 5.1: the curve of the certificate is among those that the client offers.
    if (group !== undefined && !groups.includes(group)) return undefined;
    return suites.find(({ certificate }) => certificate === SUITE_CERTIFICATES[type]);
  };
  const accepts = (credential: Credential) => suiteFor(credential) !== undefined;
  const chosen = chooseCredential(credentials, { version: "1.2", schemes, authorities, accepts });
  const suite = chosen === undefined ? undefined : suiteFor(chosen.credential);
  return chosen === undefined || suite === undefined ? undefined : { ...chosen, suite };
}

const SUITE_CERTIFICATES = {
  [ClientCertificateType.RSA_SIGN]: "rsa",
  [ClientCertificateType.ECDSA_SIGN]: "ecdsa",
} as const;

/** The client's best credential that meets a server's request (RFC 5246 section 7.4.6). */
export function chooseClientCredential(
  credentials: readonly Credential[],
  { certificateTypes, signatureSchemes, authorities }: CertificateRequest12,
): ChosenCredential | undefined {
  const accepts = ({ key }: Credential) =>
    certificateTypes.includes(certificateKind(key.publicKey).type);
  const wishes = { version: "1.2", schemes: signatureSchemes, authorities, accepts } as const;
  return chooseCredential(credentials, wishes);
}

/** The certificate_types that go with schemes. */
export function certificateTypesOf(schemes: readonly number[]): ClientCertificateType[] {
  return [...new Set(schemes.map(certificateTypeOf))];
}
