// This side's share of a key exchange, fresh for every handshake.

import { codePointName } from "../base/code_points.ts";
import { groupName } from "./cipher_suites.ts";
import { NamedGroup } from "./code_points.ts";
import { answerHybrid, HYBRID_RANDOMNESS_BYTES, startHybrid } from "./crypto/hybrid.ts";
import { KEY_EXCHANGE_RANDOMNESS_BYTES, type KeyShares } from "./crypto/provider.ts";
import { DtlsError, DtlsFault } from "./errors.ts";
import type { KeyShare } from "./extensions.ts";
import type { HandshakeIo } from "./handshake.ts";

type Source = Pick<HandshakeIo, "entropy" | "provider" | "eraseAfterHandshake">;

/**
 * Starts an exchange in a group, whose private key is zeroed when the handshake ends at the latest. Throws
 * {@linkcode DtlsError} for a group that is not implemented.
 */
export function startKeyExchange(source: Source, group: number): KeyShares {
  const exchange = newKeyExchange(source, group);
  source.eraseAfterHandshake(exchange);
  return exchange;
}

function newKeyExchange({ entropy, provider }: Source, group: number): KeyShares {
  if (group === NamedGroup.X25519_MLKEM768) {
    const randomness = entropy(HYBRID_RANDOMNESS_BYTES);
    const exchange = startHybrid(provider, randomness);
    randomness.fill(0);
    return exchange;
  }
  const name = groupName(group);
  if (name === undefined) {
    const text = codePointName(NamedGroup, group);
    throw new DtlsError("bad-option", `the group ${text} is not implemented`);
  }
  const randomness = entropy(KEY_EXCHANGE_RANDOMNESS_BYTES);
  const exchange = provider.keyExchange(name, randomness);
  randomness.fill(0);
  return exchange;
}

/**
 * A server's answer to a client's share in DTLS 1.3: its own share, and the secret. Throws {@linkcode DtlsFault} for a
 * share that is not a valid one, and {@linkcode DtlsError} for a group that is not implemented.
 */
export function answerKeyShare(
  source: Source,
  { group, publicKey }: KeyShare,
): { readonly publicKey: Uint8Array; readonly sharedSecret: Uint8Array } {
  const answer = group === NamedGroup.X25519_MLKEM768
    ? answerWithHybrid(source, publicKey)
    : answerWithOwnShare(startKeyExchange(source, group), publicKey);
  if (answer === undefined) {
    throw new DtlsFault("illegal-parameter", "the client's key share is not a valid public value");
  }
  return answer;
}

function answerWithHybrid({ entropy, provider }: Source, clientShare: Uint8Array) {
  const randomness = entropy(HYBRID_RANDOMNESS_BYTES);
  const answer = answerHybrid(provider, randomness, clientShare);
  randomness.fill(0);
  return answer;
}

function answerWithOwnShare(exchange: KeyShares, clientShare: Uint8Array) {
  const sharedSecret = exchange.sharedSecret(clientShare);
  return sharedSecret && { publicKey: exchange.publicKey, sharedSecret };
}
