// What a peer is trusted for: the chain that it presents, and on resumption what authenticated it before. Chains
// expire, are revoked and lose their roots, and external PSKs are taken away.

import { equalBytes } from "../base/bytes.ts";
import type { Milliseconds } from "../base/core.ts";
import { DtlsError, DtlsFault } from "./errors.ts";
import type { DtlsOptions, PeerVerifier, VerifiedPeer } from "./options.ts";
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

/** Verifies the chain that a peer has just presented. Throws `DtlsFault` for one that is refused. */
export function verifyChain(
  verifyPeer: PeerVerifier | undefined,
  chain: readonly Uint8Array[],
  now: Milliseconds,
): VerifiedPeer {
  if (verifyPeer === undefined) {
    throw new DtlsError("bad-option", "certificates are asked for without a verifier of them");
  }
  return verifyPeer(chain, now);
}
