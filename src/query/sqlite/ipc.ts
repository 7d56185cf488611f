// The messages between the server and its engine processes: u32 length of what follows, u8 type, u32 number of the
// command, body.

import { ByteReader } from "../../base/byte_reader.ts";
import { ByteWriter } from "../../base/byte_writer.ts";
import { concatBytes } from "../../base/bytes.ts";
import { type ErrorPayload, SqpError } from "../../wire/errors.ts";
import type { Column, StatementDescription } from "../../wire/response_payload.ts";
import type { ResultEnd } from "../engine.ts";
import type { SqliteSettings } from "./settings.ts";

/** Types of messages. */
export const MessageKind = {
  /** To the process: open the database. */
  OPEN: 1,
  /** To the process: run a statement and give its first page. */
  EXECUTE: 2,
  /** To the process: give more pages. */
  PULL: 3,
  /** To the process: end a command. It is answered as it would have been, or with CLOSED. */
  CANCEL: 4,
  /** To the process: run a batch. */
  BATCH: 5,
  /** To the process: describe a statement. */
  PREPARE: 6,
  /** To the process: begin or end a transaction, make or end a savepoint. */
  CONTROL: 7,
  /** From the process: the database is open, or why it is not. */
  READY: 16,
  /** From the process: the database could not be opened, and the process ends. */
  FATAL: 17,
  /** From the process: it turns to this statement, which may take its time. */
  RUNNING: 25,
  /** From the writer: this write may be committed from here on. */
  BEGUN: 18,
  HEAD: 19,
  PAGE: 20,
  END: 21,
  ERROR: 22,
  /** From a reader: the statement, or a step of the batch, writes; nothing was run. */
  HAND_OFF: 23,
  /** From the process: a cancelled command is closed. */
  CLOSED: 24,
  /** From the process: the Response to a batch. */
  PAYLOAD: 26,
  /** From the process: what a statement is. */
  DESCRIPTION: 27,
  /** From the process: a CONTROL was done. */
  DONE: 28,
  /** From a reader: the statement, which it had to prepare, cannot run for long. */
  SHORT: 29,
} as const;
export type MessageKind = typeof MessageKind[keyof typeof MessageKind];

/** Bytes of a message before its body. */
const HEADER_BYTES = 9;

/**
 * The longest message: a page of one row of 1 MiB, or a command with 1 MiB of SQL text and as much of parameters,
 * with room.
 */
const MESSAGE_BYTES_MAX = 8 * 1024 * 1024;

/** What a process is for. */
export type ProcessRole = "reader" | "writer";

/** What an engine process is told when it starts. */
export interface OpenMessage {
  readonly role: ProcessRole;
  readonly settings: SqliteSettings;
  /** A folder to remove when the server is gone; the database is a private temporary one. */
  readonly removeAtExit?: string;
}

/** Bytes that messages are gathered in; more are made room for as they come. */
const ROOM_BYTES = 16 * 1024;

const utf8 = new TextEncoder();
// A byte order mark is part of a SQL text.
const text = new TextDecoder("utf-8", { ignoreBOM: true });

/** Bodies of HEAD: a prepared statement has the same columns each time. */
const headBodies = new WeakMap<readonly Column[], Uint8Array>();

/** Columns that were read, by their text, the oldest forgotten first. */
const knownColumns = new Map<string, readonly Column[]>();
const KNOWN_COLUMNS_MAX = 256;

/** Gathers messages into one write. */
export class MessageWriter {
  #writer = new ByteWriter(ROOM_BYTES);

  /** Bytes that wait. */
  get length(): number {
    return this.#writer.length;
  }

  /** Takes the messages gathered so far. */
  take(): Uint8Array {
    const bytes = this.#writer.view();
    this.#writer = new ByteWriter(ROOM_BYTES);
    return bytes;
  }

  /** Gives away the messages gathered so far, which are valid during the call. */
  drain(use: (bytes: Uint8Array) => void): void {
    use(this.#writer.view());
    if (this.#writer.length <= ROOM_BYTES) this.#writer.clear();
    else this.#writer = new ByteWriter(ROOM_BYTES);
  }

  #head(kind: MessageKind, id: number, bodyBytes: number): ByteWriter {
    return this.#writer.u32(HEADER_BYTES - 4 + bodyBytes).u8(kind).u32(id);
  }

  #json(kind: MessageKind, id: number, value: unknown): void {
    const body = utf8.encode(JSON.stringify(value));
    this.#head(kind, id, body.length).bytes(body);
  }

  /** A message without a body. */
  bare(kind: MessageKind, id: number): void {
    this.#head(kind, id, 0);
  }

  open(message: OpenMessage): void {
    this.#json(MessageKind.OPEN, 0, message);
  }

  /** A message with a body that stands already. */
  whole(kind: MessageKind, id: number, body: Uint8Array): void {
    this.#head(kind, id, body.length).bytes(body);
  }

  pull(id: number, pages: number): void {
    this.#head(MessageKind.PULL, id, 4).u32(pages);
  }

