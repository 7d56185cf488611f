// A server's endpoint: limits of sessions, associations that others take the place of, and clients that come and go.

import { assert, assertEquals } from "@std/assert";
import { delay, outage } from "../harness/link.ts";
import { handshakeRequest, ScriptedPeer } from "../harness/sqp_peer.ts";
import { type SqpClientOptions, SqpPair, tokenClient } from "../harness/sqp_pair.ts";

/** How many of these clients are let in, and the errors of the others. */
function outcomes(pair: SqpPair): string[] {
  return pair.clients.map(({ isReady, ended }) => isReady ? "in" : ended!.codeName);
}

function named(...names: string[]): SqpClientOptions[] {
  return names.map((name) => tokenClient(`good:${name}`));
}

Deno.test("past sessionsMax a client is told too_many_sessions; one that leaves makes room", () => {
  const pair = new SqpPair({ endpointLimits: { sessionsMax: 2 }, clients: named("a", "b", "c") })
    .connect();
  assertEquals(outcomes(pair), ["in", "in", "too_many_sessions"]);
  assert(pair.clients[2]!.ended!.message.includes("the server"));
  pair.client.close(pair.now);
  pair.advance(100);
  pair.addClient(named("d")[0]);
  assert(pair.connect().clients[3]!.isReady);
  pair.finish();
});

Deno.test("past sessionsPerPrincipalMax only that principal is refused", () => {
  const clients = named("a", "a", "a", "b");
  const pair = new SqpPair({ endpointLimits: { sessionsPerPrincipalMax: 2 }, clients }).connect();
  assertEquals(outcomes(pair), ["in", "in", "too_many_sessions", "in"]);
  pair.clients[1]!.close(pair.now);
  pair.advance(100);
  pair.addClient(clients[0]);
  assert(pair.connect().clients[4]!.isReady);
  pair.finish();
});

Deno.test("past sessionsPerHostMax only that host is refused, whatever its ports", () => {
  const at = (address: string) => ({ address });
  const clients = ["[::1]:1", "[::1]:2", "[::1]:3", "10.0.0.1:1"].map(at);
  const pair = new SqpPair({ endpointLimits: { sessionsPerHostMax: 2 }, clients }).connect();
  assertEquals(outcomes(pair), ["in", "in", "too_many_sessions", "in"]);
  pair.clients[1]!.close(pair.now);
  pair.advance(100);
  pair.addClient(at("[::1]:4"));
  assert(pair.connect().clients[4]!.isReady);
  pair.finish();
});

Deno.test("sessions count until they end, however they end", () => {
  const limits = { sessionsMax: 1 };
  const ends: Record<string, (pair: SqpPair) => void> = {
    "closed": (pair) => pair.client.close(pair.now),
    "gone": (pair) => pair.client.isGone = true,
    "close_notify": (pair) => pair.client.stack.association.close(pair.now),
    "replaced": (pair) => pair.client.isGone = true,
  };
  for (const [name, end] of Object.entries(ends)) {
    const pair = new SqpPair({ endpointLimits: limits }).connect();
    end(pair);
    pair.advance(name === "gone" ? 60_000 : 50);
    const { address } = pair.client;
    pair.client.isGone = true;
    const client = pair.addClient(name === "replaced" ? { address } : {});
    pair.runUntil(() => client.isReady || client.ended !== undefined);
    assert(client.isReady, `${name}: ${client.ended?.codeName}`);
    pair.finish();
  }
});

Deno.test("an association from the same address takes the place of the one before (RFC 9147 section 5.11)", () => {
  const pair = new SqpPair().connect();
  const hanging = pair.client.ask("hang");
  pair.advance(100);
  const { address } = pair.client;
  const old = pair.client;
  old.isGone = true;
  const client = pair.addClient({ address });
  pair.runUntil(() => client.isReady);
  const asked = client.ask("echo", { params: [7] });
  pair.runUntil(() => asked.isOver);
  assertEquals([asked.outcome, asked.rows, hanging.outcome], ["done", [[7]], "open"]);
  assertEquals([pair.endpoint.clientCount, pair.engine.runningCount], [1, 0]);
  assertEquals(pair.endpoint.counters.get("replaced"), 1);
  const [ended] = pair.events.filter(({ event }) => event.kind === "ended");
  assert(ended?.event.kind === "ended" && ended.event.error?.codeName === "connection_lost");
  pair.finish();
});

Deno.test("the association before stays until the new one has proved itself", () => {
  const pair = new SqpPair().connect();
  const impostor = pair.addClient({
    address: "10.9.9.9:1",
    toServer: [outage(pair.now + 30, Infinity), delay(10)],
  });
  pair.advance(25);
  assertEquals(pair.endpoint.clientCount, 1);
  impostor.isGone = true;
  const asked = pair.client.ask("echo");
  pair.answerAll();
  assertEquals(asked.outcome, "done");
  pair.finish();
});

