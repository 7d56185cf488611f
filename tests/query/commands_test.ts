// From a Query's payload to what is sent, over an engine in this thread.

import { assert, assertEquals } from "@std/assert";
import type { Responder, StreamWriter } from "../../src/query/answer.ts";
import { QUERY_LIMITS } from "../../src/query/limits.ts";
import { QuerySession } from "../../src/query/query_session.ts";
import type { Permission } from "../../src/query/engine.ts";
import type { SqpError } from "../../src/wire/errors.ts";
import { PageStream } from "../../src/wire/page_stream.ts";
import { encodeParams } from "../../src/wire/params.ts";
import { encodeQuery, type ExecuteCommand } from "../../src/wire/query_payload.ts";
import { decodeResponse, type Response } from "../../src/wire/response_payload.ts";
import { decodeRowPage } from "../../src/wire/row_page.ts";
import type { Row, SqlParams } from "../../src/wire/value.ts";
import { InProcessEngine } from "./in_process_engine.ts";

/** A client that takes what a responder is given, and sends a stream's bytes only when told to. */
class Client implements Responder {
  readonly answers: string[] = [];
  response: Response | undefined;
  failure: SqpError | undefined;
  rows: Row[] = [];
  bufferedMax = 0;
  #pages: PageStream | undefined;
  #waiting: Uint8Array[] = [];
  #finished = false;
  #writable = () => {};

  setTrace(): void {}

  setUrgency(urgency: number): void {
    this.answers.push(`urgency ${urgency}`);
  }

  respond(payload: Uint8Array): void {
    this.answers.push("respond");
    this.response = decodeResponse(payload);
    if (this.response.kind !== "page") throw new Error("a stream was announced and not opened");
    this.rows = decodeRowPage(this.response.page, this.response.columns.length);
  }

  error(error: SqpError): void {
    this.answers.push("error");
    this.failure = error;
  }

