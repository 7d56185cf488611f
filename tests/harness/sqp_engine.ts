// An engine in a test: it knows a handful of statements, answers in virtual time, and counts the writes it executes.

import { DecodeError } from "../../src/base/byte_reader.ts";
import type { Milliseconds } from "../../src/base/core.ts";
import type { EndpointClient, EndpointEvent, ServerEndpoint } from "../../src/server/endpoint.ts";
import type { ServerSession } from "../../src/session/server_session.ts";
import type { ErrorName } from "../../src/wire/error_codes.ts";
import { SqpError } from "../../src/wire/errors.ts";
import { decodeParams } from "../../src/wire/params.ts";
import { decodeQuery, type ExecuteCommand } from "../../src/wire/query_payload.ts";
import { encodeResponse } from "../../src/wire/response_payload.ts";
import { encodeTrailer, RowPageWriter } from "../../src/wire/row_page.ts";
import type { Row } from "../../src/wire/value.ts";
import { NumberKind } from "../../src/wire/value_writer.ts";

/** Bytes of a stream that the engine has waiting before it stops reading rows. */
const STREAM_AHEAD_BYTES = 131_072;

/** Rows that a stream takes in one go. */
const ROWS_PER_GO = 16;

/** The name and type of the columns that a statement of so many values gives. */
const COLUMNS = ["a", "b", "c"].map((name) => ({ name, declaredType: null }));

/** What the engine needs of the simulation around it. */
export interface EngineWorld {
  readonly endpoint: ServerEndpoint;
  readonly now: Milliseconds;
  after(ms: number, run: () => void): void;
}

/** The row that a stream has at an index: its number and a text of a length that varies around `bytes`. */
export function streamRow(index: number, bytes: number): Row {
  return [index, String.fromCharCode(97 + index % 26).repeat(bytes + index % 7)];
}

function readQuery(payload: Uint8Array): ExecuteCommand | SqpError {
  try {
    const command = decodeQuery(payload);
    return command.cmd === "execute" ? command : new SqpError("unknown_command");
  } catch (error) {
    if (!(error instanceof DecodeError)) throw error;
    return new SqpError("malformed_payload", { message: error.message });
  }
}

/** A request that runs. */
interface Running {
  readonly client: EndpointClient;
  readonly requestId: number;
  /** The stream that is being fed. */
  feed?: () => void;
}

/**
 * Executes these statements; `after N ` in front of one delays it by N milliseconds of virtual time.
 *
 *     echo                  one row: the parameters
 *     write KEY             a write, counted under its key
 *     rows COUNT BYTES      a stream of rows; `rows COUNT BYTES abort NAME` ends it with an error instead
 *     blob BYTES            one Response with a text of so many bytes
 *     fail NAME             an error
 *     hang                  no answer, until it is cancelled
 *     silence               a stream on which nothing comes, until it is cancelled
 */
export class TestEngine {
  /** How often each write was executed. */
  readonly writes = new Map<string, number>();
  /** Statements in the order in which they came. */
  readonly statements: string[] = [];
  /** Most rows of one stream that were made and not yet sent and acknowledged, in bytes. */
  streamBufferedMax = 0;
  readonly #world: EngineWorld;
  readonly #running = new Map<EndpointClient, Map<number, Running>>();

  constructor(world: EngineWorld) {
    this.#world = world;
  }

  /** Requests that run. */
  get runningCount(): number {
    return [...this.#running.values()].reduce((sum, requests) => sum + requests.size, 0);
  }

  /** Takes what a client's session tells, the question whether to let it in excepted. */
  handle({ client, event }: EndpointEvent): void {
    const requests = this.#running.get(client);
    if (event.kind === "request") this.#start(client, event.requestId, event.payload);
    else if (event.kind === "ended") this.#running.delete(client);
    else if (event.kind === "cancel") {
      const running = requests?.get(event.requestId);
      if (running !== undefined) this.#fail(running, new SqpError("cancelled"));
    } else if (event.kind === "stream-writable") requests?.get(event.requestId)?.feed?.();
  }

  #start(client: EndpointClient, requestId: number, payload: Uint8Array): void {
    const running: Running = { client, requestId };
    const requests = this.#running.get(client) ?? new Map<number, Running>();
    this.#running.set(client, requests.set(requestId, running));
    const command = readQuery(payload);
    if (command instanceof SqpError) return this.#fail(running, command);
    const text = String(command.sql);
    this.statements.push(text);
    const { urgency } = command;
    if (urgency !== undefined) {
      this.#use(running, (session) => session.setUrgency(requestId, urgency));
    }
    const [, delayMs, sql] = /^(?:after (\d+) )?(.*)$/.exec(text)!;
    const params = decodeParams(command.params);
    const values = params.kind === "positional" ? [...params.values] : [];
    const run = () => this.#execute(running, sql!.split(" "), values);
    if (delayMs === undefined) run();
    else this.#world.after(Number(delayMs), run);
  }

