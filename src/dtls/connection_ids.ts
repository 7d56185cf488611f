// The connection IDs of an association, those that it is found by and those that it sends with, and the messages that
// bring new ones (RFC 9147 section 9).

import { ByteReader } from "../base/byte_reader.ts";
import { ByteWriter } from "../base/byte_writer.ts";
import { EMPTY_BYTES, equalBytes } from "../base/bytes.ts";
import type { Entropy } from "../base/core.ts";
import { DtlsError, DtlsFault } from "./errors.ts";

const ConnectionIdUsage = { CID_IMMEDIATE: 0, CID_SPARE: 1 } as const;

/** A NewConnectionId message: IDs that its sender wants in records to it. */
export interface NewConnectionId {
  readonly connectionIds: readonly Uint8Array[];
  /** One of them is to be used at once; else they are spare. */
  readonly isImmediate: boolean;
}

/** The body of a NewConnectionId. */
export function encodeNewConnectionId({ connectionIds, isImmediate }: NewConnectionId): Uint8Array {
  return new ByteWriter(64).vector(2, (writer) => {
    for (const id of connectionIds) writer.opaque(1, id);
  }).u8(isImmediate ? ConnectionIdUsage.CID_IMMEDIATE : ConnectionIdUsage.CID_SPARE).finishShort();
}

/** Decodes a NewConnectionId. Throws `DecodeError`, or {@linkcode DtlsFault} for values that make no sense. */
export function decodeNewConnectionId(body: Uint8Array): NewConnectionId {
  const reader = new ByteReader(body);
  const list = reader.vector(2);
  const usage = reader.u8();
  reader.expectEnd();
  const connectionIds: Uint8Array[] = [];
  while (list.remaining > 0) connectionIds.push(list.opaque(1).slice());
  // A record cannot tell an empty ID from none.
  if (connectionIds.some((id) => id.length === 0)) {
    throw new DtlsFault("illegal-parameter", "a NewConnectionId with an empty ID");
  }
  if (usage !== ConnectionIdUsage.CID_IMMEDIATE && usage !== ConnectionIdUsage.CID_SPARE) {
    throw new DtlsFault("illegal-parameter", "a NewConnectionId with an unknown usage");
  }
  return { connectionIds, isImmediate: usage === ConnectionIdUsage.CID_IMMEDIATE };
}

/** The body of a RequestConnectionId. */
export function encodeRequestConnectionId(count: number): Uint8Array {
  return new ByteWriter(1).u8(count).finishShort();
}

/** How many IDs a RequestConnectionId asks for. Throws `DecodeError`. */
export function decodeRequestConnectionId(body: Uint8Array): number {
  const reader = new ByteReader(body);
  const count = reader.u8();
  reader.expectEnd();
  return count;
}

/** Where the IDs of records to this side come from. All have the same length, so that records can be read. */
export interface ConnectionIdSource {
  /** A fresh, unpredictable ID. Records that carry it are this association's from now on. */
  issue(): Uint8Array;
  /** No record to this side carries this ID any more. */
  retire(connectionId: Uint8Array): void;
}

/** IDs of an association that nobody else has to tell from others. */
export function ownConnectionIds(entropy: Entropy, lengthBytes: number): ConnectionIdSource {
  return { issue: () => entropy(lengthBytes), retire: () => {} };
}

/** The IDs that the peer may put into records to this side. */
export class ReceiveConnectionIds {
  readonly #source: ConnectionIdSource | undefined;
  readonly #countMax: number;
  /** In the order in which they were given. */
  readonly #ids: Uint8Array[];
  /** Where in the list the newest is that the peer has used. */
  #newestUsed = 0;
  /** Requests since the peer last began to use another ID. */
  #requests = 0;

  /**
   * Begins with the ID of the handshake, empty for none, and where others come from; at most `countMax` are valid at
   * one time.
   */
  constructor(first: Uint8Array, source: ConnectionIdSource | undefined, countMax: number) {
    this.#ids = [first];
    this.#source = source;
    this.#countMax = countMax;
  }

  /** Bytes of each ID; 0 where records carry none. */
  get lengthBytes(): number {
    return this.first.length;
  }

  /** The IDs that are valid, in the order in which they were given; one that is empty where records carry none. */
  get all(): readonly Uint8Array[] {
    return this.#ids;
  }

  /** The first of them. */
  get first(): Uint8Array {
    return this.#ids[0] ?? EMPTY_BYTES;
  }

  /** Whether a record with an ID, `undefined` for none, is for this side. */
  accepts(id: Uint8Array | undefined): boolean {
    if (this.lengthBytes === 0) return id === undefined;
    return id !== undefined && this.#ids.some((own) => equalBytes(own, id));
  }

