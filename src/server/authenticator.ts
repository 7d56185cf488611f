// Who a client is: by the certificate of its association, or by a token.

import { certificatePrincipal, parseCertificate } from "../dtls/x509/mod.ts";
import type { Permission, Principal } from "../session/permissions.ts";
import { SqpError } from "../wire/errors.ts";
import type { Credential, TokenCredential } from "../wire/handshake_payload.ts";

/** Which credentials a server accepts. */
export type AuthenticationPolicy = "certificate" | "token" | "any";

/** What is known of a client's association, for credentials that are bound to it. */
export interface AssociationFacts {
  /** The client's verified chain in DER, leaf first; empty where it presented none. */
  readonly peerChain: readonly Uint8Array[];
  /** The exporter value of RFC 9266 for this association: 32 bytes. */
  readonly exporter: () => Uint8Array;
}

/** Checks a token and says who it speaks for. Throws {@linkcode SqpError} with the number of what is wrong with it. */
export type TokenCheck = (
  credential: TokenCredential,
  facts: AssociationFacts,
) => Promise<Principal>;

/** What an {@linkcode Authenticator} is made of. */
export interface AuthenticatorOptions {
  readonly policy: AuthenticationPolicy;
  /** What the principal of a certificate may do. */
  readonly certificatePermissions: readonly Permission[];
  readonly checkToken: TokenCheck;
}

/** Decides about the credentials that clients present. */
export class Authenticator {
  readonly #options: AuthenticatorOptions;

  constructor(options: AuthenticatorOptions) {
    this.#options = options;
  }

  /** The principal of a credential. Throws {@linkcode SqpError}, at once or later. */
  authenticate(
    credential: Credential | null,
    facts: AssociationFacts,
  ): Principal | Promise<Principal> {
    if (credential === null) throw new SqpError("no_credential");
    const { policy, checkToken } = this.#options;
    if (credential.type === "certificate" && policy !== "token") return this.#ofCertificate(facts);
    if (credential.type === "token" && policy !== "certificate") {
      return checkToken(credential, facts);
    }
    throw new SqpError("credential_kind_refused");
  }

  #ofCertificate({ peerChain }: AssociationFacts): Principal {
    const [leaf] = peerChain;
    if (leaf === undefined) {
      throw new SqpError("no_credential", { message: "No certificate was presented." });
    }
    return {
      name: certificatePrincipal(parseCertificate(leaf)),
      permissions: this.#options.certificatePermissions,
    };
  }
}
