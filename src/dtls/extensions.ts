// Extension blocks and the extensions of the handshake, each decoded where it is asked for (RFC 8446 section 4.2).

import { ByteReader } from "../base/byte_reader.ts";
import { ByteWriter } from "../base/byte_writer.ts";
import { codePointName } from "../base/code_points.ts";
import { lastingBytes } from "../base/short_bytes.ts";
import { ExtensionType } from "./code_points.ts";
import { DtlsFault } from "./errors.ts";

/** The extensions of one message, by type, in the order in which they stood. */
export type Extensions = ReadonlyMap<number, Uint8Array>;

/** One public value of a key exchange. */
export interface KeyShare {
  readonly group: number;
  readonly publicKey: Uint8Array;
}

/** Reads an extension block. Throws `DecodeError`, or {@linkcode DtlsFault} for a type that stands twice. */
export function readExtensions(reader: ByteReader): Extensions {
  const block = reader.vector(2);
  const extensions = new Map<number, Uint8Array>();
  while (block.remaining > 0) {
    const type = block.u16();
    // RFC 8446 section 4.2: "There MUST NOT be more than one extension of the same type in a given extension block."
    if (extensions.has(type)) {
      throw new DtlsFault("decode-error", `extension ${extensionName(type)} stands twice`);
    }
    extensions.set(type, block.opaque(2));
  }
  return extensions;
}

/** Writes an extension block. */
export function writeExtensions(writer: ByteWriter, extensions: Extensions): void {
  writer.vector(2, () => {
    for (const [type, data] of extensions) writer.u16(type).opaque(2, data);
  });
}

/** The name of an extension type, for messages to people. */
export function extensionName(type: number): string {
  return codePointName(ExtensionType, type).toLowerCase();
}

/** Decodes an extension with `decode` if it is there; bytes that `decode` leaves are an error. */
export function decodeExtension<Value>(
  extensions: Extensions,
  type: ExtensionType,
  decode: (reader: ByteReader) => Value,
): Value | undefined {
  const data = extensions.get(type);
  if (data === undefined) return undefined;
  const reader = new ByteReader(data);
  const value = decode(reader);
  reader.expectEnd();
  return value;
}

/** Like {@linkcode decodeExtension}, but the extension has to be there. */
export function requireExtension<Value>(
  extensions: Extensions,
  type: ExtensionType,
  decode: (reader: ByteReader) => Value,
): Value {
  const value = decodeExtension(extensions, type, decode);
  if (value === undefined) {
    throw new DtlsFault("missing-extension", `extension ${extensionName(type)} is missing`);
  }
  return value;
}

/** A list of 16-bit code points behind a length of `lengthSize` bytes: versions, groups, signature schemes. */
export function readCodePoints(reader: ByteReader, lengthSize: 1 | 2): number[] {
  const list = reader.vector(lengthSize, 2);
  const values: number[] = [];
  while (list.remaining > 0) values.push(list.u16());
  return values;
}

/** The form that {@linkcode readCodePoints} reads. */
export function encodeCodePoints(values: readonly number[], lengthSize: 1 | 2): Uint8Array {
  return new ByteWriter(64).vector(lengthSize, (writer) => {
    for (const value of values) writer.u16(value);
  }).finishShort();
}

/** The client's key shares (RFC 8446 section 4.2.8). */
export function readKeyShares(reader: ByteReader): KeyShare[] {
  const list = reader.vector(2);
  const shares = new Map<number, KeyShare>();
  while (list.remaining > 0) {
    const share = readKeyShare(list);
    // RFC 8446 section 4.2.8: "Clients MUST NOT offer multiple KeyShareEntry values for the same group."
    if (shares.has(share.group)) {
      throw new DtlsFault("illegal-parameter", "two key shares for one group");
    }
    shares.set(share.group, share);
  }
  return [...shares.values()];
}

/** One key share, as the server's hello carries it. */
export function readKeyShare(reader: ByteReader): KeyShare {
  return { group: reader.u16(), publicKey: reader.opaque(2, 1) };
}

/** The form that {@linkcode readKeyShares} reads. */
export function encodeKeyShares(shares: readonly KeyShare[]): Uint8Array {
  return new ByteWriter().vector(2, (writer) => {
    for (const { group, publicKey } of shares) writer.u16(group).opaque(2, publicKey);
  }).finishShort();
}

/** The form that {@linkcode readKeyShare} reads. */
export function encodeKeyShare({ group, publicKey }: KeyShare): Uint8Array {
  return new ByteWriter().u16(group).opaque(2, publicKey).finishShort();
}

/** The first host name of a server_name extension, or `undefined` (RFC 6066 section 3). */
export function readServerName(reader: ByteReader): string | undefined {
  const list = reader.vector(2, 1);
  let name: string | undefined;
  while (list.remaining > 0) {
    const type = list.u8();
    const bytes = list.opaque(2, 1);
    if (type === 0) name ??= new ByteReader(bytes).text(bytes.length);
  }
  return name;
}

/** The form that {@linkcode readServerName} reads. */
export function encodeServerName(name: string): Uint8Array {
  return new ByteWriter().vector(2, (writer) => writer.u8(0).text(2, name)).finishShort();
}

/** Protocol names of ALPN (RFC 7301 section 3.1). */
export function readProtocolNames(reader: ByteReader): string[] {
  const list = reader.vector(2, 2);
  const names: string[] = [];
  while (list.remaining > 0) {
    const bytes = list.opaque(1, 1);
    names.push(new ByteReader(bytes).text(bytes.length));
  }
  return names;
}

/** The form that {@linkcode readProtocolNames} reads. */
export function encodeProtocolNames(names: readonly string[]): Uint8Array {
  return new ByteWriter().vector(2, (writer) => {
    for (const name of names) writer.text(1, name);
  }).finishShort();
}

/** A connection ID (RFC 9146 section 3). */
export function readConnectionId(reader: ByteReader): Uint8Array {
  const received = reader.opaque(1);
  const id = lastingBytes(received.length);
  id.set(received);
  return id;
}

/** The form that {@linkcode readConnectionId} reads. */
export function encodeConnectionId(connectionId: Uint8Array): Uint8Array {
  return new ByteWriter(1 + connectionId.length).opaque(1, connectionId).finishShort();
}

/** A cookie (RFC 8446 section 4.2.2). */
export function readCookie(reader: ByteReader): Uint8Array {
  return reader.opaque(2, 1);
}

/** The form that {@linkcode readCookie} reads. */
export function encodeCookie(cookie: Uint8Array): Uint8Array {
  return new ByteWriter(2 + cookie.length).opaque(2, cookie).finishShort();
}

/** The names of certificate authorities, encoded (RFC 8446 section 4.2.4). */
export function readAuthorities(reader: ByteReader): Uint8Array[] {
  const list = reader.vector(2, 3);
  const names: Uint8Array[] = [];
  while (list.remaining > 0) names.push(list.opaque(2, 1));
  return names;
}

/** The form that {@linkcode readAuthorities} reads. */
export function encodeAuthorities(names: readonly Uint8Array[]): Uint8Array {
  return new ByteWriter().vector(2, (writer) => {
    for (const name of names) writer.opaque(2, name);
  }).finishShort();
}
