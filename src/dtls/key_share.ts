// This side's share of a key exchange, fresh for every handshake.

import { codePointName } from "../base/code_points.ts";
import { groupName } from "./cipher_suites.ts";
import { NamedGroup } from "./code_points.ts";
import { KEY_EXCHANGE_RANDOMNESS_BYTES, type KeyExchange } from "./crypto/provider.ts";
import { DtlsError } from "./errors.ts";
import type { HandshakeIo } from "./handshake.ts";

/** Starts an exchange in a group. Throws {@linkcode DtlsError} for one that is not implemented. */
export function startKeyExchange(
  { entropy, provider }: Pick<HandshakeIo, "entropy" | "provider">,
  group: number,
): KeyExchange {
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
