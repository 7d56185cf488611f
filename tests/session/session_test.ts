// Sessions from their beginning to their end, over a good network.

import { assert, assertEquals } from "@std/assert";
import { MessageType } from "../../src/wire/frame.ts";
import { encodeParams } from "../../src/wire/params.ts";
import { encodeQuery } from "../../src/wire/query_payload.ts";
import { DEFAULT_SESSION_LIMITS } from "../../src/wire/handshake_payload.ts";
import { delay, jitter, loss, outage, reorder } from "../harness/link.ts";
import { message, type ScriptFrame } from "../harness/script.ts";
import { forEachSeed } from "../harness/simulation.ts";
import { ScriptedPeer } from "../harness/sqp_peer.ts";
import { SqpPair, type SqpPairOptions, tokenClient } from "../harness/sqp_pair.ts";

const NOTHING = new Uint8Array(0);

function query(requestId: number, sql: string): ScriptFrame {
  const payload = encodeQuery({ cmd: "execute", sql, params: encodeParams([]) });
  return message(MessageType.QUERY, requestId, payload);
}

function connected(options: SqpPairOptions = {}): SqpPair {
  return new SqpPair(options).connect();
}

/** A pair without clients, and a scripted peer that was let in. */
function entered(options: SqpPairOptions = {}): { pair: SqpPair; peer: ScriptedPeer } {
  const pair = new SqpPair({ ...options, clients: [] });
  return { pair, peer: new ScriptedPeer(pair, "10.1.0.1:1").enter() };
}

Deno.test("a client is let in, asks and leaves, and nothing is left", () => {
  const pair = new SqpPair();
  const asked = pair.client.ask("echo", { params: [1, "a", null] });
  const rows = pair.client.ask("rows 200 1000");
  pair.answerAll();
  assertEquals([asked.outcome, asked.rows], ["done", [[1, "a", null]]]);
  assertEquals([rows.outcome, rows.rows.length], ["done", 200]);
  pair.finish();
  assertEquals(pair.client.ended?.codeName, "closed");
  assertEquals(pair.events.at(-1)!.event, { kind: "ended", error: undefined });
});

Deno.test("the handshake tells principal, permissions, session id, secret and the server's limits", () => {
  const limits = { openRequests: 9, messageBytes: 70_000, idleMs: 40_000 };
  const pair = connected({ sessionLimits: limits, clients: [tokenClient("good:somebody")] });
  const [ready] = pair.client.events;
  assert(ready?.kind === "ready");
  const { response } = ready;
  assertEquals([response.principal, response.permissions], ["somebody", ["read", "write"]]);
  assertEquals(response.limits, { ...DEFAULT_SESSION_LIMITS, ...limits });
  assertEquals([response.secret.length, response.agent], [32, "test server"]);
  const session = pair.serverSide(pair.client)!.stack.session!;
  assert(response.sessionId !== 0n);
  assertEquals(session.sessionId, response.sessionId);
  pair.finish();
});

Deno.test("a session ends with its token, and says so", () => {
  const pair = connected({ clients: [tokenClient("good:somebody:60000"), {}] });
  const [client, other] = pair.clients;
  pair.advance(59_000);
  assertEquals(client!.ended, undefined);
  pair.advance(5_000);
  assertEquals(client!.ended?.codeName, "token_expired");
  assertEquals(other!.ended, undefined);
  pair.finish();
});

Deno.test("sessions have ids and secrets of their own", () => {
  const pair = connected({ clients: [{}, {}, {}] });
  const told = pair.clients.map(({ events: [ready] }) =>
    ready?.kind === "ready" ? `${ready.response.sessionId} ${ready.response.secret}` : ""
  );
  assertEquals(new Set(told).size, 3);
  pair.finish();
});

// Requests.

