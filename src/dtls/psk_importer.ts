// External PSKs, and what each handshake takes in their place (RFC 9258).

import { ByteWriter } from "../base/byte_writer.ts";
import { EMPTY_BYTES } from "../base/bytes.ts";
import { ProtocolVersion } from "./code_points.ts";
import { DTLS13_LABEL_PREFIX, HASH_BYTES, hkdfExpandLabel, hkdfExtract } from "./crypto/hkdf.ts";
import type { CryptoProvider, HashName } from "./crypto/provider.ts";
import type { PskKind } from "./key_schedule.ts";

/** A key that both ends were given by other means than DTLS. */
export interface ExternalPsk {
  /** What both ends call it, in the clear: 1 byte or more. */
  readonly identity: Uint8Array;
  /** At least 16 bytes of entropy: a password is none, since whoever records a handshake can try them all. */
  readonly key: Uint8Array;
  /** What both ends know of each other besides (RFC 9258 section 5.1). Default: nothing. */
  readonly context?: Uint8Array;
  /** The hash that belongs to the key. Default: SHA-256. */
  readonly hash?: HashName;
  /**
   * Whether keys for each protocol and hash are derived from it, as RFC 9258 has it. `false`: it is used as it is,
   * with suites of its hash alone, for peers that know nothing else. Default: `true`.
   */
  readonly isImported?: boolean;
}

/** A PSK as one handshake offers it. */
export interface OfferablePsk {
  /** What the ClientHello calls it. */
  readonly identity: Uint8Array;
  /** The PSK; the object's own, to be zeroed. */
  readonly key: Uint8Array;
  /** Its suites are those of this hash. */
  readonly hash: HashName;
  /** Where it is from. */
  readonly kind: PskKind;
}

/** RFC 9258 section 10: the target KDFs. */
const TARGET_KDFS: Readonly<Partial<Record<HashName, number>>> = {
  // HKDF_SHA256 and HKDF_SHA384, which are all that suites have.
  sha256: 0x0001,
  sha384: 0x0002,
};

/** The PSK that suites of `hash` take for an external one; `undefined` where it is for no such suite. */
export function offerablePsk(
  provider: CryptoProvider,
  psk: ExternalPsk,
  hash: HashName,
): OfferablePsk | undefined {
  const identity = offeredIdentity(psk, hash);
  if (identity === undefined) return undefined;
  if (psk.isImported === false) return { identity, key: psk.key.slice(), hash, kind: "external" };
  const ownHash = psk.hash ?? "sha256";
  // RFC 9258 section 5.1: "epskx = HKDF-Extract(0, epsk)
  // ipskx = HKDF-Expand-Label(epskx, "derived psk", Hash(ImportedIdentity), L)", where "L corresponds to the KDF output
  // length of ImportedIdentity.target_kdf", and both KDF and Hash are the external PSK's.
  const extracted = hkdfExtract(provider, ownHash, new Uint8Array(HASH_BYTES[ownHash]), psk.key);
  const identityHash = provider.hash(ownHash);
  identityHash.update(identity);
  const key = hkdfExpandLabel(
    provider,
    ownHash,
    DTLS13_LABEL_PREFIX,
    extracted,
    "derived psk",
    identityHash.digest(),
    HASH_BYTES[hash],
  );
  extracted.fill(0);
  return { identity, key, hash, kind: "imported" };
}

/** The identity that an external PSK is offered by for suites of `hash`; `undefined` where it is for no such suite. */
export function offeredIdentity(psk: ExternalPsk, hash: HashName): Uint8Array | undefined {
  if (psk.isImported === false) {
    return (psk.hash ?? "sha256") === hash ? psk.identity : undefined;
  }
  const kdf = TARGET_KDFS[hash];
  if (kdf === undefined) return undefined;
  // RFC 9258 section 5.1: "struct { opaque external_identity<1...2^16-1>; opaque context<0..2^16-1>;
  // uint16 target_protocol; uint16 target_kdf; } ImportedIdentity;"
  return new ByteWriter(128)
    .opaque(2, psk.identity).opaque(2, psk.context ?? EMPTY_BYTES)
    .u16(ProtocolVersion.DTLS_1_3).u16(kdf).finish();
}
