// Cursors of change feeds: a row of the log that ends a transaction, in a text that a client keeps.

/** Where a feed stands. */
export interface FeedPosition {
  /** The log's own name: a cursor of another database, or of a log made anew, is known by it. */
  readonly logId: string;
  /** The row of the log. */
  readonly id: number;
  /** When it was written: a database put back from a copy may have another row under this number. */
  readonly atMs: number;
}

/** The text of a position. */
export function encodeCursor({ logId, id, atMs }: FeedPosition): string {
  return `${logId}.${id}.${atMs}`;
}

/** Reads a cursor; `undefined` for what was never one. */
export function decodeCursor(cursor: string): FeedPosition | undefined {
  const match = /^([0-9a-f-]{1,64})\.(\d{1,15})\.(\d{1,15})$/.exec(cursor);
  if (match === null) return undefined;
  return { logId: match[1]!, id: Number(match[2]), atMs: Number(match[3]) };
}