Deno.test("a host that begins handshake after handshake holds two associations at most", () => {
  const pair = new SqpPair();
  pair.connect();
  let most = 0;
  for (let round = 0; round < 40; round++) {
    // Its last flight never comes.
    const client = pair.addClient({
      address: "10.66.6.6:6",
      toServer: [outage(pair.now + 25, Infinity), delay(10)],
    });
    pair.advance(60);
    most = Math.max(most, pair.endpoint.clientCount);
    client.isGone = true;
  }
  assert(most <= 3, `${most} associations`);
  pair.finish();
});

Deno.test("past the limit of half-open associations a newcomer waits, and those that work are not touched", () => {
  const pair = new SqpPair({ dtlsLimits: { halfOpenMax: 3 } }).connect();
  for (let host = 0; host < 8; host++) {
    const client = pair.addClient({
      address: `10.66.6.${host}:6`,
      toServer: [outage(pair.now + 25, Infinity), delay(10)],
    });
    pair.advance(60);
    client.isGone = true;
  }
  assert(pair.endpoint.clientCount <= 4);
  assert((pair.endpoint.dtlsDrops["half-open-limit"] ?? 0) > 0);
  const asked = pair.client.ask("echo");
  pair.runUntil(() => asked.isOver);
  assertEquals(asked.outcome, "done");
  pair.runUntil(() => pair.endpoint.clientCount === 1);
  pair.finish();
});

Deno.test("a verdict on a token that comes after the client is gone is harmless, and counts nothing", () => {
  for (const token of ["good:a", "bad:token_expired"]) {
    const pair = new SqpPair({ clients: [tokenClient(token)], tokenCheckMs: 900 });
    pair.after(300, () => pair.client.close(pair.now));
    pair.after(400, () => pair.client.stack.association.close(pair.now));
    pair.runUntilIdle();
    pair.checkReleased();
    assertEquals(pair.endpoint.counters.get("admitted"), 0);
    // The limits are as they were.
    const client = pair.addClient(tokenClient("good:a"));
    assert(pair.connect() && client.isReady);
    pair.finish();
  }
});

Deno.test("a verdict that comes twice counts once", () => {
  const pair = new SqpPair({ clients: [], endpointLimits: { sessionsMax: 2 } });
  const peer = new ScriptedPeer(pair, "10.1.0.1:1").enter();
  const client = pair.serverSide(peer)!;
  const principal = client.stack.session!.principal!;
  pair.endpoint.admit(client, principal, pair.now);
  pair.endpoint.admit(client, { ...principal }, pair.now);
  assertEquals(pair.endpoint.counters.get("admitted"), 1);
  peer.exchange(handshakeRequest());
  assertEquals(peer.isEnded, false);
});

Deno.test("destroying an endpoint ends every session and forgets every key, without a word", () => {
  const pair = new SqpPair({ clients: [{}, {}, {}] }).connect();
  for (const client of pair.clients) client.ask("hang");
  pair.advance(100);
  let sent = 0;
  pair.onDatagram = (from) => sent += from === "server" ? 1 : 0;
  pair.endpoint.destroy(pair.now);
  pair.settle();
  assertEquals([sent, pair.endpoint.clientCount, pair.engine.runningCount], [0, 0, 0]);
  assertEquals(pair.endpoint.counters.get("ended"), 3);
});

Deno.test("a hundred clients come, ask and go, and nothing is left of any", () => {
  const pair = new SqpPair({ clients: [] });
  for (let i = 0; i < 100; i++) {
    pair.after(i * 7, () => {
      const client = pair.addClient(i % 2 === 0 ? {} : tokenClient(`good:${i}`));
      client.ask(`write ${i}`);
      client.ask("rows 20 500");
    });
  }
  pair.advance(1_000);
  pair.answerAll();
  assertEquals(pair.clients.flatMap(({ asked }) => asked).filter(({ isDone }) => !isDone), []);
  assertEquals(pair.engine.writes.size, 100);
  pair.finish();
  const { counters } = pair.endpoint;
  const counts = ["connected", "admitted", "ended", "refused", "replaced"] as const;
  assertEquals(counts.map((name) => counters.get(name)), [100, 100, 100, 0, 0]);
});

Deno.test("clients for whom there is much to send are sent to in turn", () => {
  const pair = new SqpPair({ clients: [{}, {}, {}] }).connect();
  const moments = new Map<number, string[]>();
  pair.onDatagram = (from, _, address) => {
    if (from === "client") return;
    moments.set(pair.now, [...moments.get(pair.now) ?? [], address]);
  };
  for (const client of pair.clients) client.ask("rows 300 1000");
  pair.answerAll();
  let turns = 0;
  for (const addresses of moments.values()) {
    for (const [at, address] of addresses.entries()) {
      // Nobody comes again before everybody who waits has come.
      const others = new Set(addresses.slice(at + 1));
      others.delete(address);
      const nextAt = addresses.indexOf(address, at + 1);
      if (nextAt < 0 || others.size === 0) continue;
      const between = new Set(addresses.slice(at + 1, nextAt));
      assert(between.size > 0, addresses.join(" "));
      turns++;
    }
  }
  assert(turns > 100, `only ${turns} turns`);
  pair.finish();
});
