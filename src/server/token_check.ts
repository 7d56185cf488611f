// Checks the tokens that clients present against a file of public keys, which is read again when it changes.

import { certificateFingerprint } from "../dtls/x509/mod.ts";
import type { Principal } from "../session/permissions.ts";
import type { ErrorName } from "../wire/error_codes.ts";
import { SqpError } from "../wire/errors.ts";
import type { TokenCredential } from "../wire/handshake_payload.ts";
import type { AssociationFacts, TokenCheck } from "./authenticator.ts";
import { readTokenKeys } from "./token_files.ts";
import type { TokenKey } from "./token_keys.ts";
import {
  TokenFault,
  type TokenFaultReason,
  type TokenLimits,
  type TokenPolicy,
  verifyToken,
} from "./token_verifier.ts";

const ERROR_OF_FAULT: Readonly<Record<TokenFaultReason, ErrorName>> = {
  "malformed": "token_malformed",
  "unknown-key": "token_unknown_key",
  "bad-signature": "token_bad_signature",
  "wrong-issuer": "token_wrong_issuer",
  "wrong-audience": "token_wrong_audience",
  "expired": "token_expired",
  "not-yet-valid": "token_not_yet_valid",
  "not-bound": "token_not_bound",
  "claim-refused": "token_claim_refused",
};

/** Whose tokens a server accepts. */
export interface TokenCheckOptions {
  /** PEM file of the issuer's public keys. */
  readonly keyFile: string;
  /** What `iss` has to be. */
  readonly issuer: string;
  /** What `aud` has to be, or to have in its list. */
  readonly audience: string;
  /** Limits that differ from the defaults of tokens. */
  readonly limits?: Partial<TokenLimits>;
  /** The time of day, milliseconds since the Unix epoch. Default the system's. */
  readonly clock?: () => number;
  /** Told where the file was changed and cannot be used; the keys before stay in force. */
  readonly onUnusableFile?: (error: unknown) => void;
}

/** The public keys of a file, as it is now. */
class TokenKeyFile {
  readonly #path: string;
  readonly #onUnusableFile: (error: unknown) => void;
  #keys: readonly TokenKey[] = [];
  #stamp = "";

  constructor({ keyFile, onUnusableFile }: TokenCheckOptions) {
    this.#path = keyFile;
    this.#onUnusableFile = onUnusableFile ?? (() => {});
  }

  /** Reads the file. Throws `CertificateFileError`. */
  async open(): Promise<void> {
    this.#keys = await readTokenKeys(this.#path);
    this.#stamp = await this.#readStamp();
  }

  /** The keys, read again if the file has changed. */
  async keys(): Promise<readonly TokenKey[]> {
    const stamp = await this.#readStamp();
    if (stamp !== this.#stamp) {
      // A file that cannot be used is told of once, not with every token.
      this.#stamp = stamp;
      try {
        this.#keys = await readTokenKeys(this.#path);
      } catch (error) {
        this.#onUnusableFile(error);
      }
    }
    return this.#keys;
  }

  async #readStamp(): Promise<string> {
    try {
      const { mtime, size, ino } = await Deno.stat(this.#path);
      return `${mtime?.getTime()} ${size} ${ino}`;
    } catch (error) {
      return `unreadable: ${error}`;
    }
  }
}

/**
 * The check of tokens by the keys of a file. Throws `CertificateFileError` where it cannot be read now.
 * The check throws {@linkcode SqpError}: each {@linkcode TokenFaultReason} has its own number.
 */
export async function openTokenCheck(options: TokenCheckOptions): Promise<TokenCheck> {
  const file = new TokenKeyFile(options);
  await file.open();
  const clock = options.clock ?? Date.now;
  return async (credential, facts) => {
    const keys = await file.keys();
    return await checkToken(credential, facts, { ...options, keys, now: clock() });
  };
}

async function checkToken(
  { token, key, proof }: TokenCredential,
  { peerChain, exporter }: AssociationFacts,
  policy: TokenPolicy,
): Promise<Principal> {
  const [leaf] = peerChain;
  const binding = {
    certificateSha256: leaf && certificateFingerprint(leaf),
    exporter: proof && exporter(),
    proof: key === undefined || proof === undefined ? undefined : { key, signature: proof },
  };
  try {
    const { principal, permissions } = await verifyToken(token, { ...policy, binding });
    return { name: principal, permissions };
  } catch (error) {
    if (!(error instanceof TokenFault)) throw error;
    throw new SqpError(ERROR_OF_FAULT[error.reason], { cause: error });
  }
}
