// Reads what a replication slot streams, and appends it to the log of changes, transaction by transaction. While some
// are being appended, those that come are collected, so that many small ones cost one commit.

import { DecodeError } from "../../base/byte_reader.ts";
import { SqpError } from "../../wire/errors.ts";
import type { ReplicationStream } from "./connection.ts";
import type { DecodedLog } from "./decoded_log.ts";
import { DecodedTransaction, sameColumns } from "./decoded_transaction.ts";
import {
  type DecodedRelation,
  encodeStatusUpdate,
  type Lsn,
  readReplicationMessage,
  type ReplicationMessage,
} from "./pgoutput.ts";
import { MARK_PREFIX } from "./publication.ts";
import type { PostgresLimits } from "./settings.ts";

/** What may wait while something is being appended: with more, no more is read. */
const READY_BYTES_MAX = 1024 * 1024;
const READY_MAX = 1_000;

/** How often the server is told what has been kept, unless it asks. */
const STATUS_MS = 1_000;

/** A stream that is being decoded. */
export class DecodingStream {
  readonly #stream: ReplicationStream;
  readonly #log: DecodedLog;
  readonly #limits: { readonly bytesMax: number; readonly changeBytesMax: number };
  /** Tables as they were described last. */
  readonly #relations = new Map<number, DecodedRelation>();
  /** The transaction whose changes come. */
  #open: DecodedTransaction | undefined;
  /** Whole transactions that wait to be appended. */
  #ready: DecodedTransaction[] = [];
  #readyBytes = 0;
  #appending: Promise<void> | undefined;
  #failure: unknown;
  /** Up to where everything has been kept. */
  #kept: Lsn;
  #statusAtMs = -Infinity;

  constructor(stream: ReplicationStream, log: DecodedLog, limits: PostgresLimits) {
    this.#stream = stream;
    this.#log = log;
    const { decodedBytesMax: bytesMax, messageBytesMax: changeBytesMax } = limits;
    this.#limits = { bytesMax, changeBytesMax };
    this.#kept = log.position;
  }

  /** Decodes until the stream ends, or something fails; `end` ends the stream. Rejects always. */
  async run(end: () => void): Promise<never> {
    try {
      for await (const bytes of this.#stream) {
        this.#take(readReplicationMessage(bytes), bytes.length);
        this.#append(end);
        while (this.#isFull && this.#failure === undefined) await this.#appending;
        if (this.#failure !== undefined) break;
      }
    } catch (error) {
      this.#failure ??= error;
    }
    // What has begun is in the log or not before anybody looks again.
    await this.#appending;
    throw this.#failure ?? new SqpError("engine_failure", { message: "The stream has ended." });
  }

  get #isFull(): boolean {
    return this.#readyBytes > READY_BYTES_MAX || this.#ready.length > READY_MAX;
  }

  /** Everything that has come was kept. */
  get #isIdle(): boolean {
    return this.#open === undefined && this.#ready.length === 0 && this.#appending === undefined;
  }

  #take(message: ReplicationMessage, lengthBytes: number): void {
    switch (message.kind) {
      case "keepalive":
        if (this.#isIdle) this.#keep(message.walEnd);
        if (message.isReplyWanted) this.#tell();
        return;
      case "begin":
        this.#open = new DecodedTransaction(message, this.#limits);
        return;
      case "commit":
        return this.#onCommit(message.endLsn);
      case "relation":
        this.#relations.set(message.relid, message);
        return;
      case "insert":
        return this.#onRow(message.relid, { before: null, after: message.after }, lengthBytes);
      case "update":
        return this.#onRow(message.relid, message, lengthBytes);
      case "delete":
        return this.#onRow(message.relid, { before: message.before, after: null }, lengthBytes);
      case "truncate":
        for (const relid of message.relids) {
          this.#inside.refuse(this.#relation(relid), "truncated");
        }
        return;
      case "message":
        if (message.isTransactional && message.prefix === MARK_PREFIX) this.#inside.isMarked = true;
    }
  }

  #onRow(
    relid: number,
    rows: Parameters<DecodedTransaction["add"]>[1],
    lengthBytes: number,
  ): void {
    this.#inside.add(this.#relation(relid), rows, lengthBytes);
  }

  get #inside(): DecodedTransaction {
    if (this.#open === undefined) throw new DecodeError("a change outside of a transaction");
    return this.#open;
  }

  #relation(relid: number): DecodedRelation {
    const relation = this.#relations.get(relid);
    if (relation === undefined) throw new DecodeError("a change of a table that was not described");
    return relation;
  }

  #onCommit(endLsn: Lsn): void {
    const transaction = this.#inside;
    this.#open = undefined;
    // The server may tell again what was appended before it heard so.
    if (transaction.finalLsn < this.#log.position) return;
    transaction.endLsn = endLsn;
    if (!transaction.isEmpty) {
      this.#ready.push(transaction);
      this.#readyBytes += transaction.bytes;
    } else if (this.#isIdle) this.#keep(endLsn);
  }

  #append(end: () => void): void {
    if (this.#ready.length > 0) this.#appending ??= this.#appendReady(end);
  }

  async #appendReady(end: () => void): Promise<void> {
    try {
      while (this.#ready.length > 0) {
        await this.#log.append(this.#takeReady());
        this.#keep(this.#log.position);
      }
    } catch (error) {
      this.#failure ??= error;
      end();
    }
    // In the same turn in which nothing was left: what comes later begins anew.
    this.#appending = undefined;
  }

  /** The transactions that wait, up to one that has a table in another shape than those before it. */
  #takeReady(): DecodedTransaction[] {
    const relations = new Map<number, DecodedRelation>();
    let count = 0;
    for (const transaction of this.#ready) {
      const fits = [...transaction.relations].every(([relid, relation]) =>
        sameColumns(relations.get(relid) ?? relation, relation)
      );
      if (!fits) break;
      for (const [relid, relation] of transaction.relations) relations.set(relid, relation);
      count++;
    }
    const batch = this.#ready.splice(0, count);
    for (const { bytes } of batch) this.#readyBytes -= bytes;
    return batch;
  }

  #keep(lsn: Lsn): void {
    if (lsn > this.#kept) this.#kept = lsn;
    if (performance.now() - this.#statusAtMs >= STATUS_MS) this.#tell();
  }

  #tell(): void {
    this.#statusAtMs = performance.now();
    this.#stream.write(encodeStatusUpdate(this.#kept, Date.now()));
  }
}
