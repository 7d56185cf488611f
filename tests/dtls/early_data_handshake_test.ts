// 0-RTT: taken once, soon, by the server that made the ticket; refused everywhere else, and reported as lost.

import { assert, assertEquals, assertThrows } from "@std/assert";
import { toHex, utf8Bytes } from "../../src/base/bytes.ts";
import {
  DtlsAssociation,
  DtlsEndpoint,
  DtlsError,
  type DtlsEvent,
  DtlsFault,
  type DtlsServerOptions,
  type EarlyDataPolicy,
  NamedGroup,
  SingleUseTickets,
} from "../../src/dtls/mod.ts";
import { EPOCH_MS } from "../harness/clock.ts";
import {
  CLIENT_DEFAULTS,
  closeAfterTest,
  DtlsPair,
  type PairOptions,
  SERVER_DEFAULTS,
} from "../harness/dtls_pair.ts";
import { delay } from "../harness/link.ts";
import { Random } from "../harness/random.ts";
import { firstAssociation, ticketKeys } from "../harness/resumption.ts";

const [ONE, TWO] = [utf8Bytes("early one"), utf8Bytes("early two")];

function policyOf(seed = 60, bytesMax = 1_024): EarlyDataPolicy {
  return { bytesMax, tickets: new SingleUseTickets(new Random(seed).entropy()) };
}

/** A session of a server that takes early data, and a second association that sends some. */
function early(change: PairOptions & { readonly data?: readonly Uint8Array[] } = {}) {
  const tickets = ticketKeys();
  const earlyData = policyOf();
  const server = { tickets, earlyData };
  const { first, session } = firstAssociation({ server });
  const pair = new DtlsPair({
    seed: 2,
    beginMs: first.simulation.now,
    ...change,
    client: { session, offersEarlyData: true, ...change.client },
    server: { ...server, ...change.server },
  });
  pair.simulation.settle();
  const sent = (change.data ?? [ONE, TWO]).map((bytes) => {
    const datagram = pair.client.sealEarlyData(bytes);
    pair.simulation.inject("a", datagram);
    return datagram;
  });
  return { pair, session, server, sent, first };
}

const earlyBytes = (events: readonly DtlsEvent[]) =>
  events.flatMap((event) => event.kind === "early-data" ? [event.bytes] : []);
const kinds = (events: readonly DtlsEvent[]) => events.map(({ kind }) => kind);
/** The client is told that nothing was taken, and both go on. */
function assertRejected(pair: DtlsPair, isResumed = true): void {
  pair.handshake();
  pair.simulation.advance(50);
  assertEquals([pair.client.state, pair.server.association!.state], ["connected", "connected"]);
  assertEquals([pair.client.isResumed, pair.server.association!.isResumed], [isResumed, isResumed]);
  const [event] = pair.clientEvents;
  assertEquals(event, { kind: "early-data-rejected", lost: [ONE, TWO] });
  assertEquals(earlyBytes(pair.serverEvents), []);
  assertEquals(pair.client.earlyDataBytesLeft, 0);
  assertThrows(() => pair.client.sealEarlyData(ONE), DtlsError, "no longer");
}

Deno.test("early data is there before the handshake is complete, without a cookie", () => {
  const { pair } = early();
  pair.simulation.advance(15);
  assertEquals(earlyBytes(pair.serverEvents), [ONE, TWO]);
  assertEquals(kinds(pair.serverEvents), ["early-data", "early-data"]);
  pair.handshake();
  assertEquals(kinds(pair.clientEvents).slice(0, 2), ["early-data-accepted", "connected"]);
  assertEquals(kinds(pair.serverEvents), ["early-data", "early-data", "connected"]);
  assertEquals(pair.elapsedMs <= 40, true, "one round trip");
  assertEquals(pair.server.unvalidatedSentBytes, 0, "nothing was answered without an association");
  assertEquals(pair.client.isResumed, true);
  assertThrows(() => pair.client.sealEarlyData(ONE), DtlsError, "no longer");
});

Deno.test("both ends log the early secrets, and export the same keying material early", () => {
  const { pair } = early();
  pair.simulation.advance(15);
  const exported = (end: typeof pair.client) =>
    toHex(end.exportEarlyKeyingMaterial("EXPORTER-early", ONE, 32));
  assertEquals(exported(pair.client), exported(pair.server.association!));
  pair.handshake();
  for (const label of ["CLIENT_EARLY_TRAFFIC_SECRET", "EARLY_EXPORTER_SECRET"]) {
    const line = pair.clientKeyLog.find((entry) => entry.startsWith(label));
    assert(line !== undefined && pair.serverKeyLog.includes(line), label);
  }
});

