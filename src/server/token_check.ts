// Tokens as credentials of a session: what the verifier finds becomes a principal, or the error with its number.

import type { Milliseconds } from "../base/core.ts";
import { certificateFingerprint } from "../dtls/x509/mod.ts";
import type { ErrorName } from "../wire/error_codes.ts";
import { SqpError } from "../wire/errors.ts";
import type { TokenCheck } from "./authenticator.ts";
import type { TokenKey } from "./token_keys.ts";
import { TokenFault, type TokenFaultReason, verifyToken } from "./token_verifier.ts";

/** Whose tokens a server accepts. */
export interface TokenCheckOptions {
  /** The issuer's public keys; asked for each time, so that they can change. */
  readonly keys: () => readonly TokenKey[];
  readonly issuer: string;
  readonly audience: string;
  /** The time of day. */
  readonly now: () => Milliseconds;
}

const ERRORS: Readonly<Record<TokenFaultReason, ErrorName>> = {
  "malformed": "token_malformed",
  "unknown-key": "token_unknown_key",
  "bad-signature": "token_bad_signature",
  "wrong-issuer": "token_wrong_issuer",
  "wrong-audience": "token_wrong_audience",
  "expired": "token_expired",
  "not-yet-valid": "token_not_yet_valid",
  "claim-refused": "token_claim_refused",
  "not-bound": "token_not_bound",
};

/** The check of a server's tokens. */
export function createTokenCheck({ keys, issuer, audience, now }: TokenCheckOptions): TokenCheck {
  return async ({ token, key, proof }, { peerChain, exporter }) => {
    const [leaf] = peerChain;
    const binding = {
      certificateSha256: leaf === undefined ? undefined : certificateFingerprint(leaf),
      exporter: exporter(),
      proof: key === undefined || proof === undefined ? undefined : { key, signature: proof },
    };
    try {
      const policy = { keys: keys(), issuer, audience, now: now(), binding };
      const { principal, permissions, expiresAt } = await verifyToken(token, policy);
      return { name: principal, permissions, expiresAt };
    } catch (error) {
      if (!(error instanceof TokenFault)) throw error;
      throw new SqpError(ERRORS[error.reason], {
        message: `The token is refused: ${error.detail}.`,
        cause: error,
      });
    }
  };
}
