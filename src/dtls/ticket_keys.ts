// A server's tickets: the state of an association, sealed under keys that rotate, so that the client keeps it (RFC 5077
// section 4, RFC 8446 section 4.6.1).

import { ByteReader, DecodeError } from "../base/byte_reader.ts";
import { ByteWriter } from "../base/byte_writer.ts";
import { equalBytes } from "../base/bytes.ts";
import { type Entropy, type Milliseconds, NEVER } from "../base/core.ts";
import { shortBytes } from "../base/short_bytes.ts";
import { NONCE_BYTES } from "./crypto/aead_shape.ts";
import type { Aead, CryptoProvider } from "./crypto/provider.ts";
import { DtlsError } from "./errors.ts";
import {
  readResumableState,
  type ResumableState,
  SESSION_LIFETIME_MS_MAX,
  writeResumableState,
} from "./session.ts";

/**
 * Bytes of one ticket. A ClientHello has to fit the 4 KiB that an endpoint keeps for strangers, so an association whose
 * chain is larger than this leaves is not resumed.
 */
export const TICKET_BYTES_MAX = 2_560;

/** How long a ticket is taken for by default. */
export const TICKET_LIFETIME_MS: Milliseconds = 86_400_000;

/** Bytes of a key's name, which stands in front of each of its tickets. */
const TICKET_KEY_NAME_BYTES = 16;

/** Bytes of a key: AES-256-GCM's. */
const TICKET_KEY_BYTES = 32;

/** Keys that open tickets at one time. */
const KEYS_MAX = 8;

/** NIST SP 800-38D section 8.3: with random nonces one key seals at most this often. */
const SEALS_MAX = 2 ** 32;

const FORMAT = 1;
const ZONE_BYTES = 8;

/** What a ticket tells the server that made it, or one that shares its keys. */
export interface TicketState extends ResumableState {
  /** When the ticket was made. */
  readonly issuedAt: Milliseconds;
  /** The address that the client was reached at. */
  readonly address: string | undefined;
  /** What the ticket may be used for once: see `SingleUseTickets`. */
  readonly singleUse: SingleUseTicket | undefined;
}

/** A ticket among those that are good once for more than resumption. */
export interface SingleUseTicket {
  /** 8 bytes: who keeps account of its use. */
  readonly zone: Uint8Array;
  /** Which of the zone's tickets it is. */
  readonly number: number;
}

/** One key of tickets, as endpoints share it. */
export interface TicketKey {
  /** 16 bytes that tell it from other keys, and no secret. */
  readonly name: Uint8Array;
  /** 32 bytes, of AES-256-GCM. */
  readonly key: Uint8Array;
}

/** Options of {@linkcode TicketKeys}. */
export interface TicketKeysOptions {
  /** Where AES-256-GCM comes from. */
  readonly provider: CryptoProvider;
  /** Unpredictable bytes, for keys and nonces. */
  readonly entropy: Entropy;
  /** How long a ticket is taken for, 7 days at most. Default: `TICKET_LIFETIME_MS`, a day. */
  readonly lifetimeMs?: Milliseconds;
  /**
   * How long one key seals before a new one takes its place; it opens what it sealed for a ticket's lifetime more.
   * Default: the lifetime. `Infinity`: keys change by {@linkcode TicketKeys.importKeys} alone, as they must where
   * several processes share them.
   */
  readonly rotationMs?: Milliseconds;
}

interface LiveKey extends TicketKey {
  readonly aead: Aead;
  seals: number;
  /** For a key that no longer seals. */
  opensUntil: Milliseconds;
}

/** Seals and opens tickets. One object may serve several endpoints. */
export class TicketKeys {
  /** How long a ticket is taken for. */
  readonly lifetimeMs: Milliseconds;
  readonly #provider: CryptoProvider;
  readonly #entropy: Entropy;
  readonly #rotationMs: Milliseconds;
  /** The first seals. */
  #keys: LiveKey[] = [];
  #rotateAt: Milliseconds;

  /** Keys that begin with a random one. Throws {@linkcode DtlsError} for times out of their range. */
  constructor(options: TicketKeysOptions, now: Milliseconds) {
    const { lifetimeMs = TICKET_LIFETIME_MS, rotationMs = lifetimeMs } = options;
    if (!(lifetimeMs > 0 && lifetimeMs <= SESSION_LIFETIME_MS_MAX)) {
      throw new DtlsError("bad-option", "a ticket lives for 7 days at most");
    }
    if (!(rotationMs * (KEYS_MAX - 1) >= lifetimeMs)) {
      throw new DtlsError("bad-option", `more than ${KEYS_MAX} keys would be alive at one time`);
    }
    this.lifetimeMs = lifetimeMs;
    this.#provider = options.provider;
    this.#entropy = options.entropy;
    this.#rotationMs = rotationMs;
    this.#rotateAt = now + rotationMs;
    this.#keys = [this.#makeKey()];
  }

