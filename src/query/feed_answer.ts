// From what an engine tells of changes to what is sent.

import { SqpError } from "../wire/errors.ts";
import { encodeFeedResponse } from "../wire/feed_payload.ts";
import { LIMITS } from "../wire/limits.ts";
import type { Responder, StreamWriter } from "./answer.ts";
import type { Execution, FeedSink, FeedStart } from "./engine.ts";

/** Sends a feed on a stream; the engine is asked for no more than can wait. */
export class FeedAnswer implements FeedSink {
  readonly #responder: Responder;
  readonly #streamBufferBytes: number;
  #execution: Execution | undefined;
  #stream: StreamWriter | undefined;
  /** Hand-overs that were asked for and have not come; the first comes unasked. */
  #outstanding = 1;
  #hasEnded = false;

  constructor(responder: Responder, streamBufferBytes: number) {
    this.#responder = responder;
    this.#streamBufferBytes = streamBufferBytes;
  }

  /** What more is asked of. */
  start(execution: Execution): void {
    this.#execution = execution;
  }

  onStart(start: FeedStart): void {
    if (this.#hasEnded) return;
    const headBytes = encodeFeedResponse({ ...start, streamId: 0xffff_ffff }).length;
    if (headBytes > LIMITS.messageBytesMax) {
      const message = "The names of the columns of the tables do not fit a message.";
      this.onError(new SqpError("too_many_columns", { message }));
      this.#execution!.cancel();
      return;
    }
    this.#stream = this.#responder.openStream((streamId) =>
      encodeFeedResponse({ ...start, streamId })
    );
    this.#stream.onWritable(() => this.#pull());
  }

  onPage(pages: Uint8Array): void {
    if (this.#hasEnded) return;
    this.#outstanding--;
    this.#stream!.write(pages);
    this.#pull();
  }

  onEnd(): void {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    this.#stream!.finish();
  }

  onError(error: SqpError): void {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    if (this.#stream === undefined) this.#responder.error(error);
    else this.#stream.abort(error);
  }

  #pull(): void {
    if (this.#hasEnded) return;
    const freeBytes = this.#streamBufferBytes - this.#stream!.bufferedBytes();
    const more = Math.floor(freeBytes / LIMITS.pageBytesMax) - this.#outstanding;
    if (more <= 0) return;
    this.#outstanding += more;
    this.#execution!.pull(more);
  }
}
