// Checks tokens: JSON Web Tokens (RFC 7519) of one issuer for one audience, perhaps bound to a key (RFC 7800).

import { decodeProtectedHeader, errors, type JWTPayload, jwtVerify } from "jose";
import { equalBytes } from "../base/bytes.ts";
import type { Milliseconds } from "../base/core.ts";
import { type Permission, PERMISSIONS } from "../session/permissions.ts";
import { TOKEN_ALGORITHMS, type TokenAlgorithm, type TokenKey } from "./token_keys.ts";
import { verifyProof } from "./token_proof.ts";

export { isPermission, type Permission, PERMISSIONS } from "../session/permissions.ts";

/** Why a token is refused. */
export type TokenFaultReason =
  /** Not a JWT, too long, or of another algorithm. */
  | "malformed"
  /** No key of this id. */
  | "unknown-key"
  | "bad-signature"
  | "wrong-issuer"
  | "wrong-audience"
  | "expired"
  | "not-yet-valid"
  /** A claim is missing, of a wrong type, or says what we do not accept: a lifetime too long. */
  | "claim-refused"
  /** It is bound to a key, and whoever presents it has not shown that key. */
  | "not-bound";

/** A token is refused. The message carries nothing of the token but its claims' names. */
export class TokenFault extends Error {
  /** The type's name. */
  override readonly name = "TokenFault";
  /** Why. */
  readonly reason: TokenFaultReason;
  /** What exactly, for a person. */
  readonly detail: string;

  /** A fault of this reason, with a detail for a person. */
  constructor(reason: TokenFaultReason, detail: string) {
    super(`${reason}: ${detail}`);
    this.reason = reason;
    this.detail = detail;
  }
}

/** Limits of tokens. */
export interface TokenLimits {
  /** Longest token, in characters. Default 6,144, of the 8 KiB that a HandshakeRequest may have. */
  readonly tokenLengthMax: number;
  /** Longest time from `iat`, or now, to `exp`. Default 24 hours. */
  readonly lifetimeMsMax: number;
  /** How far the issuer's clock may be from ours. Default 30 seconds. */
  readonly clockToleranceMs: number;
}

/** The defaults of {@linkcode TokenLimits}. */
export const DEFAULT_TOKEN_LIMITS: TokenLimits = {
  tokenLengthMax: 6_144,
  lifetimeMsMax: 86_400_000,
  clockToleranceMs: 30_000,
};

/** Longest `sub`, in characters. */
export const SUBJECT_LENGTH_MAX = 128;

/** Whose tokens are accepted, and when. */
export interface TokenPolicy {
  /** The issuer's public keys. */
  readonly keys: readonly TokenKey[];
  /** What `iss` has to be. */
  readonly issuer: string;
  /** What `aud` has to be, or to have in its list. */
  readonly audience: string;
  /** The time of the check. */
  readonly now: Milliseconds;
  /** Limits that differ from {@linkcode DEFAULT_TOKEN_LIMITS}. */
  readonly limits?: Partial<TokenLimits>;
}

/** What a token is bound to; one that is bound to both needs both. */
export interface TokenConfirmation {
  /** `x5t#S256`: SHA-256 of the client's certificate in DER. */
  readonly certificateSha256?: Uint8Array;
  /** `jkt`: thumbprint of the key that signs the exporter. */
  readonly keyThumbprint?: string;
}

/** What a token says once its signature is known to be good. */
export interface VerifiedToken {
  /** `token:ISSUER/SUBJECT`; the subject percent-encoded, so that the last slash divides the two. */
  readonly principal: string;
  /** From `permissions` (a list) or `scope` (a text); where both are there, what is in both. */
  readonly permissions: readonly Permission[];
  /** Milliseconds since the Unix epoch. */
  readonly expiresAt: Milliseconds;
  /** `undefined` for a bearer token. */
  readonly confirmation: TokenConfirmation | undefined;
  /** All claims. */
  readonly claims: Readonly<Record<string, unknown>>;
}

/** What the client of an association has shown. */
export interface TokenBinding {
  /** SHA-256 of the certificate it authenticated with, `undefined` where it did not. */
  readonly certificateSha256?: Uint8Array | undefined;
  /** The association's exporter value of RFC 9266. */
  readonly exporter?: Uint8Array | undefined;
  /** The public key as a JSON Web Key, and its signature over the exporter. */
  readonly proof?: { readonly key: string; readonly signature: Uint8Array } | undefined;
}

