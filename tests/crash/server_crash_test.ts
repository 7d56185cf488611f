// A server is killed at random moments of a load of writes and started again on the same files: every write that was
// answered is there, none is there twice, what has a key is answered in the end, and the change feed has every change
// once and in order.

import { assertEquals } from "@std/assert";
import { type Client, connect, type ConnectOptions, SqpError } from "../../src/client/mod.ts";
import { LIVE_PERMISSIONS, pause, TemporaryFolder, until } from "../harness/live_server.ts";
import { testWith } from "../harness/permissions.ts";
import { Random } from "../harness/random.ts";
import { ServerProcess } from "../harness/server_process.ts";
import {
  COUNT_WRITES,
  crashCount,
  INSERT,
  Ledger,
  MAKE_TABLE,
  PARTS,
  type Writer,
} from "./ledger.ts";

const WRITERS = 6;

/** One life of the server, and a client of it. */
interface Life {
  readonly server: ServerProcess;
  readonly client: Client;
  /** Aborted when the server is killed: nobody waits until its silence is noticed. */
  readonly end: AbortController;
}

/** Starts a server again and again. */
class Lives implements AsyncDisposable {
  readonly #folder: string;
  readonly #closing: Promise<void>[] = [];
  #life = Promise.withResolvers<Life>();

  constructor(folder: string) {
    this.#folder = folder;
  }

  /** The present life, or the next one. */
  get current(): Promise<Life> {
    return this.#life.promise;
  }

  async begin(): Promise<void> {
    const folder = this.#folder;
    const server = await ServerProcess.start(
      ["--certs", `${folder}/certs`, "--database", `${folder}/w.sqlite`],
      { cwd: folder },
    );
    const read = (name: string) => Deno.readTextFileSync(`${folder}/certs/${name}`);
    const options: ConnectOptions = {
      ca: read("ca.pem"),
      cert: read("client.pem"),
      key: read("client.key"),
    };
    this.#life.resolve({
      server,
      client: await connect(server.url, options),
      end: new AbortController(),
    });
  }

  async kill(): Promise<void> {
    const { server, client, end } = await this.current;
    this.#life = Promise.withResolvers<Life>();
    server.signal("SIGKILL");
    await server.ended();
    end.abort();
    this.#closing.push(client.close());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const { server, client } = await this.current;
    await client.close();
    await server[Symbol.asyncDispose]();
    await Promise.all(this.#closing);
  }
}

/** Writes through the client of a life. */
function writerOf({ client, end: { signal } }: Life): Writer {
  const options = (key?: string) => ({
    signal,
    ...(key !== undefined && { idempotencyKey: key }),
  });
  return {
    insert: (n, key) => client.execute(INSERT, [n, 0], options(key)),
    batch: (n, key) =>
      client.batch(PARTS.map((part) => ({ sql: INSERT, params: [n, part] })), options(key)),
    transaction: (n) =>
      Promise.race([
        client.transaction((tx) => {
          for (const part of PARTS) tx.execute(INSERT, [n, part], { signal }).catch(() => {});
          return Promise.resolve();
        }),
        new Promise((_, reject) =>
          signal.addEventListener("abort", () => reject(new SqpError("connection_lost")))
        ),
      ]),
  };
}

/** Follows the feed of the table through all lives: the ids of the rows in the order in which they were told. */
async function follow(
  lives: Lives,
  told: number[],
  { onRegistered, isOver }: { onRegistered(): void; isOver(): boolean },
): Promise<void> {
  let cursor: string | undefined;
  while (!isOver()) {
    const { client, end } = await lives.current;
    const feed = client.subscribe({
      tables: ["w"],
      signal: end.signal,
      ...(cursor !== undefined && { cursor }),
    });
    try {
      await feed.tables;
      cursor = feed.cursor ?? cursor;
      onRegistered();
      for await (const event of feed) {
        if (event.kind === "reset") throw new Error(`the feed was reset: ${event.reason}`);
        if (event.kind === "transaction") {
          told.push(...event.changes.map(({ after }) => after![0] as number).sort((a, b) => a - b));
        }
        cursor = feed.cursor;
        if (isOver()) break;
      }
    } catch (error) {
      if (!(error instanceof SqpError)) throw error;
    }
  }
}

testWith(
  { permissions: LIVE_PERMISSIONS },
  "a server is killed again and again, and no write is lost or done twice",
  async () => {
    await using folder = new TemporaryFolder();
    const random = new Random(2);
    await using lives = new Lives(folder.path);
    await lives.begin();
    await (await lives.current).client.execute(MAKE_TABLE);
    const told: number[] = [];
    let isOver = false;
    const registered = Promise.withResolvers<void>();
    const following = follow(lives, told, {
      onRegistered: registered.resolve,
      isOver: () => isOver,
    });
    await registered.promise;
    const ledger = new Ledger();
    const ready = async () => writerOf(await lives.current);
    const writers = Array.from({ length: WRITERS }, () => ledger.write(ready, random.fork()));
    for (let round = 0; round < crashCount(); round++) {
      await pause(random.integer(50, 500));
      await lives.kill();
      await lives.begin();
    }
    ledger.stop();
    await Promise.all(writers);
    const { client } = await lives.current;
    ledger.check((await client.execute(COUNT_WRITES)).rows as [number, number, number][]);
    const { rows } = await client.execute("SELECT id FROM w ORDER BY id");
    await until("the feed has told everything", () => told.length >= rows.length);
    isOver = true;
    await client.execute(INSERT, [0, 0]);
    await following;
    assertEquals(told.slice(0, rows.length), rows.map(([id]) => id));
    // deno-lint-ignore no-console
    console.log(`${crashCount()} kills of the server: ${ledger.summary()}`);
  },
);
