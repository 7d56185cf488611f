// A statement under way, whatever it does.

import type { Column } from "../../wire/response_payload.ts";
import type { ResultEnd } from "../engine.ts";

/** The next part of a result: a page, or what follows the last one. */
export interface ResultPart {
  readonly page?: Uint8Array;
  /** Set with or after the last page. */
  readonly end?: ResultEnd;
}

/** A statement that is prepared and bound, and has not run yet. */
export interface RunningStatement {
  readonly kind: "running";
  readonly columns: readonly Column[];
  /** It cannot run for long. */
  readonly short: boolean;
  /**
   * Runs until the next page is full or the statement is at its end. Throws {@linkcode SqpError}; then it is
   * closed.
   */
  next(): ResultPart;
  /** Ends it early. Harmless after its end. */
  close(): void;
}

/** The end of a statement that changed nothing, its row count excepted. */
export const NO_WRITE = { changes: 0, lastInsertRowid: null } as const;
