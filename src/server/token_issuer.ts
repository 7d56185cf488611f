// Issues tokens for development and for small installations; a real identity provider issues its own.

import { SignJWT } from "jose";
import type { Milliseconds } from "../base/core.ts";
import type { Permission } from "../session/permissions.ts";
import type { TokenKey } from "./token_keys.ts";

/** `iss` of tokens unless somebody says otherwise. */
export const DEFAULT_TOKEN_ISSUER = "sqp-development";

/** `aud` of tokens unless somebody says otherwise. */
export const DEFAULT_TOKEN_AUDIENCE = "sqp";

/** What a token says. */
export interface IssueTokenOptions {
  /** The issuer's private key. */
  readonly key: TokenKey;
  /** `iss`. */
  readonly issuer: string;
  /** `aud`. */
  readonly audience: string;
  /** `sub`: who may present it. */
  readonly subject: string;
  /** What its holder may do. */
  readonly permissions: readonly Permission[];
  /** How long from now it is valid. */
  readonly lifetimeMs: number;
  /** The time of issue. */
  readonly now: Milliseconds;
  /** SHA-256 of the only certificate that may present it. */
  readonly certificateSha256?: Uint8Array | undefined;
}

/** Issues a JWT that is valid from now. */
export async function issueToken(options: IssueTokenOptions): Promise<string> {
  const { key, certificateSha256 } = options;
  const issuedAt = Math.floor(options.now / 1000);
  const binding = certificateSha256 && {
    cnf: { "x5t#S256": certificateSha256.toBase64({ alphabet: "base64url", omitPadding: true }) },
  };
  return await new SignJWT({ permissions: [...options.permissions], ...binding })
    .setProtectedHeader({ alg: key.algorithm, kid: key.keyId, typ: "JWT" })
    .setIssuer(options.issuer)
    .setAudience(options.audience)
    .setSubject(options.subject)
    .setIssuedAt(issuedAt)
    .setNotBefore(issuedAt)
    .setExpirationTime(Math.floor((options.now + options.lifetimeMs) / 1000))
    .setJti(crypto.randomUUID())
    .sign(key.key);
}