Deno.test("a Query beyond open_requests is answered with too_many_requests, and the others are not touched", () => {
  const { pair, peer } = entered({ sessionLimits: { openRequests: 4 } });
  for (let requestId = 1; requestId <= 6; requestId++) peer.exchange(query(requestId, "hang"));
  assertEquals([peer.verdicts, pair.engine.runningCount], [
    ["too_many_requests", "too_many_requests"],
    4,
  ]);
  peer.exchange(message(MessageType.CANCEL, 1, NOTHING));
  peer.exchange(query(7, "echo"));
  assertEquals(peer.verdicts.slice(2), ["cancelled"]);
  assertEquals(peer.received.at(-1)!.type, MessageType.RESPONSE);
});

Deno.test("a client keeps requests beyond open_requests back, in order", () => {
  const pair = connected({ sessionLimits: { openRequests: 3 } });
  const asked = Array.from({ length: 12 }, (_, i) => pair.client.ask(`after 50 write w${i}`));
  let runningMax = 0;
  pair.runUntil(() => {
    runningMax = Math.max(runningMax, pair.engine.runningCount);
    return asked.every(({ isOver }) => isOver);
  });
  assertEquals(asked.map(({ outcome }) => outcome), asked.map(() => "done"));
  assertEquals(runningMax, 3);
  assertEquals(pair.engine.statements, asked.map(({ sql }) => sql));
  pair.finish();
});

Deno.test("a client's queue has a limit in requests and in bytes, and says so", () => {
  const settings = { queuedRequestsMax: 3, queuedBytesMax: 5_000 };
  const pair = connected({ sessionLimits: { openRequests: 1 }, clients: [{ settings }] });
  const asked = Array.from({ length: 6 }, () => pair.client.ask("after 10 echo"));
  assertEquals(asked.slice(4).map(({ outcome }) => outcome), ["overloaded", "overloaded"]);
  pair.answerAll();
  pair.client.ask("after 10 echo");
  const long = pair.client.ask("echo", { params: ["x".repeat(4_000)] });
  const longer = pair.client.ask("echo", { params: ["x".repeat(4_000)] });
  pair.answerAll();
  assertEquals([long.outcome, longer.outcome], ["done", "overloaded"]);
  pair.finish();
});

Deno.test("a message longer than the server takes fails alone", () => {
  const pair = connected({ sessionLimits: { messageBytes: 3_000 } });
  const long = pair.client.ask("echo", { params: ["x".repeat(3_000)] });
  const short = pair.client.ask("echo", { params: ["x".repeat(2_000)] });
  pair.answerAll();
  assertEquals([long.outcome, short.outcome], ["message_too_large", "done"]);
  pair.finish();
});

Deno.test("a client that takes no message at all is answered with Errors, and the server stands", () => {
  const clients = [{ limits: { messageBytes: 1, sessionCredit: 0 } }];
  const pair = connected({ sessionLimits: { openRequests: 2 }, clients });
  const asked = ["blob 20", "fail constraint", "rows 3 5", "blob 70000", "hang"]
    .map((sql) => pair.client.ask(sql));
  pair.advance(2_000);
  assertEquals(asked.map(({ outcome }) => outcome), [
    "message_too_large",
    "constraint",
    "message_too_large",
    "message_too_large",
    "open",
  ]);
  pair.finish();
});

Deno.test("a malformed Query ends its own request with an Error, and no other", () => {
  const { pair, peer } = entered();
  peer.exchange(query(1, "hang"), message(MessageType.QUERY, 2, new Uint8Array([0xc1])));
  peer.exchange(message(MessageType.QUERY, 3, NOTHING));
  assertEquals(peer.verdicts, ["malformed_payload", "malformed_payload"]);
  assertEquals([pair.engine.runningCount, peer.isEnded], [1, false]);
});

Deno.test("an Error of the engine reaches the client with its name, number and advice", () => {
  const pair = connected();
  const busy = pair.client.ask("fail database_busy");
  pair.answerAll();
  assertEquals([busy.error?.code, busy.error?.codeName, busy.error?.retry], [
    5013,
    "database_busy",
    "later",
  ]);
  pair.finish();
});