  openStream(headFor: (streamId: number) => Uint8Array): StreamWriter {
    this.answers.push("stream");
    this.response = decodeResponse(headFor(2));
    this.#pages = new PageStream(this.response.columns.length);
    return {
      write: (bytes) => {
        this.#waiting.push(bytes);
        this.bufferedMax = Math.max(this.bufferedMax, this.buffered());
      },
      bufferedBytes: () => this.buffered(),
      onWritable: (callback) => void (this.#writable = callback),
      finish: () => void (this.#finished = true),
      abort: (error) => void (this.failure = error),
    };
  }

  buffered(): number {
    return this.#waiting.reduce((sum, bytes) => sum + bytes.length, 0);
  }

  /** Takes some of what waits, as a transport that has credit for it. */
  drain(count = Infinity): void {
    for (const bytes of this.#waiting.splice(0, count)) {
      const pages = this.#pages!;
      pages.push(bytes);
      for (let rows = pages.nextRows(); rows !== undefined; rows = pages.nextRows()) {
        this.rows.push(...rows);
      }
    }
    this.#writable();
  }

  /** The trailer, where the stream has ended. */
  finish() {
    assert(this.#finished);
    return this.#pages!.finish();
  }
}

function query(sql: string, params: SqlParams = [], more: Partial<ExecuteCommand> = {}) {
  return encodeQuery({ cmd: "execute", sql, params: encodeParams(params), ...more });
}

const CALLER = {
  principal: "tester",
  permissions: new Set<Permission>(["read", "write", "schema"]),
};

async function withEngine(
  body: (engine: InProcessEngine, run: (payload: Uint8Array) => Client) => void,
) {
  const engine = new InProcessEngine();
  const session = new QuerySession(engine, CALLER);
  body(engine, (payload) => {
    const client = new Client();
    session.run(payload, client);
    while (engine.runPending());
    return client;
  });
  await engine.close();
}

const series = (count: number, value = "i") =>
  `WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c LIMIT ${count}) SELECT ${value} FROM c`;

Deno.test("a small result is one Response with its rows, changes and row id", async () => {
  await withEngine((_, run) => {
    assertEquals(run(query("CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT)")).answers, [
      "respond",
    ]);
    const insert = run(query("INSERT INTO t (a) VALUES (?), (?)", ["x", "y"]));
    assertEquals(insert.response, {
      kind: "page",
      columns: [],
      page: new Uint8Array([0x90]),
      changes: 2,
      rowid: 2,
    });
    const select = run(query("SELECT id, a FROM t WHERE a <> :no", { no: "x" }));
    assertEquals(select.rows, [[2, "y"]]);
    assertEquals(select.response!.columns, [{ name: "id", declaredType: "INTEGER" }, {
      name: "a",
      declaredType: "TEXT",
    }]);
    assertEquals(run(query("SELECT 1 WHERE 0")).rows, []);
  });
});

Deno.test("up to 16 KiB of rows travel in the Response, more on a stream with a trailer", async () => {
  await withEngine((_, run) => {
    assertEquals(run(query("SELECT zeroblob(16000)")).answers, ["respond"]);
    const large = run(query("SELECT zeroblob(17000)"));
    assertEquals(large.answers, ["stream"]);
    large.drain();
    assertEquals([large.rows.length, large.finish()], [1, { rows: 1, changes: 0, rowid: null }]);
    const many = run(query(series(5_000)));
    assertEquals(many.answers, ["stream"]);
    many.drain();
    assertEquals([many.rows.length, many.finish().rows], [5_000, 5_000]);
    assertEquals(many.rows.at(-1), [5_000]);
  });
});

Deno.test("a write that returns many rows tells its changes in the trailer", async () => {
  await withEngine((_, run) => {
    run(query("CREATE TABLE t (id INTEGER PRIMARY KEY, a)"));
    const client = run(
      query(`INSERT INTO t (a) ${series(3_000, "printf('%20d', i)")} RETURNING *`),
    );
    client.drain();
    assertEquals(client.finish(), { rows: 3_000, changes: 3_000, rowid: 3_000 });
  });
});

Deno.test("no more of a result waits than the buffer's limit, and the engine computes no more", async () => {
  await withEngine((engine, run) => {
    const client = run(query(series(1_000_000, "i, 'some text of a row'")));
    assert(client.buffered() <= QUERY_LIMITS.streamBufferBytes);
    assert(client.buffered() > QUERY_LIMITS.streamBufferBytes / 2);
    const before = client.buffered();
    for (let i = 0; i < 5; i++) engine.runPending();
    assertEquals(client.buffered(), before);
    for (let i = 0; i < 20; i++) {
      client.drain(2);
      while (engine.runPending());
    }
    assert(client.bufferedMax <= QUERY_LIMITS.streamBufferBytes);
    assert(client.rows.length > 20_000);
  });
});

Deno.test("an error before the first row is an Error, one in the middle ends the stream with it", async () => {
  await withEngine((_, run) => {
    assertEquals(run(query("SELECT")).answers, ["error"]);
    const client = run(
      query(series(50_000, "abs(CASE i WHEN 40000 THEN -9223372036854775808 ELSE i END)")),
    );
    assertEquals(client.answers, ["stream"]);
    for (let i = 0; i < 10 && client.failure === undefined; i++) client.drain();
    assertEquals(client.failure?.codeName, "value_error");
  });
});

Deno.test("what cannot be read, is not known or not kept is refused by name", async () => {
  await withEngine((engine, run) => {
    const name = (payload: Uint8Array) => run(payload).failure?.codeName;
    assertEquals(name(new Uint8Array([0xc1])), "malformed_payload");
    assertEquals(name(new Uint8Array()), "malformed_payload");
    assertEquals(
      name(query("SELECT 1", [], { params: new Uint8Array([0x91]) })),
      "malformed_payload",
    );
    assertEquals(engine.status().running, 0);
  });
});

Deno.test("a cancelled stream is aborted, and its statement closed", async () => {
  await withEngine((engine) => {
    const client = new Client();
    const running = new QuerySession(engine, CALLER).run(query(series(1_000_000)), client);
    while (engine.runPending());
    running.cancel();
    while (engine.runPending());
    assertEquals(client.failure?.codeName, "cancelled");
    assertEquals(engine.status().running, 0);
    running.cancel();
  });
});

Deno.test("the urgency of a command is told before its answer, and only where the command has one", async () => {
  await withEngine((_, run) => {
    assertEquals(run(query("select 1", [], { urgency: 6 })).answers, ["urgency 6", "respond"]);
    assertEquals(run(query("select 1")).answers, ["respond"]);
  });
});
