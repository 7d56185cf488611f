// Protected records from outside an association: sealed in any form, and opened to see what was sent.

import { ByteReader } from "../../src/base/byte_reader.ts";
import { ByteWriter } from "../../src/base/byte_writer.ts";
import { concatBytes, EMPTY_BYTES, fromHex } from "../../src/base/bytes.ts";
import { codePointName } from "../../src/base/code_points.ts";
import { decodeAck } from "../../src/dtls/ack.ts";
import { suiteParameters } from "../../src/dtls/cipher_suites.ts";
import { ContentType, HandshakeType } from "../../src/dtls/code_points.ts";
import { nodeProvider } from "../../src/dtls/crypto/node.ts";
import {
  readHandshakeFragment,
  writeHandshakeFragment,
} from "../../src/dtls/handshake_fragment.ts";
import type { KeyLogLabel } from "../../src/dtls/key_log.ts";
import { nextTrafficSecret, trafficKeys } from "../../src/dtls/key_schedule.ts";
import { encodeNewSessionTicket } from "../../src/dtls/new_session_ticket.ts";
import { PLAINTEXT_HEADER_BYTES, writePlaintextRecord } from "../../src/dtls/record.ts";

/** The form of a record: everything that a sender is free to choose. */
export interface RecordForm {
  readonly epoch: number;
  readonly number: number;
  readonly type: number;
  readonly content: Uint8Array;
  readonly connectionId?: Uint8Array;
  /** A record number of 8 bits. Default: 16. */
  readonly isShort?: boolean;
  /** No length field. */
  readonly isLast?: boolean;
  /** Zeros after the content type. */
  readonly paddingBytes?: number;
}

/** The keys of one direction of one epoch, derived from its traffic secret. */
export class RecordKit {
  readonly #keys;
  readonly #aead;
  readonly #suite;

  constructor(secret: Uint8Array, suite = 0x1301) {
    this.#suite = suiteParameters(suite)!;
    const { aead, hash } = this.#suite;
    this.#keys = trafficKeys({ provider: nodeProvider, aead, hash }, secret);
    this.#aead = nodeProvider.aead(aead, this.#keys.key);
  }

  #nonce(number: number): Uint8Array {
    const nonce = this.#keys.iv.slice();
    const view = new DataView(nonce.buffer);
    view.setBigUint64(4, view.getBigUint64(4) ^ BigInt(number));
    return nonce;
  }

  #mask(sealed: Uint8Array): Uint8Array {
    const cipher = nodeProvider.recordNumberCipher(this.#suite.aead, this.#keys.recordNumberKey);
    try {
      return cipher.mask(sealed.subarray(0, 16)).slice();
    } finally {
      cipher.destroy();
    }
  }

  /** A record in the given form. */
  seal(form: RecordForm): Uint8Array {
    const id = form.connectionId ?? EMPTY_BYTES;
    const inner = concatBytes(
      form.content,
      new Uint8Array([form.type]),
      new Uint8Array(form.paddingBytes ?? 0),
    );
    const header = new ByteWriter().u8(
      0x20 | (id.length > 0 ? 0x10 : 0) | (form.isShort ? 0 : 8) | (form.isLast ? 0 : 4) |
        form.epoch % 4,
    ).bytes(id);
    if (form.isShort) header.u8(form.number % 256);
    else header.u16(form.number % 65_536);
    if (!form.isLast) header.u16(inner.length + 16);
    const record = concatBytes(header.view(), new Uint8Array(inner.length + 16));
    const sealed = record.subarray(record.length - inner.length - 16);
    this.#aead.seal(this.#nonce(form.number), header.view(), inner, sealed);
    const mask = this.#mask(sealed);
    record[1 + id.length]! ^= mask[0]!;
    if (!form.isShort) record[2 + id.length]! ^= mask[1]!;
    return record;
  }

  /** Opens a record with a 16-bit number and a length, as this library sends them; the first 65,536 of an epoch. */
  open(record: Uint8Array, idBytes: number): { number: number; inner: Uint8Array } | undefined {
    const header = record.slice(0, 1 + idBytes + 4);
    const sealed = record.subarray(header.length);
    const mask = this.#mask(sealed);
    header[1 + idBytes]! ^= mask[0]!;
    header[2 + idBytes]! ^= mask[1]!;
    const number = header[1 + idBytes]! << 8 | header[2 + idBytes]!;
    const inner = this.#aead.open(this.#nonce(number), header, sealed);
    return inner === undefined ? undefined : { number, inner };
  }
}

/** A record that was seen on the way. */
export interface SeenRecord {
  readonly epoch: number;
  readonly number: number;
  readonly type: number;
  readonly content: Uint8Array;
}

/** The secret of a line of a key log. Throws where it is not there. */
export function loggedSecret(keyLog: readonly string[], label: KeyLogLabel): Uint8Array {
  const line = keyLog.findLast((one) => one.startsWith(`${label} `));
  if (line === undefined) throw new Error(`${label} was not logged`);
  return fromHex(line.split(" ")[2]!);
}

