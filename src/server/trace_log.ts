// Lines of the log for commands whose caller traces them: W3C Trace Context, https://www.w3.org/TR/trace-context/.

import type { Milliseconds } from "../base/core.ts";
import type { SqpError } from "../wire/errors.ts";
import type { LogFields, Logger } from "./log.ts";

/** `version "-" trace-id "-" parent-id "-" trace-flags`; later versions may have more behind it. */
const TRACEPARENT = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/;
const VERSION = "00";
const NO_VERSION = "ff";
const SAMPLED = 1;
const SECOND_MS = 1_000;

/** What a caller says of the trace that a command belongs to. */
export interface TraceContext {
  readonly traceId: string;
  readonly parentId: string;
  /** The caller records the trace, and asks others to. */
  readonly isSampled: boolean;
}

/** Reads a traceparent; `undefined` for one that is not valid, which is as good as none. */
export function parseTraceparent(text: string): TraceContext | undefined {
  const [, version, traceId, parentId, flags, more] = TRACEPARENT.exec(text) ?? [];
  if (version === undefined || version === NO_VERSION) return undefined;
  if (version === VERSION && more !== undefined) return undefined;
  // "All bytes as zero (00000000000000000000000000000000) is considered an invalid value", and so for the parent-id.
  if (/^0+$/.test(traceId!) || /^0+$/.test(parentId!)) return undefined;
  return {
    traceId: traceId!,
    parentId: parentId!,
    isSampled: (parseInt(flags!, 16) & SAMPLED) !== 0,
  };
}

/** A command that is traced, until it is answered. */
export interface TracedCommand {
  /** Writes its line. */
  onAnswered(error: SqpError | undefined): void;
}

/** Writes the lines of traced commands, of which there are at most so many a second. */
export class TraceLog {
  readonly #log: Logger;
  readonly #now: () => Milliseconds;
  readonly #linesPerSecondMax: number;
  #secondAt: Milliseconds = -Infinity;
  #lines = 0;
  #dropped = 0;

  constructor(log: Logger, now: () => Milliseconds, linesPerSecondMax: number) {
    this.#log = log;
    this.#now = now;
    this.#linesPerSecondMax = linesPerSecondMax;
  }

  /** Begins with a command; `undefined` where its trace is not sampled, and so not logged. */
  begin(traceparent: string, command: string, principal: string): TracedCommand | undefined {
    const trace = parseTraceparent(traceparent);
    if (trace?.isSampled !== true) return undefined;
    const startedAt = this.#now();
    return {
      onAnswered: (error) =>
        this.#write({
          ...{ command, principal, trace: trace.traceId, parent: trace.parentId },
          ms: Math.round((this.#now() - startedAt) * 1_000) / 1_000,
          ...(error !== undefined && { error: error.codeName }),
        }),
    };
  }

  #write(fields: LogFields): void {
    const now = this.#now();
    if (now - this.#secondAt >= SECOND_MS) {
      this.#secondAt = now;
      this.#lines = 0;
      if (this.#dropped > 0) this.#log.warn("traced commands not logged", { count: this.#dropped });
      this.#dropped = 0;
    }
    if (this.#lines >= this.#linesPerSecondMax) this.#dropped++;
    else {
      this.#lines++;
      this.#log.info("command", fields);
    }
  }
}
