// Reads the examples and tables of PROTOCOL.md, and knows how each kind of example is decoded and encoded.

import { decode as msgpackDecode, encode as msgpackEncode } from "@msgpack/msgpack";
import { DecodeError } from "../../src/base/byte_reader.ts";
import { fromHex, toHex } from "../../src/base/bytes.ts";
import { AckState } from "../../src/transport/ack_state.ts";
import { decodeAck, encodeAck, isAcked } from "../../src/wire/ack.ts";
import { decodeBatchResponse, encodeBatchResponse } from "../../src/wire/batch_payload.ts";
import { decodeControl } from "../../src/wire/control.ts";
import { CREDIT_BYTES, decodeCredit, encodeCredit } from "../../src/wire/credit.ts";
import { decodeError, encodeError } from "../../src/wire/error_payload.ts";
import {
  appendChange,
  decodeFeedPage,
  encodeChanges,
  encodeMark,
  type FeedMark,
} from "../../src/wire/feed_page.ts";
import { decodeFeedResponse, encodeFeedResponse } from "../../src/wire/feed_payload.ts";
import {
  decodeFragment,
  encodeFragmentPrefix,
  FRAGMENT_PREFIX_BYTES,
} from "../../src/wire/fragment.ts";
import { decodePacket, Flag, type MessageType, PacketWriter } from "../../src/wire/frame.ts";
import {
  decodeHandshakeRequest,
  decodeHandshakeResponse,
  encodeHandshakeRequest,
  encodeHandshakeResponse,
} from "../../src/wire/handshake_payload.ts";
import {
  decodeHeartbeat,
  encodeHeartbeat,
  type HeartbeatKind,
} from "../../src/wire/heartbeat_payload.ts";
import { decodeMove, encodeMove, type MoveTransport } from "../../src/wire/move_payload.ts";
import { PAGE_PREFIX_BYTES } from "../../src/wire/page_cutter.ts";
import { PageStream } from "../../src/wire/page_stream.ts";
import { decodeParams, encodeParams } from "../../src/wire/params.ts";
import { decodeQuery, encodeQuery } from "../../src/wire/query_payload.ts";
import {
  decodePrepared,
  decodeResponse,
  encodeDone,
  encodePrepared,
  encodeResponse,
} from "../../src/wire/response_payload.ts";
import {
  decodeRowPage,
  encodeTrailer,
  RowPageWriter,
  type Trailer,
} from "../../src/wire/row_page.ts";
import {
  decodeStreamData,
  encodeStreamDataPrefix,
  STREAM_DATA_PREFIX_BYTES,
} from "../../src/wire/stream_data.ts";
import {
  decodeStreamEnd,
  encodeStreamEnd,
  STREAM_END_PREFIX_BYTES,
} from "../../src/wire/stream_end.ts";
import { decodeStatus, encodeStatus } from "../../src/wire/status_payload.ts";
import { decodeTermination, encodeTermination } from "../../src/wire/termination_payload.ts";
import { type Row, type SqlParams, type SqlValue, Timestamp } from "../../src/wire/value.ts";
import { ValueReader } from "../../src/wire/value_reader.ts";
import { NumberKind, ValueWriter } from "../../src/wire/value_writer.ts";

/** What JSON can say. */
export type Json = null | boolean | number | string | readonly Json[] | {
  readonly [key: string]: Json;
};

/** One fenced block of the document. */
export interface Example {
  readonly kind: "example" | "refused";
  readonly name: string;
  readonly codec: string;
  readonly bytes: Uint8Array;
  /** The JSON of an example, the reason of a refusal. */
  readonly meaning: string;
}

/** The document's text. */
export function readProtocol(): string {
  return Deno.readTextFileSync(new URL("../../src/wire/PROTOCOL.md", import.meta.url));
}

