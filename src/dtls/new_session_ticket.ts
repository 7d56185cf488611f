// NewSessionTicket (RFC 8446 section 4.6.1).

import { ByteReader } from "../base/byte_reader.ts";
import { ByteWriter } from "../base/byte_writer.ts";
import { ExtensionType } from "./code_points.ts";
import { decodeExtension, readExtensions, writeExtensions } from "./extensions.ts";

/** A NewSessionTicket message. */
export interface NewSessionTicket {
  readonly lifetimeSeconds: number;
  readonly ageAdd: number;
  /** Tells the tickets of one association apart. */
  readonly nonce: Uint8Array;
  readonly ticket: Uint8Array;
  /** Bytes of early data that the ticket allows; 0 for none. */
  readonly earlyDataBytesMax: number;
}

/** Decodes a NewSessionTicket body. Throws `DecodeError` or `DtlsFault`. */
export function decodeNewSessionTicket(body: Uint8Array): NewSessionTicket {
  const reader = new ByteReader(body);
  const fields = {
    lifetimeSeconds: reader.u32(),
    ageAdd: reader.u32(),
    nonce: reader.opaque(1),
    ticket: reader.opaque(2, 1),
  };
  // RFC 8446 section 4.6.1: "Clients MUST ignore unrecognized extensions."
  const extensions = readExtensions(reader);
  reader.expectEnd();
  const earlyDataBytesMax = decodeExtension(
    extensions,
    ExtensionType.EARLY_DATA,
    (extension) => extension.u32(),
  );
  return { ...fields, earlyDataBytesMax: earlyDataBytesMax ?? 0 };
}

/** Encodes a NewSessionTicket body. */
export function encodeNewSessionTicket(message: NewSessionTicket): Uint8Array {
  const writer = new ByteWriter(512)
    .u32(message.lifetimeSeconds).u32(message.ageAdd)
    .opaque(1, message.nonce).opaque(2, message.ticket);
  const extensions = new Map<number, Uint8Array>();
  if (message.earlyDataBytesMax > 0) {
    const bytesMax = new ByteWriter(4).u32(message.earlyDataBytesMax).finishShort();
    extensions.set(ExtensionType.EARLY_DATA, bytesMax);
  }
  writeExtensions(writer, extensions);
  return writer.finishShort();
}
