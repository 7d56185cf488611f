// Has the changes of watched tables decoded, as long as there is a log that is written so. A replication slot has one
// reader at a time: of several servers on one database the one that gets it is at work, and the others try again, so
// that one of them goes on where it was stopped.

import { SqpError } from "../../wire/errors.ts";
import { PostgresConnection } from "./connection.ts";
import { DecodedLog } from "./decoded_log.ts";
import { DecodingStream } from "./decoding_stream.ts";
import type { Login } from "./login.ts";
import { within } from "./own_connection.ts";
import { lsnText } from "./pgoutput.ts";
import { sqlState } from "./postgres_errors.ts";
import { findSlot, startReplication } from "./replication_slot.ts";
import type { RowShapes } from "./row_shapes.ts";
import type { PostgresLimits } from "./settings.ts";

/** undefined_object: what stands in the server's log is from a time without the publication. */
const NO_PUBLICATION = "42704";

/**
 * What the server has kept for a slot is given up when it is told that the log of changes has it: that has to be so
 * after a crash as well, whatever sessions of this login begin with.
 */
const SETTINGS = [
  "SET synchronous_commit = on",
  "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL READ COMMITTED READ WRITE",
];

/** Decodes. */
export class Decoder {
  readonly #login: Login;
  readonly #limits: PostgresLimits;
  readonly #shapes: RowShapes;
  #running: Promise<void> | undefined;
  #isClosed = false;
  #trouble: string | undefined;
  /** On which the log is asked and appended to. */
  #connection: PostgresConnection | undefined;
  #streaming: PostgresConnection | undefined;
  /** A slot whose stream cannot be taken further. */
  #givenUp: string | undefined;
  #endPause: () => void = () => {};

  constructor(login: Login, limits: PostgresLimits, shapes: RowShapes) {
    this.#login = login;
    this.#limits = limits;
    this.#shapes = shapes;
  }

  /** What keeps it from its work, for a person. */
  get trouble(): string | undefined {
    return this.#trouble;
  }

  /** Whether the server streams anything to this login: what is between may not let it through. */
  async mayStream(): Promise<boolean> {
    try {
      const { connection } = await PostgresConnection.replicate(
        this.#login,
        this.#limits,
        "IDENTIFY_SYSTEM",
      );
      await connection.close();
      return true;
    } catch {
      return false;
    }
  }

  /** Has it run, unless it does. It ends by itself where there is no log for it. */
  start(): void {
    if (this.#isClosed || this.#running !== undefined) return;
    this.#running = this.#run().finally(() => this.#running = undefined);
  }

  /** Ends it, and resolves when its connections are gone. */
  async close(): Promise<void> {
    this.#isClosed = true;
    this.#endPause();
    this.#connection?.destroy();
    this.#streaming?.destroy();
    await this.#running;
  }

  async #run(): Promise<void> {
    for (let isOver = false; !isOver && !this.#isClosed;) {
      try {
        isOver = await this.#work() === "none";
        this.#trouble = undefined;
      } catch (error) {
        this.#trouble = error instanceof Error ? error.message : String(error);
        this.#connection?.destroy();
      }
      if (!isOver) await this.#pause();
    }
    await this.#connection?.close();
    this.#connection = undefined;
  }

  #pause(): Promise<void> {
    if (this.#isClosed) return Promise.resolve();
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, this.#limits.decoderRetryMs);
      this.#endPause = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  async #work(): Promise<"none" | "busy"> {
    if (this.#connection?.isOpen !== true) {
      this.#connection = await PostgresConnection.open(this.#login, this.#limits);
      if (this.#isClosed) this.#connection.destroy();
      for (const sql of SETTINGS) await this.#connection.values(sql);
    }
    const connection = this.#connection;
    const { slotMsMax, pageMsMax, decodedMessageBytesMax: messageBytesMax } = this.#limits;
    const givenUp = this.#givenUp;
    const found = await within(
      connection,
      slotMsMax + pageMsMax,
      () => findSlot(connection, { givenUp, slotMsMax }),
    );
    if (found === "none" || found === "busy") return found;
    const { slot, position } = found;
    const { connection: streaming, stream } = await PostgresConnection.replicate(
      this.#login,
      { ...this.#limits, messageBytesMax },
      startReplication(slot, lsnText(position)),
    );
    this.#streaming = streaming;
    if (this.#isClosed) streaming.destroy();
    const host = { connection, shapes: this.#shapes, msMax: pageMsMax };
    const log = new DecodedLog(host, found);
    try {
      return await new DecodingStream(stream, log, this.#limits).run(() => streaming.destroy());
    } catch (error) {
      if (isHopeless(error)) this.#givenUp = slot;
      throw error;
    } finally {
      streaming.destroy();
      await streaming.close();
      this.#streaming = undefined;
    }
  }
}

/** Whether the same would come again: the rest of what a slot has to tell is lost then. */
function isHopeless(error: unknown): boolean {
  return sqlState(error) === NO_PUBLICATION ||
    error instanceof SqpError && error.codeName === "row_too_large";
}
