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
  readonly #onOver: () => void;
  #streamId = 0;
  #execution: Execution | undefined;
  #stream: StreamWriter | undefined;
  /** Hand-overs that were asked for and have not come; the first comes unasked. */
  #outstanding = 1;
  #hasEnded = false;

  /** `onOver` is called once, when the feed ends. */
  constructor(responder: Responder, streamBufferBytes: number, onOver: () => void) {
    this.#responder = responder;
    this.#streamBufferBytes = streamBufferBytes;
    this.#onOver = onOver;
  }

  /** The number of its stream, 0 before there is one. */
  get streamId(): number {
    return this.#streamId;
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
    this.#stream = this.#responder.openStream((streamId) => {
      this.#streamId = streamId;
      return encodeFeedResponse({ ...start, streamId });
    });
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
    this.#end();
    this.#stream!.finish();
  }

  onError(error: SqpError): void {
    if (this.#hasEnded) return;
    this.#end();
    if (this.#stream === undefined) this.#responder.error(error);
    else this.#stream.abort(error);
  }

  /** Ends the feed after what was handed over, with an error where there is one. Harmless after its end. */
  end(error?: SqpError): void {
    if (error === undefined && this.#stream !== undefined) this.onEnd();
    else this.onError(error ?? new SqpError("cancelled"));
    this.#execution!.cancel();
  }

  #end(): void {
    this.#hasEnded = true;
    this.#onOver();
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