/**
 * Checks a token and that its client holds the key that it is bound to, if it is. Throws {@linkcode TokenFault}.
 */
export async function verifyToken(
  token: string,
  policy: TokenPolicy & { readonly binding?: TokenBinding },
): Promise<VerifiedToken> {
  const verified = await verifyTokenClaims(token, policy);
  await confirm(verified.confirmation, policy.binding ?? {});
  return verified;
}

/**
 * Checks a token's signature and claims. Whoever uses this alone has not checked what the token is bound to.
 * Throws {@linkcode TokenFault}.
 */
export async function verifyTokenClaims(
  token: string,
  policy: TokenPolicy,
): Promise<VerifiedToken> {
  const limits = { ...DEFAULT_TOKEN_LIMITS, ...policy.limits };
  if (token.length > limits.tokenLengthMax) {
    throw new TokenFault("malformed", `more than ${limits.tokenLengthMax} characters`);
  }
  const key = chooseKey(token, policy.keys);
  const claims = await verifySignatureAndClaims(token, key, policy, limits.clockToleranceMs);
  const { sub } = claims;
  if (typeof sub !== "string" || sub === "" || !sub.isWellFormed()) {
    throw new TokenFault("claim-refused", "sub is not a text");
  }
  if (sub.length > SUBJECT_LENGTH_MAX) throw new TokenFault("claim-refused", "sub is too long");
  const expiresAt = checkLifetime(claims, policy.now, limits);
  return {
    principal: `token:${policy.issuer}/${encodeURIComponent(sub)}`,
    permissions: permissionsOf(claims),
    expiresAt,
    confirmation: confirmationOf(claims),
    claims,
  };
}

/** The key that a token names, if the two agree on the algorithm. */
function chooseKey(token: string, keys: readonly TokenKey[]): TokenKey {
  let header: ReturnType<typeof decodeProtectedHeader>;
  try {
    header = decodeProtectedHeader(token);
  } catch {
    throw new TokenFault("malformed", "not a JSON Web Token");
  }
  const { alg, kid } = header;
  if (!TOKEN_ALGORITHMS.includes(alg as TokenAlgorithm)) {
    throw new TokenFault("malformed", `alg is neither of ${TOKEN_ALGORITHMS.join(", ")}`);
  }
  const candidates = keys.filter(({ keyId, algorithm }) =>
    kid === undefined ? algorithm === alg : keyId === kid
  );
  const [key] = candidates;
  // Without a key id there is one key that it can be, or none: keys are not tried in turn.
  if (key === undefined || (kid === undefined && candidates.length > 1)) {
    throw new TokenFault("unknown-key", "no key of the token's kid");
  }
  // RFC 8725 section 3.1: "Each key MUST be used with exactly one algorithm, and this MUST be checked when the
  // cryptographic operation is performed."
  if (key.algorithm !== alg) throw new TokenFault("bad-signature", "alg is not the key's");
  return key;
}

async function verifySignatureAndClaims(
  token: string,
  { key, algorithm }: TokenKey,
  { issuer, audience, now }: TokenPolicy,
  clockToleranceMs: number,
): Promise<JWTPayload> {
  try {
    const { payload } = await jwtVerify(token, key, {
      algorithms: [algorithm],
      issuer,
      audience,
      currentDate: new Date(now),
      clockTolerance: clockToleranceMs / 1000,
      requiredClaims: ["exp", "sub"],
    });
    return payload;
  } catch (error) {
    throw faultOf(error);
  }
}

function faultOf(error: unknown): Error {
  if (error instanceof errors.JWSSignatureVerificationFailed) {
    return new TokenFault("bad-signature", "the signature is not the key's");
  }
  if (error instanceof errors.JWTExpired) return new TokenFault("expired", "exp has passed");
  if (error instanceof errors.JWTClaimValidationFailed) {
    const { claim, reason } = error;
    if (claim === "iss") return new TokenFault("wrong-issuer", "iss is another one");
    if (claim === "aud") return new TokenFault("wrong-audience", "aud is another one");
    if (claim === "nbf" && reason === "check_failed") {
      return new TokenFault("not-yet-valid", "nbf is to come");
    }
    return new TokenFault("claim-refused", `${claim} is missing, or of a wrong type`);
  }
  if (error instanceof errors.JOSEError) return new TokenFault("malformed", "not a JSON Web Token");
  // Whatever else was thrown is no verdict on the token: a defect, or a key of ours.
  return error instanceof Error ? error : new Error(String(error));
}