// Cancel.

Deno.test("Cancel ends a request that runs; the client hears nothing of it any more", () => {
  const pair = connected();
  const asked = pair.client.ask("hang");
  pair.advance(100);
  assertEquals(pair.engine.runningCount, 1);
  pair.client.cancel(asked);
  pair.advance(100);
  assertEquals([pair.engine.runningCount, asked.outcome], [0, "open"]);
  pair.finish();
});

Deno.test("Cancel ends a request whose stream was announced and has not begun", () => {
  const pair = connected({ sessionLimits: { openRequests: 1 } });
  const asked = pair.client.ask("silence");
  pair.advance(100);
  assertEquals(pair.engine.runningCount, 1);
  pair.client.cancel(asked);
  const next = pair.client.ask("echo");
  pair.runUntil(() => next.isOver);
  assertEquals([pair.engine.runningCount, asked.outcome, next.outcome], [0, "open", "done"]);
  pair.finish();
});

Deno.test("a Cancel that overtakes its Query is remembered and cancels it when it comes", () => {
  const { pair, peer } = entered();
  peer.exchange(message(MessageType.CANCEL, 1, NOTHING));
  assertEquals(peer.verdicts, []);
  peer.exchange(query(1, "hang"));
  assertEquals([peer.verdicts, pair.engine.runningCount], [["cancelled"], 0]);
});

Deno.test("a Cancel for a request that has ended is ignored", () => {
  const { peer } = entered();
  peer.exchange(query(1, "echo"));
  const told = peer.received.length;
  peer.exchange(message(MessageType.CANCEL, 1, NOTHING));
  assertEquals([peer.received.length, peer.isEnded], [told, false]);
});

Deno.test("a cancelled request keeps its place until the server has ended it", () => {
  forEachSeed(20, (seed) => {
    const nodes = () => [loss(0.2), delay(10), jitter(5), reorder(0.2, 30)];
    const pair = connected({
      seed,
      toServer: nodes,
      toClient: nodes,
      sessionLimits: { openRequests: 2 },
    });
    const statements = ["hang", "rows 300 800", "after 40 echo", "echo", "blob 9000"];
    const asked = Array.from({ length: 30 }, (_, i) => {
      const one = pair.client.ask(statements[i % statements.length]!);
      if (i % 5 !== 3) pair.after(pair.random.integer(0, 900), () => pair.client.cancel(one));
      return one;
    });
    pair.advance(1_000);
    pair.runUntil(() => asked.every((one, i) => i % 5 !== 3 || one.isOver), 600_000);
    for (const { sql, outcome } of asked) {
      assert(outcome === "done" || (outcome === "open" && sql !== "echo"), `${sql}: ${outcome}`);
    }
    pair.finish();
  });
});

Deno.test("a request that is cancelled before it is sent never is", () => {
  const pair = connected({ sessionLimits: { openRequests: 1 } });
  pair.client.ask("after 100 echo");
  const waiting = pair.client.ask("write never");
  const last = pair.client.ask("echo");
  pair.client.cancel(waiting);
  pair.runUntil(() => last.isOver);
  assertEquals([last.outcome, pair.engine.writes.size], ["done", 0]);
  pair.finish();
});

// Streams.

Deno.test("a slow reader stops its own query, holds little memory, and nobody else", () => {
  const pair = connected();
  const slow = pair.client.ask("rows 4000 1000", { pages: 0 });
  pair.advance(5_000);
  const quick = pair.client.ask("rows 300 1000");
  pair.runUntil(() => quick.isOver);
  const buffered = pair.serverSide(pair.client)!.stack.transport!.bufferedBytes +
    pair.client.stack.transport!.bufferedBytes;
  assert(buffered < 700_000, `${buffered} bytes of 4,000,000`);
  assert(pair.engine.streamBufferedMax < 250_000);
  assertEquals([quick.outcome, quick.rows.length, slow.outcome], ["done", 300, "open"]);
  slow.pull(Infinity);
  pair.answerAll();
  assertEquals([slow.outcome, slow.rows.length], ["done", 4_000]);
  pair.finish();
});