  /** An authenticated record carried an ID. */
  onUsed(id: Uint8Array): void {
    const newest = this.#ids[this.#newestUsed];
    if (newest !== undefined && equalBytes(newest, id)) return;
    const at = this.#ids.findIndex((own) => equalBytes(own, id));
    if (at <= this.#newestUsed) return;
    this.#newestUsed = at;
    this.#requests = 0;
  }

  /**
   * Gives the peer up to `count` more IDs, fewer where that would be too many; the oldest that it has moved on from
   * make room. `isImmediate` wants it to use one of them at once. Throws {@linkcode DtlsError} without connection
   * IDs.
   */
  provide(count: number, isImmediate = false): NewConnectionId {
    // RFC 9147 section 9: "Implementations which either did not negotiate the "connection_id" extension or which have
    // negotiated receiving an empty CID MUST NOT send NewConnectionId."
    const source = this.#source;
    if (this.lengthBytes === 0 || source === undefined) {
      throw new DtlsError("no-connection-ids", "records to this side carry no connection IDs");
    }
    const spare = this.#ids.length - 1 - this.#newestUsed;
    const room = this.#countMax - 1 - spare;
    const connectionIds: Uint8Array[] = [];
    while (connectionIds.length < Math.min(count, room)) {
      if (this.#ids.length >= this.#countMax) this.#retireOldest(source);
      const id = source.issue();
      if (id.length !== this.lengthBytes) {
        throw new DtlsError("bad-option", "connection IDs of one association differ in length");
      }
      this.#ids.push(id);
      connectionIds.push(id);
    }
    return { connectionIds, isImmediate: isImmediate && connectionIds.length > 0 };
  }

  #retireOldest(source: ConnectionIdSource): void {
    const oldest = this.#ids.shift();
    this.#newestUsed--;
    if (oldest !== undefined) source.retire(oldest);
  }

  /**
   * Takes a RequestConnectionId and returns what answers it. Throws {@linkcode DtlsFault} or `DecodeError` where it
   * must not be, or is one of more than `requestsMax` that came to nothing.
   */
  onRequest(body: Uint8Array, requestsMax: number): NewConnectionId {
    // RFC 9147 section 9: "Implementations MUST NOT send RequestConnectionId when sending an empty Connection ID.
    // Implementations which detect a violation of these rules MUST terminate the connection with an
    // "unexpected_message" alert."
    if (this.lengthBytes === 0) {
      throw new DtlsFault("unexpected-message", "a RequestConnectionId without connection IDs");
    }
    const count = decodeRequestConnectionId(body);
    // RFC 9147 section 9: "Endpoints MAY handle an excessive number of RequestConnectionId messages by terminating the
    // connection using a "too_many_cids_requested" (alert number 52) alert." IDs that are used are no excess.
    if (++this.#requests > requestsMax) {
      throw new DtlsFault("too-many-cids-requested", "connection IDs are asked for and not used");
    }
    // RFC 9147 section 9: "An endpoint MAY handle requests which it considers excessive by responding with a
    // NewConnectionId message containing fewer than num_cids CIDs, including no CIDs at all."
    return this.provide(count);
  }
}

/** The IDs that the peer wants in records to it. */
export class SendConnectionIds {
  readonly #spareMax: number;
  #current: Uint8Array = EMPTY_BYTES;
  #spare: Uint8Array[] = [];
  #isRequestOpen = false;

  /** At most `spareMax` IDs are kept for later. */
  constructor(spareMax: number) {
    this.#spareMax = spareMax;
  }

  /** The handshake has settled on an ID, empty for none. */
  begin(current: Uint8Array): void {
    this.#current = current;
  }

  /** The ID to send with, empty for none. */
  get current(): Uint8Array {
    return this.#current;
  }

  /** The ID for records to an address that the peer may be reached at: a fresh one, where there is one. */
  get next(): Uint8Array {
    return this.#spare[0] ?? this.#current;
  }

  /** How many IDs are kept for later. */
  get spareCount(): number {
    return this.#spare.length;
  }

  /**
   * Goes on to the next ID, where there is one. RFC 9147 section 9: "Implementations SHOULD use a new CID whenever
   * sending on a new path".
   */
  useNext(): void {
    // RFC 9147 section 9: "Endpoints SHOULD use receiver-provided CIDs in the order they were provided."
    this.#current = this.#spare.shift() ?? this.#current;
  }

  /** Takes a NewConnectionId. Throws {@linkcode DtlsFault} or `DecodeError` where it must not be. */
  onNewConnectionId(body: Uint8Array): void {
    // RFC 9147 section 9, as for RequestConnectionId above.
    if (this.#current.length === 0) {
      throw new DtlsFault("unexpected-message", "a NewConnectionId without connection IDs");
    }
    const { connectionIds, isImmediate } = decodeNewConnectionId(body);
    this.#isRequestOpen = false;
    // RFC 9147 section 9: "If usage is set to "cid_immediate", then one of the new CIDs MUST be used immediately for
    // all future records." One of those before would not be: they are given up.
    if (isImmediate) {
      const [first] = connectionIds;
      if (first === undefined) {
        throw new DtlsFault("illegal-parameter", "no connection ID to be used at once");
      }
      this.#current = first;
      this.#spare = [];
    }
    // RFC 9147 section 9: "Implementations which receive more spare CIDs than they wish to maintain MAY simply discard
    // any extra CIDs."
    this.#spare.push(...connectionIds.slice(isImmediate ? 1 : 0));
    this.#spare.length = Math.min(this.#spare.length, this.#spareMax);
  }

  /**
   * The body of a RequestConnectionId for up to `count` IDs, or `undefined` where as many are spare or another
   * request is open. Throws {@linkcode DtlsError} without connection IDs.
   */
  request(count: number): Uint8Array | undefined {
    if (this.#current.length === 0) {
      throw new DtlsError("no-connection-ids", "the peer's records carry no connection IDs");
    }
    const wanted = Math.min(count, this.#spareMax) - this.#spare.length;
    // RFC 9147 section 9: "Endpoints MUST NOT send a RequestConnectionId message when an existing request is still
    // unfulfilled".
    if (this.#isRequestOpen || wanted <= 0) return undefined;
    this.#isRequestOpen = true;
    return encodeRequestConnectionId(wanted);
  }
}