/** The kit of an end's records in epoch 2 or one after, from a key log. */
export function recordKit(
  keyLog: readonly string[],
  from: "client" | "server",
  epoch: number,
  suite = 0x1301,
): RecordKit {
  const end = from === "client" ? "CLIENT" : "SERVER";
  const label = epoch === 2 ? `${end}_HANDSHAKE_TRAFFIC_SECRET` : `${end}_TRAFFIC_SECRET_0`;
  let secret = loggedSecret(keyLog, label as KeyLogLabel);
  const parameters = { provider: nodeProvider, hash: suiteParameters(suite)!.hash };
  for (let at = 3; at < epoch; at++) secret = nextTrafficSecret(parameters, secret);
  return new RecordKit(secret, suite);
}

/** Epochs after key updates that are tried to open what was seen. */
const SEEN_EPOCH_MAX = 20;

/** Opens a record in the first epoch with these low bits that fits. */
function openSeen(
  record: Uint8Array,
  from: "client" | "server",
  keyLog: readonly string[],
  { suite, idBytes = 0 }: { readonly suite?: number; readonly idBytes?: number },
): SeenRecord | undefined {
  const bits = record[0]! & 3;
  for (let epoch = bits < 2 ? bits + 4 : bits; epoch <= SEEN_EPOCH_MAX; epoch += 4) {
    const opened = recordKit(keyLog, from, epoch, suite).open(record, idBytes);
    if (opened === undefined) continue;
    const { inner, number } = opened;
    const end = inner.findLastIndex((byte) => byte !== 0);
    return { epoch, number, type: inner[end]!, content: inner.subarray(0, end) };
  }
  return undefined;
}

/** Opens every record of a datagram with the secrets of a key log. Throws for one that does not open. */
export function seeRecords(
  datagram: Uint8Array,
  from: "client" | "server",
  keyLog: readonly string[],
  form: { readonly suite?: number; readonly idBytes?: number } = {},
): SeenRecord[] {
  const seen: SeenRecord[] = [];
  const reader = new ByteReader(datagram);
  while (reader.remaining > 0) {
    const start = reader.offset;
    const first = reader.u8();
    if ((first & 0xe0) !== 0x20) {
      reader.u16();
      const epoch = reader.u16();
      seen.push({ epoch, number: reader.u48(), type: first, content: reader.opaque(2) });
      continue;
    }
    reader.bytes((form.idBytes ?? 0) + 2);
    reader.opaque(2);
    const opened = openSeen(datagram.subarray(start, reader.offset), from, keyLog, form);
    if (opened === undefined) {
      throw new Error(`a record with the first byte ${first} does not open`);
    }
    seen.push(opened);
  }
  return seen;
}

/** A record as a short text: `2:4 FINISHED#5`, `2:1 CERTIFICATE#3[0..900/2000]`, `3:0 ACK 2:0 2:1`, `3:1 ALERT 0`. */
export function describeRecord({ epoch, number, type, content }: SeenRecord): string {
  const head = `${epoch}:${number}`;
  if (type === ContentType.ACK) {
    return [head, "ACK", ...decodeAck(content).map((one) => `${one.epoch}:${one.recordNumber}`)]
      .join(" ");
  }
  if (type === ContentType.ALERT) return `${head} ALERT ${content[1]}`;
  if (type !== ContentType.HANDSHAKE) return `${head} DATA ${content.length}`;
  const texts: string[] = [];
  const reader = new ByteReader(content);
  while (reader.remaining > 0) {
    const { type, messageSeq, offset, body, messageBytes } = readHandshakeFragment(reader);
    const range = body.length === messageBytes
      ? ""
      : `[${offset}..${offset + body.length}/${messageBytes}]`;
    texts.push(`${codePointName(HandshakeType, type)}#${messageSeq}${range}`);
  }
  return [head, ...texts].join(" ");
}

/** A record of epoch 0. */
export function plaintextRecord(
  type: number,
  content: Uint8Array,
  number = 0,
  epoch = 0,
): Uint8Array {
  const record = new Uint8Array(PLAINTEXT_HEADER_BYTES + content.length);
  writePlaintextRecord(record, 0, type, number, content);
  record[4] = epoch;
  return record;
}

/** A whole handshake message, or a piece of it, with its header. */
export function handshakeMessage(
  type: number,
  messageSeq: number,
  body: Uint8Array,
  offset = 0,
  lengthBytes = body.length,
): Uint8Array {
  const writer = new ByteWriter();
  writeHandshakeFragment(writer, { type, messageSeq, body }, offset, lengthBytes);
  return writer.finish();
}

/** The body of a NewSessionTicket that a client has no use for: 40 bytes, of no lifetime. */
export const TICKET_BODY: Uint8Array = encodeNewSessionTicket({
  lifetimeSeconds: 0,
  ageAdd: 0,
  nonce: new Uint8Array(0),
  ticket: new Uint8Array(27),
  earlyDataBytesMax: 0,
});