Deno.test("early data is off by default, at either end", () => {
  const { session } = firstAssociation({ server: { tickets: ticketKeys() } });
  assertEquals(session.earlyDataBytesMax, 0);
  const { first, session: allowed, server } = early();
  const pair = new DtlsPair({
    beginMs: first.simulation.now,
    client: { session: allowed },
    server,
  });
  pair.simulation.settle();
  assertEquals(pair.client.earlyDataBytesLeft, 0);
  assertThrows(() => pair.client.sealEarlyData(ONE), DtlsError);
  pair.handshake();
  assertEquals(pair.client.isResumed, true);
  assertEquals(kinds(pair.clientEvents)[0], "connected");
});

const REJECTED: Readonly<Record<string, PairOptions>> = {
  "a server that takes none": { server: { earlyData: undefined } },
  "a server that keeps its own account of tickets": { server: { earlyData: policyOf(61) } },
  "a server that has to ask for a key share": { server: { groups: [NamedGroup.SECP256R1] } },
  "a client that is late": { beginMs: EPOCH_MS + 3_600_000 },
};
for (const [name, change] of Object.entries(REJECTED)) {
  Deno.test(`early data is refused, and the handshake goes on: ${name}`, () => {
    // A client whose clock runs behind: it says that the ticket is fresh.
    if (change.beginMs !== undefined) {
      const { session, server } = early();
      const late = { ...session, receivedAt: change.beginMs };
      const pair = new DtlsPair({
        ...change,
        client: { session: late, offersEarlyData: true },
        server,
      });
      pair.simulation.settle();
      for (const bytes of [ONE, TWO]) pair.simulation.inject("a", pair.client.sealEarlyData(bytes));
      return assertRejected(pair);
    }
    assertRejected(early(change).pair);
  });
}

Deno.test("early data is refused where the session is not resumed", () => {
  assertRejected(early({ server: { tickets: ticketKeys(51) } }).pair, false);
});

Deno.test("ticket replay for 0-RTT: a recorded flight is answered with a cookie, from any address", () => {
  const { pair, sent, server } = early();
  pair.handshake();
  pair.simulation.advance(50);
  const [hello] = pair.sentBy("client");
  const options = {
    ...SERVER_DEFAULTS,
    ...server,
    entropy: new Random(9).entropy(),
  } as DtlsServerOptions;
  // At the same endpoint, whose association is there; at another one of the same account of tickets; at a third one
  // that only shares the keys.
  const others = [
    { endpoint: pair.server.endpoint, now: pair.simulation.now },
    { endpoint: new DtlsEndpoint(options, pair.simulation.now), now: pair.simulation.now },
    {
      endpoint: new DtlsEndpoint({ ...options, earlyData: policyOf(62) }, pair.simulation.now),
      now: pair.simulation.now,
    },
  ];
  const counts = others.map(({ endpoint }) => endpoint.associationCount);
  for (const address of ["client", "elsewhere"]) {
    for (const { endpoint, now } of others) {
      for (const bytes of [hello!, ...sent]) endpoint.handleDatagram(bytes, address, now);
      for (let answer; (answer = endpoint.pollTransmit()) !== undefined;) {
        assert(answer.bytes.length <= 3 * hello!.length);
      }
    }
  }
  pair.simulation.settle();
  assertEquals(others.map(({ endpoint }) => endpoint.associationCount), counts);
  assertEquals(earlyBytes(pair.serverEvents), [ONE, TWO], "once");
});

Deno.test("a ticket is for the address that it was given to", () => {
  const { first, session, server } = early();
  const options = { ...SERVER_DEFAULTS, ...server, entropy: new Random(9).entropy() };
  const endpoint = new DtlsEndpoint(options as DtlsServerOptions, first.simulation.now);
  const pair = new DtlsPair({
    beginMs: first.simulation.now,
    client: { session, offersEarlyData: true },
  });
  const hello = pair.client.pollTransmit(first.simulation.now)!;
  assertEquals(endpoint.handleDatagram(hello, "elsewhere", first.simulation.now), undefined);
  assertEquals(endpoint.associationCount, 0);
  const answer = endpoint.pollTransmit();
  assertEquals(answer?.address, "elsewhere", "a cookie, as for anybody");
});

Deno.test("max_early_data_size: the client keeps to it, the server holds it to it", () => {
  const { pair } = early({ data: [new Uint8Array(1_000)] });
  assertEquals(pair.client.earlyDataBytesLeft, 24);
  assertThrows(() => pair.client.sealEarlyData(new Uint8Array(25)), DtlsError, "24 bytes");
  pair.client.sealEarlyData(new Uint8Array(24));
  const { first, session, server } = early();
  const greedy = new DtlsPair({
    beginMs: first.simulation.now,
    client: { session: { ...session, earlyDataBytesMax: 5_000 }, offersEarlyData: true },
    server,
  });
  greedy.simulation.settle();
  for (let i = 0; i < 2; i++) {
    greedy.simulation.inject("a", greedy.client.sealEarlyData(new Uint8Array(600)));
  }
  greedy.simulation.advance(100);
  assertEquals(earlyBytes(greedy.serverEvents).length, 1);
  const failure = greedy.serverEvents.at(-1);
  assert(failure?.kind === "failed" && failure.error instanceof DtlsFault);
  assertEquals(failure.error.reason, "unexpected-message");
});

