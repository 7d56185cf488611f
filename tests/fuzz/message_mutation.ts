// Handshake messages, damaged inside: their extension blocks and lists are taken apart, changed, and put together again
// with the right lengths.

import { ByteReader, DecodeError } from "../../src/base/byte_reader.ts";
import { ByteWriter } from "../../src/base/byte_writer.ts";
import { concatBytes } from "../../src/base/bytes.ts";
import { ExtensionType, HandshakeType } from "../../src/dtls/code_points.ts";
import type { Random } from "../harness/random.ts";
import { mutated, mutatedList } from "./mutation.ts";

/** An extension as it stands in a block. */
export interface RawExtension {
  readonly type: number;
  readonly data: Uint8Array;
}

/** Types beyond those that this library knows: of other standards, of none, and GREASE (RFC 8701). */
const OTHER_TYPES = [
  1,
  5,
  11,
  15,
  18,
  20,
  22,
  23,
  28,
  35,
  48,
  53,
  56,
  57,
  61,
  0x0a0a,
  0xff01,
  65_535,
];

/** A mutation of a message's body, half of the time inside of its structure. */
export function mutatedMessage(
  random: Random,
  type: number,
  body: Uint8Array,
  other: Uint8Array,
): Uint8Array {
  if (random.chance(0.4)) return mutated(random, body, other);
  return type === HandshakeType.CERTIFICATE
    ? withOtherCertificates(random, body, other)
    : mutatedExtensions(random, type, body, other);
}

/** A mutation of a message's extensions; of all of it, where it has none. */
export function mutatedExtensions(
  random: Random,
  type: number,
  body: Uint8Array,
  other: Uint8Array,
): Uint8Array {
  const block = readBlock(type, body);
  if (block === undefined) return mutated(random, body, other);
  const { head, extensions } = block;
  const newHead = random.chance(0.1) ? mutated(random, head, other) : head;
  return writeBlock({ head: newHead, extensions }, otherExtensions(random, extensions, other));
}

/** A message that ends with an extension block. */
export interface MessageWithBlock {
  /** What stands before the block. */
  readonly head: Uint8Array;
  readonly extensions: readonly RawExtension[];
}

/** Takes a message apart; `undefined` where it has no extension block. */
export function readBlock(type: number, body: Uint8Array): MessageWithBlock | undefined {
  try {
    const at = blockOffset(type, body);
    if (at === undefined) return undefined;
    const block = new ByteReader(body.subarray(at)).vector(2);
    const extensions: RawExtension[] = [];
    while (block.remaining > 0) extensions.push({ type: block.u16(), data: block.opaque(2) });
    return { head: body.subarray(0, at), extensions };
  } catch (error) {
    // A body that is none of its type's has no structure to keep.
    if (!(error instanceof DecodeError)) throw error;
    return undefined;
  }
}

/** Puts a message together again, with other extensions. */
export function writeBlock(
  { head }: MessageWithBlock,
  extensions: readonly RawExtension[],
): Uint8Array {
  return concatBytes(head, encodeBlock(extensions));
}

/** Where the extension block of a message begins. */
function blockOffset(type: number, body: Uint8Array): number | undefined {
  const reader = new ByteReader(body);
  switch (type) {
    case HandshakeType.CLIENT_HELLO:
      reader.bytes(34);
      for (const lengthSize of [1, 1, 2, 1] as const) reader.opaque(lengthSize);
      return reader.offset;
    case HandshakeType.SERVER_HELLO:
      reader.bytes(34);
      reader.opaque(1);
      reader.bytes(3);
      return reader.offset;
    case HandshakeType.ENCRYPTED_EXTENSIONS:
      return 0;
    case HandshakeType.CERTIFICATE_REQUEST:
      reader.opaque(1);
      return reader.offset;
    case HandshakeType.NEW_SESSION_TICKET:
      reader.bytes(8);
      reader.opaque(1);
      reader.opaque(2);
      return reader.offset;
    default:
      return undefined;
  }
}

/** Other extensions: one to three changes of a list. */
function otherExtensions(
  random: Random,
  extensions: readonly RawExtension[],
  other: Uint8Array,
): readonly RawExtension[] {
  let result = extensions;
  const foreign = () => ({ type: anyType(random), data: anyData(random, extensions) });
  for (let i = random.integer(1, 3); i > 0; i--) {
    result = mutatedList(
      random,
      result,
      foreign,
      ({ type, data }) =>
        random.chance(0.2)
          ? { type: anyType(random), data }
          : { type, data: otherData(random, data, other) },
    );
  }
  return result;
}

function anyType(random: Random): number {
  return random.pick(random.chance(0.7) ? Object.values(ExtensionType) : OTHER_TYPES);
}

function anyData(random: Random, extensions: readonly RawExtension[]): Uint8Array {
  if (extensions.length > 0 && random.chance(0.3)) return random.pick(extensions).data;
  const bytes = random.bytes(random.integer(0, 12));
  return random.chance(0.5) ? bytes : vector(bytes, random.integer(1, 2));
}

function vector(content: Uint8Array, lengthSize: number): Uint8Array {
  const writer = new ByteWriter();
  if (lengthSize === 1) writer.u8(content.length % 256);
  else writer.u16(content.length);
  return writer.bytes(content).finish();
}

/** Changes the data, or what stands behind its own length, which is set right again. */
function otherData(random: Random, data: Uint8Array, other: Uint8Array): Uint8Array {
  for (const lengthSize of [1, 2]) {
    const length = lengthSize === 1 ? data[0] : (data[0] ?? 0) << 8 | (data[1] ?? 0);
    if (data.length < 3 || length !== data.length - lengthSize || random.chance(0.3)) continue;
    return vector(mutated(random, data.subarray(lengthSize), other), lengthSize);
  }
  return mutated(random, data, other);
}

function encodeBlock(extensions: readonly RawExtension[]): Uint8Array {
  return new ByteWriter(512).vector(2, (writer) => {
    for (const { type, data } of extensions) {
      writer.u16(type).opaque(2, data.subarray(0, 4_000));
    }
  }).finish();
}

type CertificateEntry = readonly [certificate: Uint8Array, extensions: Uint8Array];

function readCertificates(body: Uint8Array) {
  try {
    const reader = new ByteReader(body);
    const context = reader.opaque(1);
    const list = reader.vector(3);
    const entries: CertificateEntry[] = [];
    while (list.remaining > 0) entries.push([list.opaque(3), list.opaque(2)]);
    return { context, entries };
  } catch (error) {
    if (!(error instanceof DecodeError)) throw error;
    return undefined;
  }
}

/** Another list of certificates in a Certificate message of DTLS 1.3. */
function withOtherCertificates(random: Random, body: Uint8Array, other: Uint8Array): Uint8Array {
  const message = readCertificates(body);
  if (message === undefined) return mutated(random, body, other);
  const { context, entries } = message;
  const changed = mutatedList<CertificateEntry>(
    random,
    entries,
    () => [random.bytes(20), new Uint8Array(0)],
    ([certificate, extensions]) =>
      random.chance(0.3)
        ? [certificate, mutated(random, extensions, other)]
        : [mutated(random, certificate, other), extensions],
  );
  const writer = new ByteWriter(2_048).opaque(1, random.chance(0.1) ? random.bytes(3) : context);
  writer.vector(3, () => {
    for (const [certificate, extensions] of changed) {
      writer.opaque(3, certificate).opaque(2, extensions);
    }
  });
  return writer.finish();
}
