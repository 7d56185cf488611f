// Which of several credentials is presented: the first that the peer can verify (RFC 8446 section 4.4.2.2).

import { signatureScheme } from "./cipher_suites.ts";
import type { SignatureScheme } from "./code_points.ts";
import { DtlsFault } from "./errors.ts";
import type { Credential, DtlsServerOptions, DtlsVersion } from "./options.ts";
import { isChainOfAuthorities } from "./x509/authority_names.ts";

/** A credential and the scheme that its key signs with. */
export interface ChosenCredential {
  readonly credential: Credential;
  readonly scheme: SignatureScheme;
}

/** What a peer says of the certificates that it accepts. */
export interface CertificateWishes {
  readonly version: DtlsVersion;
  /** The signature schemes that it verifies. */
  readonly schemes: readonly number[];
  /** The encoded names of authorities that it trusts; none where it does not say. */
  readonly authorities: readonly Uint8Array[];
  /** Whether the version's own conditions are met, where it has more. */
  readonly accepts?: (credential: Credential) => boolean;
}

/** The first credential that a peer can verify, with the best scheme of its key. */
export function chooseCredential(
  credentials: readonly Credential[],
  { version, schemes, authorities, accepts }: CertificateWishes,
): ChosenCredential | undefined {
  for (const credential of credentials) {
    if (accepts?.(credential) === false) continue;
    if (credential.isIssuerRequired === true && !isIssuerNamed(credential, authorities)) continue;
    for (const name of credential.schemes ?? credential.key.schemes) {
      if (!credential.key.schemes.includes(name)) continue;
      const scheme = signatureScheme(name, version);
      if (scheme !== undefined && schemes.includes(scheme)) return { credential, scheme };
    }
  }
  return undefined;
}

function isIssuerNamed({ chain }: Credential, authorities: readonly Uint8Array[]): boolean {
  return authorities.length > 0 && isChainOfAuthorities(chain, authorities);
}

/** A server's credentials for a name. Throws `DtlsFault` for a name that it does not serve. */
export function credentialsFor(
  { credentials }: DtlsServerOptions,
  serverName: string | undefined,
): readonly Credential[] {
  if (typeof credentials !== "function") return credentials;
  const found = credentials(serverName);
  // RFC 6066 section 3: "the server SHOULD take one of two actions: either abort the handshake by sending a fatal-level
  // unrecognized_name(112) alert or continue the handshake."
  if (found.length > 0) return found;
  throw new DtlsFault("unrecognized-name", "no credential for the name that the client asks for");
}

/** What a client of DTLS 1.3 says of the server's certificate. */
export interface ServerCredentialWishes {
  readonly signatureSchemes: readonly number[];
  readonly authorities: readonly Uint8Array[];
  readonly serverName: string | undefined;
}

/** The credential that a server presents to a client of these wishes; `undefined` where none will do. */
export function serverCredential(
  options: DtlsServerOptions,
  { signatureSchemes, authorities, serverName }: ServerCredentialWishes,
): ChosenCredential | undefined {
  return chooseCredential(
    credentialsFor(options, serverName),
    { version: "1.3", schemes: signatureSchemes, authorities },
  );
}