  #makeKey(): LiveKey {
    return this.#liveKey({
      name: this.#entropy(TICKET_KEY_NAME_BYTES),
      key: this.#entropy(TICKET_KEY_BYTES),
    });
  }

  #liveKey({ name, key }: TicketKey): LiveKey {
    const aead = this.#provider.aead("aes-256-gcm", key);
    return { name, key, aead, seals: 0, opensUntil: NEVER };
  }

  /** A ticket of a state; `undefined` where it would be larger than {@linkcode TICKET_BYTES_MAX}. */
  seal(state: TicketState, now: Milliseconds): Uint8Array | undefined {
    this.#rotate(now);
    const current = this.#keys[0];
    if (current === undefined) return undefined;
    const writer = new ByteWriter();
    writeState(writer, state);
    const plaintext = writer.view();
    const { aead, name } = current;
    const headBytes = TICKET_KEY_NAME_BYTES + NONCE_BYTES;
    const ticket = shortBytes(headBytes + plaintext.length + aead.tagBytes);
    if (ticket.length <= TICKET_BYTES_MAX) {
      const nonce = this.#entropy(NONCE_BYTES);
      ticket.set(name);
      ticket.set(nonce, TICKET_KEY_NAME_BYTES);
      aead.seal(nonce, name, plaintext, ticket.subarray(headBytes));
      current.seals++;
    }
    plaintext.fill(0);
    writer.discard();
    return ticket.length <= TICKET_BYTES_MAX ? ticket : undefined;
  }

  /**
   * The state of a ticket that one of the keys sealed and that is not too old; `undefined` for any other bytes. The
   * secret is the caller's to zero.
   */
  open(ticket: Uint8Array, now: Milliseconds): TicketState | undefined {
    this.#rotate(now);
    if (ticket.length > TICKET_BYTES_MAX) return undefined;
    const headBytes = TICKET_KEY_NAME_BYTES + NONCE_BYTES;
    const name = ticket.subarray(0, TICKET_KEY_NAME_BYTES);
    const key = this.#keys.find((candidate) => equalBytes(candidate.name, name));
    if (key === undefined || ticket.length < headBytes + key.aead.tagBytes) return undefined;
    const nonce = ticket.subarray(TICKET_KEY_NAME_BYTES, headBytes);
    const plaintext = key.aead.open(nonce, name, ticket.subarray(headBytes));
    if (plaintext === undefined) return undefined;
    const state = decodeState(plaintext);
    if (state === undefined) return undefined;
    const { issuedAt, authenticatedAt, secret } = state;
    const isAlive = issuedAt <= now && now - issuedAt < this.lifetimeMs &&
      now - authenticatedAt < SESSION_LIFETIME_MS_MAX;
    if (isAlive) return state;
    secret.fill(0);
    return undefined;
  }

  /** The keys as they are, the one that seals first. Whoever has them can read tickets and make them. */
  exportKeys(): TicketKey[] {
    return this.#keys.map(({ name, key }) => ({ name: name.slice(), key: key.slice() }));
  }

  /**
   * Takes the place of the keys: the first seals, all open. What was there before opens for a ticket's lifetime more.
   * Throws {@linkcode DtlsError} for none, for too many, and for sizes that are wrong.
   */
  importKeys(keys: readonly TicketKey[], now: Milliseconds): void {
    const isShaped = ({ name, key }: TicketKey) =>
      name.length === TICKET_KEY_NAME_BYTES && key.length === TICKET_KEY_BYTES;
    if (keys.length === 0 || keys.length > KEYS_MAX || !keys.every(isShaped)) {
      throw new DtlsError("bad-option", `1 to ${KEYS_MAX} keys of tickets are to be imported`);
    }
    const imported = keys.map(({ name, key }) =>
      this.#liveKey({ name: name.slice(), key: key.slice() })
    );
    const old = this.#keys;
    this.#keys = imported;
    this.#retire(old, now);
    this.#rotateAt = now + this.#rotationMs;
  }

  #rotate(now: Milliseconds): void {
    const current = this.#keys[0];
    if (current === undefined) return;
    if (now >= this.#rotateAt || current.seals >= SEALS_MAX) {
      const old = this.#keys;
      this.#keys = [this.#makeKey()];
      this.#retire(old, now);
      this.#rotateAt = now + this.#rotationMs;
    }
    this.#dropExpired(now);
  }

  /** Keeps keys that are to seal no more, as long as a ticket of theirs can be alive. */
  #retire(keys: readonly LiveKey[], now: Milliseconds): void {
    for (const key of keys) {
      key.opensUntil = Math.min(key.opensUntil, now + this.lifetimeMs);
      const isThere = this.#keys.some(({ name }) => equalBytes(name, key.name));
      if (isThere) eraseKey(key);
      else this.#keys.push(key);
    }
    this.#dropExpired(now);
  }

  #dropExpired(now: Milliseconds): void {
    const isKept = ({ opensUntil }: LiveKey, index: number) => index < KEYS_MAX && now < opensUntil;
    if (this.#keys.every(isKept)) return;
    for (const key of this.#keys.filter((key, index) => !isKept(key, index))) eraseKey(key);
    this.#keys = this.#keys.filter(isKept);
  }

  /** Zeroes the keys: no ticket is made or taken after that. */
  destroy(): void {
    for (const key of this.#keys.splice(0)) eraseKey(key);
  }
}

function eraseKey({ key, aead }: LiveKey): void {
  key.fill(0);
  aead.destroy();
}

function writeState(writer: ByteWriter, state: TicketState): void {
  writeResumableState(writer.u8(FORMAT), state);
  const { singleUse, address = "" } = state;
  // No address is that long.
  writer.u48(Math.floor(state.issuedAt)).text(1, 3 * address.length > 255 ? "" : address);
  if (singleUse !== undefined) {
    writer.bytes(singleUse.zone).u48(singleUse.number);
  }
}

/** `undefined` for a form of another release. */
function decodeState(plaintext: Uint8Array): TicketState | undefined {
  try {
    const reader = new ByteReader(plaintext);
    if (reader.u8() !== FORMAT) return undefined;
    const common = readResumableState(reader);
    const issuedAt = reader.u48();
    const addressBytes = reader.u8();
    const address = addressBytes === 0 ? undefined : reader.text(addressBytes);
    const singleUse = reader.remaining === 0
      ? undefined
      : { zone: reader.bytes(ZONE_BYTES), number: reader.u48() };
    reader.expectEnd();
    return { ...common, issuedAt, address, singleUse };
  } catch (error) {
    if (!(error instanceof DecodeError)) throw error;
    return undefined;
  }
}
