// From what an engine says of a command to what is sent.

import { SqpError } from "../wire/errors.ts";
import { LIMITS } from "../wire/limits.ts";
import { type Column, encodeResponse } from "../wire/response_payload.ts";
import { PAGE_PREFIX_BYTES } from "../wire/page_cutter.ts";
import { encodeTrailer } from "../wire/row_page.ts";
import type { Execution, Reply, ResultEnd, ResultSink } from "./engine.ts";

/** The payload of a page without rows. */
const EMPTY_PAGE = new Uint8Array([0x90]);

/** A stream of a result, as the session gives it. */
export interface StreamWriter {
  /** Takes bytes in order; they may be kept as they are. */
  write(bytes: Uint8Array): void;
  /** Bytes written that the transport has not sent yet. */
  bufferedBytes(): number;
  /** Sets what to call whenever {@linkcode StreamWriter.bufferedBytes} has become smaller. */
  onWritable(callback: () => void): void;
  /** Ends the stream after what was written. */
  finish(): void;
  /** Ends the stream with an error; what was written and not sent may be dropped. */
  abort(error: SqpError): void;
}

/** Where the answer to one request goes. Exactly one of the methods that answer is called, once. */
export interface Responder {
  /** Says how urgent the answer is beside others of the session; called before it, if at all. */
  setUrgency(urgency: number): void;
  /** Says which command it is, and its caller's W3C traceparent as it was received; called before it, if at all. */
  setTrace(command: string, traceparent: string): void;
  /** Sends a Response that is the whole answer. */
  respond(payload: Uint8Array): void;
  /** Opens a stream and sends the Response that `headFor` gives for its number. */
  openStream(headFor: (streamId: number) => Uint8Array): StreamWriter;
  /** Sends an Error that is the whole answer. */
  error(error: SqpError): void;
}

/** Answers with the Response that `encode` makes of what came of a command. */
export function replyTo<Outcome>(
  responder: Responder,
  encode: (outcome: Outcome) => Uint8Array,
): Reply<Outcome> {
  return {
    onEnd(outcome) {
      const payload = encode(outcome);
      if (payload.length <= LIMITS.messageBytesMax) responder.respond(payload);
      else responder.error(new SqpError("message_too_large"));
    },
    onError: (error) => responder.error(error),
  };
}

/** How a result is sent. */
export interface AnswerOptions {
  /** Columns say where they come from. */
  readonly origins: boolean;
  /** Bytes that may wait between the engine and the transport. */
  readonly streamBufferBytes: number;
}

/**
 * Sends one result: in one Response where it is small, else on a stream, of which the engine computes no more than
 * can wait.
 */
export class Answer implements ResultSink {
  readonly #responder: Responder;
  readonly #options: AnswerOptions;
  #execution: Execution | undefined;
  #columns: readonly Column[] = [];
  #onlyPage: Uint8Array | undefined;
  #stream: StreamWriter | undefined;
  /** Pages that were asked for and have not come; the first comes unasked. */
  #outstandingPages = 1;
  #ended = false;

  constructor(responder: Responder, options: AnswerOptions) {
    this.#responder = responder;
    this.#options = options;
  }

  /** What the pages are asked of. */
  start(execution: Execution): void {
    this.#execution = execution;
  }

  onHead(columns: readonly Column[]): void {
    this.#columns = this.#options.origins ? columns : withoutOrigins(columns);
  }

  onPage(page: Uint8Array, last: boolean): void {
    this.#outstandingPages--;
    if (last && this.#stream === undefined) {
      this.#onlyPage = page;
      return;
    }
    this.#openStream()?.write(page);
    if (!last) this.#pull();
  }

  onEnd({ changes, lastInsertRowid, rowCount }: ResultEnd): void {
    if (this.#ended) return;
    const rowid = lastInsertRowid === null ? null : narrow(lastInsertRowid);
    const page = this.#onlyPage?.subarray(PAGE_PREFIX_BYTES) ?? EMPTY_PAGE;
    if (this.#stream === undefined && page.length <= LIMITS.inlinePageBytesMax) {
      const columns = this.#columns;
      const payload = encodeResponse({ kind: "page", columns, page, changes, rowid });
      if (payload.length <= LIMITS.messageBytesMax) this.#responder.respond(payload);
      else this.#responder.error(tooManyColumns());
      this.#ended = true;
      return;
    }
    const stream = this.#openStream();
    if (stream === undefined) return;
    this.#ended = true;
    if (this.#onlyPage !== undefined) stream.write(this.#onlyPage);
    stream.write(encodeTrailer({ rows: rowCount, changes, rowid }));
    stream.finish();
  }

  onError(error: SqpError): void {
    if (this.#ended) return;
    this.#ended = true;
    if (this.#stream === undefined) this.#responder.error(error);
    else this.#stream.abort(error);
  }

  #openStream(): StreamWriter | undefined {
    if (this.#stream !== undefined || this.#ended) return this.#stream;
    const columns = this.#columns;
    // The number of a stream has the same length as any other as far as this limit is concerned.
    const headBytes = encodeResponse({ kind: "stream", columns, streamId: 0xffff_ffff }).length;
    if (headBytes > LIMITS.messageBytesMax) {
      this.#ended = true;
      this.#responder.error(tooManyColumns());
      this.#execution!.cancel();
      return undefined;
    }
    this.#stream = this.#responder.openStream((streamId) =>
      encodeResponse({ kind: "stream", columns, streamId })
    );
    this.#stream.onWritable(() => this.#pull());
    return this.#stream;
  }

  /** Asks for as many pages as there is room for, if each were as large as a page may be. */
  #pull(): void {
    if (this.#ended) return;
    const freeBytes = this.#options.streamBufferBytes - this.#stream!.bufferedBytes();
    const pages = Math.floor(freeBytes / LIMITS.pageBytesMax) - this.#outstandingPages;
    if (pages <= 0) return;
    this.#outstandingPages += pages;
    this.#execution!.pull(pages);
  }
}

/** Columns that were told before: an engine gives those of a known statement again. */
const plainColumns = new WeakMap<readonly Column[], readonly Column[]>();

function withoutOrigins(columns: readonly Column[]): readonly Column[] {
  let plain = plainColumns.get(columns);
  if (plain === undefined) {
    plain = columns.map(({ name, declaredType }) => ({ name, declaredType }));
    plainColumns.set(columns, plain);
  }
  return plain;
}

/** Integers that a `number` holds exactly travel as such. */
function narrow(value: bigint): number | bigint {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value;
}

function tooManyColumns(): SqpError {
  return new SqpError("too_many_columns", {
    message: "The names of the result's columns do not fit a message.",
  });
}