/** When a token ends. Its lifetime counts from when it was issued, or from now where it does not say. */
function checkLifetime(
  claims: JWTPayload,
  now: Milliseconds,
  limits: TokenLimits,
): Milliseconds {
  const { exp, iat = now / 1000 } = claims;
  // Past what a Date can hold, nothing can be said about a time.
  if (typeof exp !== "number" || typeof iat !== "number" || !(Math.abs(exp) <= 8.64e12)) {
    throw new TokenFault("claim-refused", "exp or iat is no time");
  }
  if (iat * 1000 > now + limits.clockToleranceMs) {
    throw new TokenFault("not-yet-valid", "iat is to come");
  }
  if ((exp - iat) * 1000 > limits.lifetimeMsMax) {
    throw new TokenFault("claim-refused", `valid for more than ${limits.lifetimeMsMax} ms`);
  }
  return exp * 1000;
}

/** Nothing is permitted but what is named; names of other services' scopes are not ours to judge. */
function permissionsOf({ permissions, scope }: JWTPayload): readonly Permission[] {
  const lists: (readonly string[])[] = [];
  if (permissions !== undefined) {
    const isList = Array.isArray(permissions) &&
      permissions.every((name) => typeof name === "string");
    if (!isList) throw new TokenFault("claim-refused", "permissions is not a list of texts");
    lists.push(permissions);
  }
  if (scope !== undefined) {
    // RFC 8693 section 4.2: "a JSON string containing a space-separated list of scopes".
    if (typeof scope !== "string") throw new TokenFault("claim-refused", "scope is not a text");
    lists.push(scope.split(" "));
  }
  if (lists.length === 0) return [];
  return PERMISSIONS.filter((name) => lists.every((list) => list.includes(name)));
}

function confirmationOf({ cnf }: JWTPayload): TokenConfirmation | undefined {
  if (cnf === undefined) return undefined;
  if (typeof cnf !== "object" || cnf === null || Array.isArray(cnf)) {
    throw new TokenFault("claim-refused", "cnf is not an object");
  }
  const { "x5t#S256": certificate, jkt } = cnf as Record<string, unknown>;
  const confirmation = {
    ...(certificate !== undefined && { certificateSha256: sha256Of("x5t#S256", certificate) }),
    ...(jkt !== undefined && { keyThumbprint: sha256Of("jkt", jkt) && jkt as string }),
  };
  // A token that is bound in a way that we do not know is bound nevertheless.
  if (Object.keys(confirmation).length === 0) {
    throw new TokenFault("not-bound", "cnf has neither x5t#S256 nor jkt");
  }
  return confirmation;
}

function sha256Of(name: string, value: unknown): Uint8Array {
  if (typeof value === "string" && /^[A-Za-z0-9_-]{43}$/.test(value)) {
    try {
      return Uint8Array.fromBase64(`${value}=`, {
        alphabet: "base64url",
        lastChunkHandling: "strict",
      });
    } catch {
      // Falls through: not the one encoding that 32 bytes have.
    }
  }
  throw new TokenFault("claim-refused", `cnf's ${name} is not SHA-256 in base64url`);
}

async function confirm(
  confirmation: TokenConfirmation | undefined,
  binding: TokenBinding,
): Promise<void> {
  const certificate = confirmation?.certificateSha256;
  if (certificate !== undefined) {
    const shown = binding.certificateSha256;
    if (shown === undefined || !equalBytes(shown, certificate)) {
      throw new TokenFault("not-bound", "the client's certificate is not the token's");
    }
  }
  const keyThumbprint = confirmation?.keyThumbprint;
  if (keyThumbprint !== undefined) {
    const { exporter, proof } = binding;
    const isShown = exporter !== undefined && proof !== undefined &&
      await verifyProof({ keyThumbprint, exporter, ...proof });
    if (!isShown) throw new TokenFault("not-bound", "the client has not shown the token's key");
  }
}
