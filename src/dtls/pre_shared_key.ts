// The extensions of PSKs: pre_shared_key with its binders, and psk_key_exchange_modes (RFC 8446 sections 4.2.9 and
// 4.2.11).

import type { ByteReader } from "../base/byte_reader.ts";
import { ByteWriter } from "../base/byte_writer.ts";
import { shortBytes } from "../base/short_bytes.ts";
import { ExtensionType, HandshakeType, PskKeyExchangeMode } from "./code_points.ts";
import { HASH_BYTES } from "./crypto/hkdf.ts";
import type { Hash, HashName } from "./crypto/provider.ts";
import { DtlsFault } from "./errors.ts";
import type { Extensions } from "./extensions.ts";
import {
  EarlySecret,
  equalSecrets,
  finishedVerifyData,
  type KeyScheduleParameters,
  type PskKind,
} from "./key_schedule.ts";
import { hashMessage } from "./transcript.ts";

/** One PSK of an offer. */
export interface PskIdentity {
  /** A ticket, or the name of an external PSK. */
  readonly identity: Uint8Array;
  /** See `ticket_age.ts`; 0 for an external PSK. */
  readonly obfuscatedAge: number;
}

/** A client's offer of PSKs. */
export interface OfferedPsks {
  /** The client's best first. */
  readonly identities: readonly PskIdentity[];
  /** One for each of the identities. */
  readonly binders: readonly Uint8Array[];
  /** Bytes of the list of binders with its length, which ends the ClientHello. */
  readonly bindersBytes: number;
}

/** Reads a client's offer. */
export function readOfferedPsks(reader: ByteReader): OfferedPsks {
  const list = reader.vector(2, 7);
  const identities: PskIdentity[] = [];
  while (list.remaining > 0) {
    identities.push({ identity: list.opaque(2, 1), obfuscatedAge: list.u32() });
  }
  const bindersBytes = reader.remaining;
  const binderList = reader.vector(2, 1);
  const binders: Uint8Array[] = [];
  // One that is shorter than any hash is wrong where it is compared.
  while (binderList.remaining > 0) binders.push(binderList.opaque(1, 1));
  if (identities.length !== binders.length) {
    throw new DtlsFault("illegal-parameter", "an offer of PSKs has not one binder for each");
  }
  return { identities, binders, bindersBytes };
}

/** An offer whose binders, one of each hash, are zeros for {@linkcode setBinders} to fill. */
export function encodeOfferedPsks(
  identities: readonly PskIdentity[],
  hashes: readonly HashName[],
): Uint8Array {
  return new ByteWriter(1_024)
    .vector(2, (writer) => {
      for (const { identity, obfuscatedAge } of identities) {
        writer.opaque(2, identity).u32(obfuscatedAge);
      }
    })
    .vector(2, (writer) => {
      for (const hash of hashes) writer.opaque(1, shortBytes(HASH_BYTES[hash]));
    })
    .finishShort();
}

/** Fills the binders of a ClientHello's body, in the order of the offer. */
export function setBinders(body: Uint8Array, binders: readonly Uint8Array[]): void {
  let end = body.length;
  for (const binder of binders.toReversed()) {
    body.set(binder, end - binder.length);
    end -= binder.length + 1;
  }
}

/** Bytes of the binders that {@linkcode encodeOfferedPsks} leaves room for, with their lengths. */
export function bindersBytesOf(hashes: readonly HashName[]): number {
  return hashes.reduce((bytes, hash) => bytes + 1 + HASH_BYTES[hash], 2);
}

/** What a binder is made of. */
export interface BinderParameters extends KeyScheduleParameters {
  readonly psk: Uint8Array;
  readonly kind: PskKind;
}

/**
 * The binder of a PSK in a ClientHello whose list of binders has `bindersBytes` bytes. `before` is the transcript
 * before it, empty for a first one. The ClientHello's length stands "as if binders of the correct lengths were present"
 * (RFC 8446 section 4.2.11.2).
 */
export function pskBinder(
  parameters: BinderParameters,
  before: Hash,
  body: Uint8Array,
  bindersBytes: number,
): Uint8Array {
  const transcript = before.copy();
  hashMessage(transcript, HandshakeType.CLIENT_HELLO, body, body.length - bindersBytes);
  const earlySecret = new EarlySecret(parameters, parameters.psk);
  const binderKey = earlySecret.binderKey(parameters.kind);
  const binder = finishedVerifyData(parameters, binderKey, transcript.digest());
  binderKey.fill(0);
  earlySecret.destroy();
  return binder;
}

/**
 * Checks the binder of the PSK that a server has selected, in a time that does not depend on its value. RFC 8446
 * section 4.2.11: "If this value is not present or does not validate, the server MUST abort the handshake."
 */
export function checkBinder(
  parameters: BinderParameters,
  before: Hash,
  body: Uint8Array,
  offered: OfferedPsks,
  index: number,
): void {
  const expected = pskBinder(parameters, before, body, offered.bindersBytes);
  if (!equalSecrets(expected, offered.binders[index]!)) {
    throw new DtlsFault("bad-binder", "the binder of the PSK does not match the ClientHello");
  }
}

/**
 * RFC 8446 section 4.2.11: "The "pre_shared_key" extension MUST be the last extension in the ClientHello [...] Servers
 * MUST check that it is the last extension and otherwise fail the handshake with an "illegal_parameter" alert."
 */
export function requireLast(extensions: Extensions): void {
  const types = [...extensions.keys()];
  const at = types.indexOf(ExtensionType.PRE_SHARED_KEY);
  if (at >= 0 && at !== types.length - 1) {
    throw new DtlsFault("illegal-parameter", "pre_shared_key is not the last extension");
  }
}

/** Reads the server's choice among the offered PSKs. */
export function readSelectedIdentity(reader: ByteReader): number {
  return reader.u16();
}

/** The form that {@linkcode readSelectedIdentity} reads. */
export function encodeSelectedIdentity(index: number): Uint8Array {
  return new ByteWriter(2).u16(index).finishShort();
}

/** Reads the ways in which a client uses PSKs. */
export function readPskKeyExchangeModes(reader: ByteReader): Uint8Array {
  return reader.opaque(1, 1);
}

/**
 * The one way that is offered: with (EC)DHE, so that who learns a PSK later reads nothing of before; pitfall "(EC)DHE
 * dropped from a PSK handshake".
 */
export const PSK_KEY_EXCHANGE_MODES: Uint8Array = Uint8Array.of(1, PskKeyExchangeMode.PSK_DHE_KE);
