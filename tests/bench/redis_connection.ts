// A small client of Redis: RESP2, many commands in flight on one connection. Each is a write of its own: over a link
// that loses, many small segments are repaired sooner than a few large ones, and Redis answers twice as often.

import { Buffer } from "node:buffer";
import type { Duplex } from "node:stream";
import { Queue } from "../../src/base/queue.ts";

const CRLF = "\r\n";

/** What Redis answers; an error makes the command fail instead. */
export type Reply = string | number | null | readonly Reply[];

interface Waiting {
  readonly resolve: (reply: Reply) => void;
  readonly reject: (error: Error) => void;
}

/** A connection to Redis, over a stream that is open. */
export class RedisConnection {
  readonly #stream: Duplex;
  readonly #waiting = new Queue<Waiting>();
  #received: Buffer = Buffer.alloc(0);

  constructor(stream: Duplex) {
    this.#stream = stream;
    stream.on("data", (bytes: Buffer) => this.#onData(bytes));
    stream.on("error", (error: Error) => this.#fail(error));
    stream.on("close", () => this.#fail(new Error("the connection has ended")));
  }

  /** Sends a command. Resolves to its reply; rejects with an error of Redis or of the connection. */
  send(...words: readonly string[]): Promise<Reply> {
    const bulks = words.map((word) => `$${Buffer.byteLength(word)}${CRLF}${word}${CRLF}`);
    this.#stream.write(`*${words.length}${CRLF}${bulks.join("")}`);
    return new Promise((resolve, reject) => this.#waiting.push({ resolve, reject }));
  }

  /** Ends the connection. */
  close(): void {
    this.#stream.destroy();
  }

  #fail(error: Error): void {
    for (let each; (each = this.#waiting.shift()) !== undefined;) each.reject(error);
  }

  #onData(bytes: Buffer): void {
    this.#received = Buffer.concat([this.#received, bytes]);
    let offset = 0;
    for (let found; (found = readReply(this.#received, offset)) !== undefined;) {
      offset = found.end;
      const { resolve, reject } = this.#waiting.shift()!;
      if (found.reply instanceof Error) reject(found.reply);
      else resolve(found.reply);
    }
    this.#received = this.#received.subarray(offset);
  }
}

/** Reads a reply at an offset, and finds where it ends; `undefined` while some of it is missing. */
function readReply(
  bytes: Buffer,
  start: number,
): { readonly reply: Reply | Error; readonly end: number } | undefined {
  const lineEnd = bytes.indexOf(CRLF, start);
  if (lineEnd < 0) return undefined;
  const line = bytes.toString("utf8", start + 1, lineEnd);
  let end = lineEnd + CRLF.length;
  switch (bytes.toString("latin1", start, start + 1)) {
    case "+":
      return { reply: line, end };
    case "-":
      return { reply: new Error(line), end };
    case ":":
      return { reply: Number(line), end };
    case "$": {
      const length = Number(line);
      if (length < 0) return { reply: null, end };
      const next = end + length + CRLF.length;
      if (next > bytes.length) return undefined;
      return { reply: bytes.toString("utf8", end, end + length), end: next };
    }
    case "*": {
      const items: Reply[] = [];
      for (let at = 0; at < Number(line); at++) {
        const item = readReply(bytes, end);
        if (item === undefined) return undefined;
        if (item.reply instanceof Error) return { reply: item.reply, end: item.end };
        items.push(item.reply);
        end = item.end;
      }
      return { reply: items, end };
    }
    default:
      throw new Error(`a reply that begins with "${line}"`);
  }
}