Deno.test("a stream that fails ends with the error, not as a short result", () => {
  const pair = connected();
  const failed = pair.client.ask("rows 400 1000 abort engine_failure");
  const empty = pair.client.ask("rows 0 10");
  pair.answerAll();
  assertEquals([failed.outcome, failed.changes], ["engine_failure", 0]);
  assertEquals([empty.outcome, empty.rows], ["done", []]);
  pair.finish();
});

Deno.test("a stream that is cancelled in the middle frees its memory on both sides", () => {
  const pair = connected();
  const asked = pair.client.ask("rows 4000 1000", { pages: 1 });
  pair.advance(1_000);
  pair.client.cancel(asked);
  pair.advance(1_000);
  const { transport } = pair.serverSide(pair.client)!.stack;
  assertEquals([transport!.bufferedBytes, pair.client.stack.transport!.bufferedBytes], [0, 0]);
  assertEquals([pair.engine.runningCount, transport!.stats().sendStreams], [0, 0]);
  pair.finish();
});

Deno.test("an engine that writes beyond the stream's limit fails its request alone", () => {
  const pair = connected();
  const asked = pair.client.ask("hang");
  const other = pair.client.ask("after 200 echo");
  pair.advance(100);
  pair.endpoint.use(pair.serverSide(pair.client)!, pair.now, (session) => {
    session.openStream(asked.requestId, () => new Uint8Array([0x80]));
    for (let i = 0; i < 100; i++) session.writeStream(asked.requestId, new Uint8Array(100_000));
  });
  pair.answerAll();
  // The head is no Response either, so that the client may see this first.
  assert(["internal", "incomplete_result"].includes(asked.outcome), asked.outcome);
  assertEquals(other.outcome, "done");
});

// Heartbeats and dead peers.

Deno.test("an idle session lives on by heartbeats, and costs little", () => {
  const pair = connected();
  let datagrams = 0;
  pair.onDatagram = () => datagrams++;
  pair.advance(600_000);
  assert(pair.client.isReady);
  assert(datagrams > 60 && datagrams < 400, `${datagrams} datagrams in ten minutes`);
  const asked = pair.client.ask("echo");
  pair.answerAll();
  assertEquals(asked.outcome, "done");
  pair.finish();
});

Deno.test("a server asks a silent client for a sign of life, a client a silent server", () => {
  for (const [client, server] of [[5_000, 1_000_000], [1_000_000, 5_000]] as const) {
    const pair = connected({
      sessionLimits: { heartbeatMs: server, idleMs: 20_000 },
      clients: [{ limits: { heartbeatMs: client, idleMs: 20_000 } }],
    });
    pair.advance(120_000);
    assert(pair.client.isReady, `heartbeats of ${client} and ${server} ms`);
    pair.finish();
  }
});

Deno.test("an absurd idle time of the server does not make the client send without end", () => {
  const pair = connected({ sessionLimits: { idleMs: 320, heartbeatMs: 1_000_000 } });
  let fromClient = 0;
  pair.onDatagram = (from) => fromClient += from === "client" ? 1 : 0;
  pair.advance(10_000);
  assert(pair.client.isReady);
  assert(fromClient < 150, `${fromClient} datagrams`);
  pair.finish();
});