/** All examples of the document. Throws where a block is malformed. */
export function readExamples(text: string): Example[] {
  const examples: Example[] = [];
  for (const [, info, body] of text.matchAll(/^```((?:example|refused)[^\n]*)\n([^]*?)\n```$/gm)) {
    const head = /^(example|refused) name=(\S+) codec=(\S+)$/.exec(info!);
    const parts = body!.split("\n---\n");
    if (head === null || parts.length !== 2) throw new Error(`a malformed example: ${info}`);
    examples.push({
      kind: head[1] as Example["kind"],
      name: head[2]!,
      codec: head[3]!,
      bytes: fromHex(parts[0]!.replace(/#.*$/gm, "")),
      meaning: parts[1]!,
    });
  }
  return examples;
}

/** The rows of the first table after a heading, each a list of its cells. */
export function readTable(text: string, heading: string, skip = 0): string[][] {
  const from = text.indexOf(`\n${heading}\n`);
  if (from < 0) throw new Error(`no heading ${heading}`);
  const tables = [...text.slice(from).matchAll(/(?:^\|.*\n)+/gm)].map((match) => match[0]);
  const rows = tables[skip]!.trimEnd().split("\n").slice(2);
  return rows.map((row) => row.slice(1, -1).split("|").map((cell) => cell.trim()));
}

/** How one kind of example is checked. `decode` throws `DecodeError`. */
export interface ExampleCodec {
  decode(bytes: Uint8Array, expected: Json): Json;
  encode(json: Json): Uint8Array;
}

/** A codec that is given JSON of a form of its own: the comparison with the bytes shows whether it had it. */
function codec<Form = Json>(
  decode: (bytes: Uint8Array, expected: Form) => Json,
  encode: (json: Form) => Uint8Array,
): ExampleCodec {
  return {
    decode: (bytes, expected) => decode(bytes, expected as Form),
    encode: (json) => encode(json as Form),
  };
}

/** A byte string as JSON. */
interface HexBytes {
  readonly bytes: string;
}

/** A control payload: read with another MessagePack codec, and written by way of the typed form. */
function control<T>(
  decode: (bytes: Uint8Array) => T,
  encode: (typed: T) => Uint8Array,
): ExampleCodec {
  return codec((bytes) => {
    decode(bytes);
    return toJson(msgpackDecode(bytes, { useBigInt64: true }));
  }, (json) => encode(decode(msgpackEncode(fromJson(json), { useBigInt64: true }))));
}

function toJson(value: unknown): Json {
  if (value instanceof Uint8Array) return { bytes: toHex(value) };
  if (typeof value === "bigint") return { int: `${value}` };
  if (Array.isArray(value)) return value.map(toJson);
  if (typeof value === "object" && value !== null) {
    return Object.fromEntries(Object.entries(value).map(([key, entry]) => [key, toJson(entry)]));
  }
  return value as Json;
}

function fromJson(json: Json): unknown {
  if (Array.isArray(json)) return json.map(fromJson);
  if (typeof json !== "object" || json === null) return json;
  if ("bytes" in json) return fromHex(String(json.bytes));
  if ("int" in json) return BigInt(String(json.int));
  return Object.fromEntries(Object.entries(json).map(([key, entry]) => [key, fromJson(entry)]));
}

/** A value as an engine binds it: integers are `bigint`s. */
function valueToJson(value: SqlValue): Json {
  if (typeof value === "bigint") return { int: `${value}` };
  if (typeof value === "number") return { float: Object.is(value, -0) ? "-0" : `${value}` };
  if (typeof value === "string") return { text: value };
  if (value instanceof Uint8Array) return { bytes: toHex(value) };
  if (!(value instanceof Date)) return value;
  const seconds = Math.floor(value.getTime() / 1000);
  const fine = value instanceof Timestamp ? value.nanosecondsInMillisecond : 0;
  return { seconds, nanoseconds: (value.getTime() - seconds * 1000) * 1_000_000 + fine };
}

/** A value as JSON, in the form that the document's introduction gives. */
type ValueJson =
  | null
  | boolean
  | { readonly int: string }
  | { readonly float: string }
  | { readonly text: string }
  | HexBytes
  | { readonly seconds: number; readonly nanoseconds: number };

function valueFromJson(json: ValueJson): SqlValue {
  if (typeof json !== "object" || json === null) return json;
  if ("int" in json) return BigInt(json.int);
  if ("float" in json) return Number(json.float);
  if ("text" in json) return json.text;
  if ("bytes" in json) return fromHex(json.bytes);
  const fine = json.nanoseconds % 1_000_000;
  const epochMs = json.seconds * 1000 + (json.nanoseconds - fine) / 1_000_000;
  return fine === 0 ? new Date(epochMs) : new Timestamp(epochMs, fine);
}

/** A row's values: whole numbers in the examples of rows are integers. */
function rowToJson(row: Row): Json {
  return row.map((value) => valueToJson(typeof value === "number" ? BigInt(value) : value));
}

/** A page of changes as JSON. */
interface ChangesJson {
  readonly table: number;
  readonly changes: readonly (readonly (readonly ValueJson[] | null)[])[];
}

function streamData(fin: boolean): ExampleCodec {
  return codec<{ stream_id: number; offset: number; bytes: HexBytes }>((bytes) => {
    const data = decodeStreamData(bytes, fin);
    return { stream_id: data.streamId, offset: data.offset, bytes: { bytes: toHex(data.bytes) } };
  }, ({ stream_id, offset, bytes: { bytes } }) => {
    const payload = new Uint8Array(STREAM_DATA_PREFIX_BYTES + bytes.length / 2);
    encodeStreamDataPrefix(payload, stream_id, offset).set(fromHex(bytes));
    return payload;
  });
}

/** A packet as JSON. */
interface PacketJson {
  readonly sequence_number: number;
  readonly frames: readonly {
    readonly type: number;
    readonly flags: number;
    readonly session_id: string;
    readonly request_id: number;
    readonly payload: string;
  }[];
}

function encodePacket(packet: PacketJson): Uint8Array {
  const sessionId = BigInt("0x" + packet.frames[0]!.session_id);
  const writer = new PacketWriter(packet.sequence_number, sessionId, 2_000);
  for (const { type, flags, request_id, payload } of packet.frames) {
    const bytes = fromHex(payload);
    writer.frame(type as MessageType, flags, request_id, bytes.length).set(bytes);
  }
  return writer.finish();
}

/** Puts the fragments of a packet's frames together, in the order in which they stand. */
function joinFragments(bytes: Uint8Array): Json {
  const { frames } = decodePacket(bytes);
  const parts = frames.map(({ payload }) => decodeFragment(payload));
  const whole = new Uint8Array(parts[0]!.totalBytes);
  for (const part of parts) whole.set(part.bytes, part.offset);
  return { type: frames[0]!.type, request_id: frames[0]!.requestId, message: toHex(whole) };
}

/** How the document cuts its message: 12 bytes, and the rest with 2 bytes of overlap. */
function cutFragments(
  { type, request_id, message }: { type: number; request_id: number; message: string },
): Uint8Array {
  const bytes = fromHex(message);
  const writer = new PacketWriter(3, 0x1122334455667788n, 2_000);
  for (const [start, end] of [[0, 12], [10, bytes.length]] as const) {
    const payload = writer.frame(
      type as MessageType,
      Flag.FRAGMENT,
      request_id,
      FRAGMENT_PREFIX_BYTES + end - start,
    );
    encodeFragmentPrefix(payload, start, bytes.length).set(bytes.subarray(start, end));
  }
  return writer.finish();
}

/** The packet number that a receiver takes for these low bits. */
function packetNumber(low: number, largestReceived: number): number {
  const acks = new AckState();
  acks.onPacket(largestReceived, false, false, 0);
  return acks.decodeNumber(low);
}

/** The codecs by the name that the document gives them. */
export const CODECS: Readonly<Record<string, ExampleCodec>> = {
  "packet": codec((bytes) => {
    const { sequenceNumber, frames } = decodePacket(bytes);
    return {
      sequence_number: sequenceNumber,
      frames: frames.map(({ type, flags, sessionId, requestId, payload }) => ({
        type,
        flags,
        session_id: sessionId.toString(16).padStart(16, "0"),
        request_id: requestId,
        payload: toHex(payload),
      })),
    };
  }, encodePacket),
  "packet-number": codec<{ largest_received: number; packet_number: number }>(
    (bytes, { largest_received }) => {
      const low = new DataView(bytes.buffer).getUint32(0);
      return { largest_received, packet_number: packetNumber(low, largest_received) };
    },
    ({ packet_number }) => fromHex((packet_number % 2 ** 32).toString(16).padStart(8, "0")),
  ),
  "ack": codec<{ largest: number; delay_us: number; received: readonly number[] }>((bytes) => {
    const ack = decodeAck(bytes);
    const received: number[] = [];
    for (let number = ack.largest; number >= Math.max(0, ack.largest - 2048); number--) {
      if (isAcked(ack, number)) received.push(number);
    }
    return { largest: ack.largest, delay_us: ack.delayUs, received };
  }, ({ largest, delay_us, received }) => {
    const bitmap = new Uint8Array(Math.ceil((largest - received.at(-1)!) / 8));
    for (const number of received.slice(1)) {
      const bit = largest - 1 - number;
      bitmap[bit >> 3]! |= 0x80 >> (bit & 7);
    }
    const payload = new Uint8Array(12 + bitmap.length);
    encodeAck(payload, { largest, delayUs: delay_us, bitmap });
    return payload;
  }),
  "fragment": codec<{ offset: number; total: number; bytes: HexBytes }>((bytes) => {
    const fragment = decodeFragment(bytes);
    return {
      offset: fragment.offset,
      total: fragment.totalBytes,
      bytes: { bytes: toHex(fragment.bytes) },
    };
  }, ({ offset, total, bytes: { bytes } }) => {
    const payload = new Uint8Array(FRAGMENT_PREFIX_BYTES + bytes.length / 2);
    encodeFragmentPrefix(payload, offset, total).set(fromHex(bytes));
    return payload;
  }),
  "fragments": codec(joinFragments, cutFragments),
  "stream-data": streamData(false),
  "stream-data-fin": streamData(true),
  "stream-end": codec<{ stream_id: number; final_offset: number; error: Json }>((bytes) => {
    const { streamId, finalOffset, error } = decodeStreamEnd(bytes);
    decodeError(error);
    return { stream_id: streamId, final_offset: finalOffset, error: toJson(msgpackDecode(error)) };
  }, ({ stream_id, final_offset, error }) => {
    const encoded = encodeError(decodeError(msgpackEncode(error)));
    const payload = new Uint8Array(STREAM_END_PREFIX_BYTES + encoded.length);
    encodeStreamEnd(payload, { streamId: stream_id, finalOffset: final_offset, error: encoded });
    return payload;
  }),
  "credit": codec<{ stream_id: number; maximum: number }>((bytes) => {
    const { streamId, maximum } = decodeCredit(bytes);
    return { stream_id: streamId, maximum };
  }, ({ stream_id, maximum }) => {
    const payload = new Uint8Array(CREDIT_BYTES);
    encodeCredit(payload, stream_id, maximum);
    return payload;
  }),
  "heartbeat": codec<{ kind: number; token: string; padding: number }>(
    (bytes) => {
      const { kind, token, paddingBytes } = decodeHeartbeat(bytes);
      return { kind, token: token.toString(16).padStart(16, "0"), padding: paddingBytes };
    },
    ({ kind, token, padding }) =>
      encodeHeartbeat({
        kind: kind as HeartbeatKind,
        token: BigInt("0x" + token),
        paddingBytes: padding,
      }),
  ),
  "move": codec<{ transport: number; reason: number }>(
    (bytes) => ({ ...decodeMove(bytes) }),
    ({ transport, reason }) => encodeMove({ transport: transport as MoveTransport, reason }),
  ),
  "query": control(decodeQuery, (command) => {
    if (command.cmd === "unknown") throw new DecodeError("an unknown command");
    return encodeQuery(command);
  }),
  "response": control(decodeResponse, encodeResponse),
  "response-prepare": control(decodePrepared, encodePrepared),
  "response-batch": control(decodeBatchResponse, encodeBatchResponse),
  "response-status": control(decodeStatus, encodeStatus),
  "response-subscribe": control(decodeFeedResponse, encodeFeedResponse),
  "feed-mark": control((bytes) => {
    const mark = decodeFeedPage(bytes, []);
    if (mark === undefined || mark.kind === "changes") throw new DecodeError("no known mark");
    return mark;
  }, (mark: FeedMark) => encodeMark(mark).subarray(PAGE_PREFIX_BYTES)),
  "feed-changes-2": codec<ChangesJson>((bytes) => {
    const page = decodeFeedPage(bytes, [2, 2]);
    if (page?.kind !== "changes") throw new DecodeError("no page of changes");
    const changes = page.changes.map(({ before, after }) =>
      [before, after].map((row) => row === null ? null : rowToJson(row))
    );
    return { table: page.table, changes };
  }, ({ table, changes }) => {
    const writer = new ValueWriter();
    for (const change of changes) {
      const [before, after] = change.map((row) => row?.map(valueFromJson) ?? null);
      appendChange(writer, before!, after!);
    }
    return encodeChanges(table, changes.length, writer.view()).subarray(PAGE_PREFIX_BYTES);
  }),
  "response-done": control(decodeControl, encodeDone),
  "error": control(decodeError, encodeError),
  "handshake-request": control(decodeHandshakeRequest, encodeHandshakeRequest),
  "handshake-response": control(decodeHandshakeResponse, encodeHandshakeResponse),
  "termination": control(decodeTermination, encodeTermination),
  "value": codec<ValueJson>((bytes) => {
    const reader = new ValueReader(bytes, { integersAsBigInt: true });
    const value = reader.value();
    reader.expectEnd();
    return valueToJson(value);
  }, (json) => {
    const writer = new ValueWriter();
    writer.value(valueFromJson(json), NumberKind.FLOAT64);
    return writer.view();
  }),
  "params": codec<readonly ValueJson[] | { readonly [name: string]: ValueJson }>((bytes) => {
    const params = decodeParams(bytes);
    if (params.kind === "positional") return params.values.map(valueToJson);
    return Object.fromEntries(
      [...params.values].map(([name, value]) => [name, valueToJson(value)]),
    );
  }, (json) => {
    // A float that is whole cannot be told from an integer among JavaScript's parameters, so it is written as an
    // engine writes rows.
    const writer = new ValueWriter();
    if (Array.isArray(json)) {
      writer.arrayHead(json.length);
      for (const value of json) writer.value(valueFromJson(value), NumberKind.FLOAT64);
      return writer.view();
    }
    return encodeParams(
      Object.fromEntries(
        Object.entries(json).map(([name, value]) => [name, valueFromJson(value)]),
      ) as SqlParams,
    );
  }),
  "row-page-2": codec<readonly (readonly ValueJson[])[]>(
    (bytes) => decodeRowPage(bytes, 2).map(rowToJson),
    (rows) => {
      const writer = new RowPageWriter();
      for (const row of rows) writer.append(row.map(valueFromJson));
      return writer.takePayload();
    },
  ),
  "result-stream": codec<{ rows: readonly (readonly ValueJson[])[]; trailer: Trailer }>((bytes) => {
    const stream = new PageStream(1);
    stream.push(bytes);
    const rows: Json[] = [];
    for (let page = stream.nextRows(); page !== undefined; page = stream.nextRows()) {
      rows.push(...page.map(rowToJson));
    }
    return { columns: 1, rows, trailer: toJson(stream.finish()) };
  }, ({ rows, trailer }) => {
    const writer = new RowPageWriter();
    for (const row of rows) writer.append(row.map(valueFromJson));
    return new Uint8Array([...writer.takePage(), ...encodeTrailer(trailer)]);
  }),
};
