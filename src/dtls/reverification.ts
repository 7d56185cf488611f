// Whether a resumption may rest on what authenticated the peer before: chains expire, are revoked and lose their roots,
// and external PSKs are taken away.

import { equalBytes } from "../base/bytes.ts";
import type { Milliseconds } from "../base/core.ts";
import { DtlsFault } from "./errors.ts";
import type { DtlsOptions, PeerVerifier } from "./options.ts";
import type { ResumableState } from "./session.ts";

/** Whether anything at all authenticated the peer. */
export function isPeerIdentified({ peerChain, pskIdentity }: ResumableState): boolean {
  return peerChain.length > 0 || pskIdentity !== undefined;
}

/** Whether a chain is still accepted, and a PSK still known. */
export function isPeerStillTrusted(
  { peerChain, pskIdentity }: ResumableState,
  options: DtlsOptions & { readonly verifyPeer?: PeerVerifier },
  now: Milliseconds,
): boolean {
  const { externalPsks = [], verifyPeer, reverifyPeer = true } = options;
  if (
    pskIdentity !== undefined &&
    !externalPsks.some(({ identity }) => equalBytes(identity, pskIdentity))
  ) return false;
  if (peerChain.length === 0) return true;
  if (verifyPeer === undefined) return false;
  if (!reverifyPeer) return true;
  try {
    verifyPeer(peerChain, now);
    return true;
  } catch (error) {
    if (!(error instanceof DtlsFault)) throw error;
    return false;
  }
}