for (const dark of ["both ways", "towards the server", "towards the client"]) {
  Deno.test(`a link that goes dark ${dark} is found by each side, and everything is released`, () => {
    const pair = new SqpPair({ clients: [] });
    const from = pair.now + 5_000;
    const cut = [outage(from, Infinity), delay(10)];
    const client = pair.addClient({
      toServer: dark === "towards the client" ? [delay(10)] : cut,
      toClient: dark === "towards the server" ? [delay(10)] : cut,
    });
    const hanging = client.ask("hang");
    const streaming = client.ask("rows 5000 1000", { pages: 0 });
    const late = pair.connect().client;
    pair.advance(10_000);
    late.ask("write late");
    pair.runUntilIdle(120_000);
    const lost = ["heartbeat_lost", "connection_lost", "idle_timeout"];
    for (const { outcome } of client.asked) assert(lost.includes(outcome), outcome);
    assert(hanging.isOver && streaming.isOver);
    const ended = pair.events.at(-1)!.event;
    // What the client says last may still arrive.
    const reason = dark === "towards the client" ? "connection_lost" : "heartbeat_lost";
    assert(ended.kind === "ended" && ended.error?.codeName === reason);
    pair.checkReleased();
  });
}

Deno.test("a client whose process is gone is found, and its requests end", () => {
  const pair = connected();
  pair.client.ask("hang");
  pair.client.ask("rows 5000 1000", { pages: 0 });
  pair.advance(1_000);
  pair.client.isGone = true;
  pair.client.destroy(pair.now);
  pair.runUntilIdle(60_000);
  assertEquals([pair.endpoint.clientCount, pair.engine.runningCount], [0, 0]);
});

// The end.

Deno.test("a drain refuses new requests, lets running ones finish, and ends with shutting_down", () => {
  const pair = connected();
  const running = pair.client.ask("after 700 write w");
  pair.advance(50);
  pair.endpoint.drain(5_000, pair.now, "sqp://other.example:4433");
  // What the client asks before it knows is answered, too.
  const crossing = pair.client.ask("echo");
  pair.advance(100);
  const [, draining] = pair.client.events;
  assert(draining?.kind === "draining");
  assertEquals([draining.termination.url, draining.termination.drainMs], [
    "sqp://other.example:4433",
    5_000,
  ]);
  const late = pair.client.ask("write late");
  pair.answerAll();
  assertEquals([running.outcome, crossing.outcome, late.outcome], ["done", "draining", "draining"]);
  const endsBy = pair.now + 500;
  pair.runUntil(() => pair.client.ended !== undefined);
  assert(pair.now < endsBy);
  assertEquals(pair.client.ended?.codeName, "shutting_down");
  assertEquals([...pair.engine.writes], [["w", 1]]);
  pair.runUntilIdle();
  assertEquals(pair.endpoint.isDrained, true);
  pair.checkReleased();
});

Deno.test("what a drain does not see finished in time fails with shutting_down", () => {
  const pair = connected({ clients: [{}, {}] });
  const hanging = pair.client.ask("hang");
  const reading = pair.clients[1]!.ask("rows 9000 1000", { pages: 0 });
  pair.advance(500);
  pair.endpoint.drain(2_000, pair.now);
  pair.advance(2_100);
  assertEquals([hanging.outcome, reading.outcome], ["shutting_down", "shutting_down"]);
  pair.runUntilIdle();
  assertEquals(pair.clients.map(({ ended }) => ended?.codeName), [
    "shutting_down",
    "shutting_down",
  ]);
  pair.checkReleased();
});

Deno.test("a drain over a lossy network ends in order for every client", () => {
  forEachSeed(20, (seed) => {
    const nodes = () => [loss(0.25), delay(15), jitter(10), reorder(0.1, 40)];
    const pair = connected({ seed, toServer: nodes, toClient: nodes, clients: [{}, {}, {}] });
    const asked = pair.clients.filter(({ isReady }) => isReady)
      .map((client) => client.ask("after 300 write w"));
    pair.runUntil(() => pair.engine.statements.length === asked.length, 60_000);
    pair.endpoint.drain(20_000, pair.now);
    pair.runUntilIdle();
    assertEquals(asked.map(({ outcome }) => outcome), asked.map(() => "done"));
    pair.checkReleased();
  });
});

