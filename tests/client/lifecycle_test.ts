// Beginnings and ends over sockets of this machine: many clients, drained and lost servers, addresses in use, wrong
// options.

import { assert, assertEquals, assertRejects } from "@std/assert";
import { type Client, connect, SqpError } from "../../src/client/mod.ts";
import { decodeSession } from "../../src/dtls/session.ts";
import { AddressError } from "../../src/server/mod.ts";
import { LiveServer, liveTest, until } from "../harness/live_server.ts";

const ENDLESS =
  "WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c) SELECT count(*) FROM c";

/** A statement that takes some tenths of a second. */
const LONG =
  "WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c LIMIT 3000000) SELECT max(i) FROM c";

async function codeOf(promise: Promise<unknown>): Promise<string> {
  return (await assertRejects(() => promise, SqpError)).codeName;
}

function endpointCount(server: LiveServer, name: string): number {
  return server.server.counters()["endpoint"]![name] ?? 0;
}

liveTest("100 clients at once are all served, and all gone afterwards", async () => {
  await using server = await LiveServer.start();
  const { options } = server;
  const clients = await Promise.all(
    Array.from({ length: 100 }, () => connect(server.url, options)),
  );
  assertEquals(server.server.clientCount, 100);
  const answers = await Promise.all(
    clients.flatMap((client, i) => [0, 1, 2].map((n) => client.execute("select ?", [3 * i + n]))),
  );
  assertEquals(answers.map(({ rows }) => rows[0]![0]), Array.from({ length: 300 }, (_, i) => i));
  await Promise.all(clients.map((client) => client.close()));
  await until("they are gone", () => endpointCount(server, "ended") === 100);
  assertEquals(endpointCount(server, "admitted"), 100);
});

liveTest(
  "a server that stops lets running requests finish, takes no new ones, and says so",
  async () => {
    await using server = await LiveServer.start({ drainMs: 120_000 });
    const client = await server.connect();
    const running = client.execute(LONG, [], { timeoutMs: 120_000 });
    await until("it runs", () => server.server.engineStatus.running === 1);
    const closing = server.server.close();
    await until("the client knows", async () => {
      const probe = client.execute("select 1");
      return await probe.then(() => false, (error) => error.codeName === "draining");
    });
    assertEquals((await running).rows, [[3_000_000]]);
    assertEquals((await client.closed).codeName, "shutting_down");
    await closing;
    await client.close();
    assertEquals(await codeOf(client.execute("select 1")), "closed");
  },
);

liveTest("a request that takes longer than the drain fails with shutting_down", async () => {
  await using server = await LiveServer.start({ drainMs: 100 });
  await using client = await server.connect();
  const running = client.execute(ENDLESS);
  await until("it runs", () => server.server.engineStatus.running === 1);
  const closing = server.server.close();
  assertEquals(await codeOf(running), "shutting_down");
  assertEquals((await client.closed).codeName, "shutting_down");
  await closing;
});

liveTest("a client comes back to a server that was started again on its port", async () => {
  await using first = await LiveServer.start();
  const { port, options } = first;
  const before = await first.connect();
  await before.execute("create table kept (v)");
  await before.execute("insert into kept values ('still there')");
  await first.server.close();
  assertEquals((await before.closed).codeName, "shutting_down");
  await before.close();
  await using second = await LiveServer.start({
    port,
    certificates: `${first.folder}/certs`,
    database: `${first.folder}/test.sqlite`,
  });
  await using after = await connect(second.url, options);
  assertEquals((await after.execute("select v from kept")).rows, [["still there"]]);
});

liveTest(
  "a second server on the same address fails with AddressError and leaves nothing behind",
  async () => {
    await using server = await LiveServer.start();
    const { port } = server;
    const error = await assertRejects(() => LiveServer.start({ port }), AddressError);
    assertEquals(error.message, `127.0.0.1:${port} is in use`);
    await using client = await server.connect();
    assertEquals((await client.execute("select 1")).rows, [[1]]);
  },
);

liveTest(
  "a server that is not there fails in the time that was given, and nothing is left",
  async () => {
    await using server = await LiveServer.start();
    const { url, options } = server;
    await server.server.close();
    assertEquals(
      await codeOf(connect(url, { ...options, connectTimeoutMs: 300 })),
      "handshake_timeout",
    );
  },
);

liveTest("options that are wrong are told apart before anything is sent", async () => {
  await using server = await LiveServer.start();
  const { url, options } = server;
  const { ca, cert, key } = options as Required<typeof options>;
  const other = await LiveServer.start();
  const otherKey = other.options.key!;
  await other[Symbol.asyncDispose]();
  const wrong: readonly (readonly [Promise<Client>, RegExp])[] = [
    [connect("http://127.0.0.1", options), /is not of the form sqp:\/\/host:port/],
    [connect("sqp://127.0.0.1:0", options), /is not of the form/],
    [connect("sqp://127.0.0.1:65536", options), /is not of the form/],
    [connect(url, { ca: "", cert, key }), /^ca: /],
    [connect(url, { ca: "no PEM", cert, key }), /^ca: /],
    [connect(url, { ca, cert }), /belong together/],
    [connect(url, { ca, key }), /belong together/],
    [connect(url, { ca, cert: ca, key: "x" }), /^key: /],
    [connect(url, { ca, cert: "x", key }), /^cert: /],
    [connect(url, { ca, cert, key: otherKey }), /does not belong to the certificate/],
    [connect(url, { ca, cert, key, crl: "x" }), /^ca|^crl/],
  ];
  for (const [promise, message] of wrong) {
    const error = await assertRejects(() => promise, SqpError);
    assertEquals(error.codeName, "bad_configuration");
    assert(message.test(error.message), error.message);
  }
  assertEquals(server.server.counters()["socket"]!["received"] ?? 0, 0);
});

liveTest(
  "a client comes back with the session that it exported, and with none that is none",
  async () => {
    await using live = await LiveServer.start();
    const authenticatedAt: number[] = [];
    let session: Uint8Array | undefined;
    for (let i = 0; i < 2; i++) {
      await using client = await live.connect(session === undefined ? {} : { session });
      await until("there is a session", () => client.exportSession() !== undefined);
      session = client.exportSession()!;
      authenticatedAt.push(decodeSession(session).authenticatedAt);
      assertEquals((await client.execute("select 7")).rows, [[7]]);
    }
    assertEquals(authenticatedAt[1], authenticatedAt[0], "what the first handshake proved");
    const error = await assertRejects(() => live.connect({ session: new Uint8Array(9) }), SqpError);
    assertEquals(error.codeName, "bad_configuration");
  },
);