Deno.test("RFC 9147 section 5.1: three times the bytes at most before the client has shown that it is there", () => {
  const { first, session, server } = early();
  let now = first.simulation.now;
  const options = { ...SERVER_DEFAULTS, ...server, entropy: new Random(9).entropy() };
  const endpoint = new DtlsEndpoint(options as DtlsServerOptions, now);
  const client = closeAfterTest(DtlsAssociation.client({
    ...CLIENT_DEFAULTS,
    entropy: new Random(8).entropy(),
    session,
    offersEarlyData: true,
  }, now));
  // Whoever has recorded this sends it from a place where nobody is.
  let received = 0;
  let sent = 0;
  const bring = (bytes: Uint8Array) => {
    received += bytes.length;
    return endpoint.handleDatagram(bytes, "client", now);
  };
  const hello = client.pollTransmit(now)!;
  const { association } = bring(hello)!;
  closeAfterTest(association);
  for (let i = 0; i < 40; i++) {
    for (let bytes; (bytes = association.pollTransmit(now)) !== undefined;) sent += bytes.length;
    assert(sent > 0 && sent <= 3 * received, `${sent} for ${received}`);
    now = Math.max(now, Math.min(association.pollTimeout(), now + 60_000));
    association.handleTimeout(now);
    if (i === 20) bring(client.sealEarlyData(ONE));
  }
  assert(sent > 2 * hello.length, `${sent}`);
});

Deno.test("the client sends its ClientHello again: the same association answers, and nothing is taken twice", () => {
  let count = 0;
  // The server's first flight is lost.
  const { pair } = early({ toClient: [(passage) => count++ < 1 ? [] : [passage], delay(10)] });
  pair.handshake();
  pair.simulation.advance(50);
  assertEquals([pair.client.state, pair.server.association!.state], ["connected", "connected"]);
  assertEquals(kinds(pair.clientEvents)[0], "early-data-accepted");
  assertEquals(earlyBytes(pair.serverEvents), [ONE, TWO]);
  assertEquals(pair.server.endpoint.associationCount, 1);
});

Deno.test("RFC 9147 section 5.6: early data that was overtaken is taken until data of epoch 3 comes", () => {
  const { pair, sent } = early({ data: [] });
  const late = [ONE, TWO].map((bytes) => pair.client.sealEarlyData(bytes));
  assertEquals(sent, []);
  pair.handshake();
  pair.simulation.inject("a", late[0]!);
  pair.simulation.advance(20);
  assertEquals(earlyBytes(pair.serverEvents), [ONE]);
  pair.send("client", utf8Bytes("epoch 3"));
  pair.simulation.advance(20);
  pair.simulation.inject("a", late[1]!);
  pair.simulation.inject("a", late[0]!);
  pair.simulation.advance(20);
  assertEquals(earlyBytes(pair.serverEvents), [ONE]);
  assertEquals(pair.server.association!.state, "connected");
});

Deno.test("early data of a wrong tag, or that comes twice, is noise", () => {
  const { pair, sent } = early();
  const changed = sent[0]!.slice();
  changed[changed.length - 1]! ^= 1;
  for (const bytes of [changed, sent[0]!, sent[1]!]) pair.simulation.inject("a", bytes);
  pair.handshake();
  assertEquals(earlyBytes(pair.serverEvents), [ONE, TWO]);
  assertEquals(pair.server.association!.state, "connected");
});

Deno.test("a server without an endpoint takes early data once as well", () => {
  const { first, session, server } = early();
  const now = first.simulation.now;
  const random = new Random(3);
  const options = { ...SERVER_DEFAULTS, ...server, entropy: random.fork().entropy() };
  const client = closeAfterTest(DtlsAssociation.client({
    ...CLIENT_DEFAULTS,
    entropy: random.fork().entropy(),
    session,
    offersEarlyData: true,
  }, now));
  const flight = [client.pollTransmit(now)!, client.sealEarlyData(ONE)];
  const taken = [1, 2].map(() => {
    const association = closeAfterTest(
      DtlsAssociation.server(options as DtlsServerOptions, undefined, now),
    );
    for (const bytes of flight) association.handleDatagram(bytes, now);
    assertEquals(association.state, "handshaking");
    const events: DtlsEvent[] = [];
    for (let event; (event = association.pollEvent()) !== undefined;) events.push(event);
    return earlyBytes(events);
  });
  assertEquals(taken, [[ONE], []]);
});

Deno.test('RFC 8446 appendix D.3: early data that is answered in an older version "MUST fail"', () => {
  const versions = { client: { versions: ["1.3", "1.2"] }, server: { versions: ["1.2"] } } as const;
  const { pair } = early(versions);
  pair.simulation.advance(100);
  const failure = pair.clientEvents.at(-1);
  assert(failure?.kind === "failed" && failure.error instanceof DtlsFault);
  assertEquals(failure.error.reason, "unsupported-version");
});
