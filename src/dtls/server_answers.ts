// How a server answers what a client offers for records: connection IDs, the check of a new address, and sizes.

import { EMPTY_BYTES } from "../base/bytes.ts";
import { ExtensionType } from "./code_points.ts";
import { decodeExtension, encodeConnectionId, type Extensions } from "./extensions.ts";
import type { HandshakeIo } from "./handshake.ts";
import type { DtlsServerOptions, DtlsVersion } from "./options.ts";
import { encodeRecordSizeLimit, negotiateRecordSizes } from "./record_size_limit.ts";

/** A client's offer, and where the answers to it go. */
interface Answering {
  readonly options: DtlsServerOptions;
  readonly offered: Extensions;
  readonly answers: Map<number, Uint8Array>;
}

/**
 * Agrees to connection IDs, where both ends want them, and to the return routability check. `connectionId` is the
 * client's. Returns whether the check was agreed to.
 */
export function answerConnectionIds(
  io: HandshakeIo,
  connectionId: Uint8Array | undefined,
  { options, offered, answers }: Answering,
): boolean {
  if (connectionId === undefined || options.connectionId === undefined) return false;
  answers.set(ExtensionType.CONNECTION_ID, encodeConnectionId(options.connectionId));
  io.setConnectionIds(options.connectionId, connectionId);
  decodeExtension(offered, ExtensionType.RRC, (reader) => reader.expectEnd());
  // RFC 9853 section 3: "If the client includes the `rrc` extension in its ClientHello but omits the `connection_id`
  // extension, the server MUST NOT include the `rrc` extension in its ServerHello."
  if (!offered.has(ExtensionType.RRC) || options.pathPolicy === "fixed") return false;
  answers.set(ExtensionType.RRC, EMPTY_BYTES);
  return true;
}

/** Settles the sizes of records, where the client has a limit. */
export function answerRecordSizes(
  io: HandshakeIo,
  version: DtlsVersion,
  { options, offered, answers }: Answering,
): void {
  const own = negotiateRecordSizes(io, { version, options, extensions: offered });
  if (own !== undefined) answers.set(ExtensionType.RECORD_SIZE_LIMIT, encodeRecordSizeLimit(own));
}