  #isRunning({ client, requestId }: Running): boolean {
    return this.#running.get(client)?.has(requestId) ?? false;
  }

  #execute(running: Running, [verb, ...words]: string[], values: Row): void {
    if (!this.#isRunning(running)) return;
    switch (verb) {
      case "echo":
        return this.#respond(running, values);
      case "write":
        this.writes.set(words[0]!, (this.writes.get(words[0]!) ?? 0) + 1);
        return this.#respond(running, [], 1);
      case "rows":
        return this.#stream(running, Number(words[0]), Number(words[1]), words[3] as ErrorName);
      case "blob":
        return this.#respond(running, ["x".repeat(Number(words[0]))]);
      case "fail":
        return this.#fail(running, new SqpError(words[0] as ErrorName));
      case "hang":
        return;
      case "silence":
        return this.#openStream(running);
      default:
        return this.#fail(running, new SqpError("syntax"));
    }
  }

  #use(running: Running, action: (session: ServerSession) => void): void {
    this.#world.endpoint.use(running.client, this.#world.now, action);
  }

  #over({ client, requestId }: Running): void {
    const requests = this.#running.get(client);
    requests?.delete(requestId);
    if (requests?.size === 0) this.#running.delete(client);
  }

  #respond(running: Running, row: Row, changes = 0): void {
    const writer = new RowPageWriter({ numbers: NumberKind.AUTO });
    if (row.length > 0) writer.append(row);
    const columns = COLUMNS.slice(0, row.length);
    const page = row.length > 0 ? writer.takePayload() : new Uint8Array([0x90]);
    const payload = encodeResponse({ kind: "page", columns, page, changes, rowid: null });
    this.#over(running);
    this.#use(running, (session) => session.respond(running.requestId, payload));
  }

  #fail(running: Running, error: SqpError): void {
    this.#over(running);
    this.#use(running, (session) => session.fail(running.requestId, error));
  }

  /** Feeds a stream as far as back-pressure lets it; `stream-writable` brings it back here. */
  #stream(running: Running, count: number, bytes: number, abort: ErrorName | undefined): void {
    const { requestId } = running;
    const writer = new RowPageWriter({ numbers: NumberKind.AUTO });
    let next = 0;
    const go = (session: ServerSession) => {
      while (session.streamBufferedBytes(requestId) < STREAM_AHEAD_BYTES && next <= count) {
        for (let i = 0; i < ROWS_PER_GO && next < count && !writer.full; i++) {
          writer.append(streamRow(next++, bytes));
        }
        if (writer.rowCount > 0) session.writeStream(requestId, writer.takePage());
        if (next === count && writer.rowCount === 0) return this.#endStream(running, count, abort);
        const waiting = session.streamBufferedBytes(requestId);
        this.streamBufferedMax = Math.max(this.streamBufferedMax, waiting);
      }
    };
    this.#openStream(running);
    running.feed = () => this.#use(running, go);
    running.feed();
  }

  #openStream(running: Running): void {
    const columns = COLUMNS.slice(0, 2);
    this.#use(running, (session) => {
      const head = (streamId: number) => encodeResponse({ kind: "stream", columns, streamId });
      if (session.openStream(running.requestId, head) === 0) this.#over(running);
    });
  }

  #endStream(running: Running, rows: number, abort: ErrorName | undefined): void {
    if (abort !== undefined) return this.#fail(running, new SqpError(abort));
    this.#over(running);
    this.#use(running, (session) => {
      session.writeStream(running.requestId, encodeTrailer({ rows, changes: 0, rowid: null }));
      session.finishStream(running.requestId);
    });
  }
}