Deno.test("a client that is let in while the server drains is refused with draining", () => {
  const pair = new SqpPair({ clients: [tokenClient("good:x")], tokenCheckMs: 500 });
  pair.after(200, () => pair.endpoint.drain(1_000, pair.now));
  pair.runUntilIdle();
  const late = pair.addClient();
  pair.runUntilIdle();
  assertEquals([pair.client.ended?.codeName, late.ended?.codeName], ["draining", "draining"]);
  pair.checkReleased();
});

Deno.test("a client that closes leaves nothing, whatever it had open", () => {
  const pair = connected();
  const asked = ["hang", "rows 5000 1000", "after 5000 write w", "echo"]
    .map((sql) => pair.client.ask(sql));
  pair.advance(100);
  pair.finish();
  assertEquals(asked.map(({ outcome }) => outcome), ["closed", "closed", "closed", "done"]);
  assertEquals(pair.events.at(-1)!.event, { kind: "ended", error: undefined });
  assertEquals(pair.engine.writes.size, 0);
});

Deno.test("a client may close at every moment of its life", () => {
  for (let afterMs = 0; afterMs < 140; afterMs += 5) {
    const pair = new SqpPair({ clients: [tokenClient("good:x")] });
    const asked = pair.client.ask("after 10 echo");
    pair.after(afterMs, () => pair.client.close(pair.now));
    pair.runUntilIdle();
    assert(asked.isOver, `closed after ${afterMs} ms: ${asked.outcome}`);
    assertEquals(pair.client.ended?.codeName, "closed");
    pair.checkReleased();
  }
});

Deno.test("a close over a lossy network ends in order", () => {
  forEachSeed(30, (seed) => {
    const nodes = () => [loss(0.4), delay(15), jitter(10)];
    const pair = connected({ seed, toServer: nodes, toClient: nodes });
    pair.client.ask("rows 300 1000");
    pair.advance(pair.random.integer(0, 2_000));
    pair.finish();
  });
});

Deno.test("a close that nobody hears waits for its time, and for nothing else", () => {
  const pair = new SqpPair({ clients: [] });
  const dark = [outage(pair.now + 8_000, Infinity), delay(10)];
  const client = pair.addClient({ toServer: dark, toClient: dark });
  pair.advance(9_000);
  client.close(pair.now);
  // Past the time at which a sign of life would have been asked for.
  pair.runUntilIdle();
  assertEquals(client.ended?.codeName, "closed");
  pair.checkReleased();
});

Deno.test("requests are refused once a session has ended", () => {
  const pair = connected();
  pair.finish();
  const { session } = pair.client.stack;
  let thrown = "";
  try {
    session!.query(NOTHING);
  } catch (error) {
    thrown = (error as { codeName: string }).codeName;
  }
  assertEquals(thrown, "closed");
});

Deno.test("close_notify while requests are open ends them on both sides", () => {
  const pair = connected();
  const asked = pair.client.ask("hang");
  pair.advance(100);
  pair.serverSide(pair.client)!.stack.association.close(pair.now);
  pair.endpoint.use(pair.serverSide(pair.client)!, pair.now, () => {});
  pair.runUntilIdle();
  assertEquals([asked.outcome, pair.client.ended?.codeName], [
    "connection_lost",
    "connection_lost",
  ]);
  assertEquals(pair.engine.runningCount, 0);
  pair.checkReleased();

  const { pair: other, peer } = entered();
  peer.exchange(query(1, "hang"));
  peer.association.close(other.now);
  other.runUntilIdle();
  assertEquals(other.engine.runningCount, 0);
  other.checkReleased();
});

Deno.test("a sending key that is worn out ends the session on both sides", () => {
  const pair = connected();
  const asked = pair.client.ask("hang");
  pair.advance(100);
  // As sealing does when the key may be used no more.
  pair.client.stack.association.close(pair.now);
  pair.client.stack.pollTransmit(pair.now);
  pair.runUntilIdle();
  assertEquals([asked.outcome, pair.engine.runningCount], ["connection_lost", 0]);
  pair.checkReleased();
});