  head(id: number, columns: readonly Column[]): void {
    let body = headBodies.get(columns);
    if (body === undefined) {
      body = utf8.encode(JSON.stringify(columns));
      headBodies.set(columns, body);
    }
    this.whole(MessageKind.HEAD, id, body);
  }

  /** `step`: which one of a batch. */
  handOff(id: number, step: number): void {
    this.#head(MessageKind.HAND_OFF, id, 4).u32(step);
  }

  description(id: number, description: StatementDescription): void {
    this.#json(MessageKind.DESCRIPTION, id, description);
  }

  page(id: number, page: Uint8Array, last: boolean): void {
    this.#head(MessageKind.PAGE, id, 1 + page.length).u8(last ? 1 : 0).bytes(page);
  }

  end(id: number, end: ResultEnd): void {
    const rowid = end.lastInsertRowid;
    this.#head(MessageKind.END, id, 25).u64Number(end.changes).u64Number(end.rowCount)
      .u8(rowid === null ? 0 : 1).u64(BigInt.asUintN(64, rowid ?? 0n));
  }

  error(kind: typeof MessageKind.ERROR | typeof MessageKind.FATAL, id: number, error: SqpError) {
    this.#json(kind, id, error.toPayload());
  }
}

/** A message as it was received; `body` is a view that stays valid. */
export interface Message {
  readonly kind: number;
  readonly id: number;
  readonly body: Uint8Array;
}

/** Cuts a stream of bytes into messages. The bytes pushed must not be changed afterwards. */
export class MessageSplitter {
  #parts: Uint8Array[] = [];
  #bufferedBytes = 0;

  /** Takes bytes and gives the messages that they complete. Throws `RangeError` for a length that no message has. */
  push(bytes: Uint8Array): Message[] {
    this.#parts.push(bytes);
    this.#bufferedBytes += bytes.length;
    const messages: Message[] = [];
    if (this.#bufferedBytes < this.#neededBytes()) return messages;
    const all = this.#parts.length === 1 ? bytes : concatBytes(...this.#parts);
    const view = new DataView(all.buffer, all.byteOffset, all.byteLength);
    let at = 0;
    while (all.length - at >= HEADER_BYTES) {
      const end = at + 4 + checkedLength(view.getUint32(at));
      if (end > all.length) break;
      messages.push({
        kind: view.getUint8(at + 4),
        id: view.getUint32(at + 5),
        body: all.subarray(at + HEADER_BYTES, end),
      });
      at = end;
    }
    this.#parts = at === all.length ? [] : [all.subarray(at)];
    this.#bufferedBytes = all.length - at;
    return messages;
  }

  /**
   * Bytes that the first message needs, as far as its length is known. Large messages are joined once, not with
   * every read.
   */
  #neededBytes(): number {
    const first = this.#parts[0]!;
    if (first.length < 4) return HEADER_BYTES;
    const view = new DataView(first.buffer, first.byteOffset, first.byteLength);
    return 4 + checkedLength(view.getUint32(0));
  }
}

function checkedLength(lengthBytes: number): number {
  if (lengthBytes < HEADER_BYTES - 4 || lengthBytes > MESSAGE_BYTES_MAX) {
    throw new RangeError(`a message cannot be ${lengthBytes} bytes long`);
  }
  return lengthBytes;
}

/** Reads the body of OPEN. */
export function readOpen(body: Uint8Array): OpenMessage {
  return JSON.parse(text.decode(body));
}

/** Reads the body of PULL. */
export function readPull(body: Uint8Array): number {
  return new ByteReader(body).u32();
}

/** Reads the body of HAND_OFF. */
export function readHandOff(body: Uint8Array): number {
  return new ByteReader(body).u32();
}

/** Reads the body of DESCRIPTION. */
export function readDescription(body: Uint8Array): StatementDescription {
  return JSON.parse(text.decode(body));
}

/** Reads the body of HEAD. */
export function readHead(body: Uint8Array): readonly Column[] {
  const json = text.decode(body);
  let columns = knownColumns.get(json);
  if (columns !== undefined) return columns;
  columns = JSON.parse(json) as Column[];
  knownColumns.set(json, columns);
  if (knownColumns.size > KNOWN_COLUMNS_MAX) {
    for (const oldest of knownColumns.keys()) {
      knownColumns.delete(oldest);
      break;
    }
  }
  return columns;
}

/** Reads the body of END. */
export function readEnd(body: Uint8Array): ResultEnd {
  const view = new DataView(body.buffer, body.byteOffset, body.byteLength);
  return {
    changes: Number(view.getBigUint64(0)),
    rowCount: Number(view.getBigUint64(8)),
    lastInsertRowid: view.getUint8(16) === 0 ? null : view.getBigInt64(17),
  };
}

/** Reads the body of ERROR or FATAL. */
export function readError(body: Uint8Array): SqpError {
  return new SqpError(JSON.parse(text.decode(body)) as ErrorPayload);
}
