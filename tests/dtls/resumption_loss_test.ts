// Resumptions, external PSKs and early data over networks that lose, repeat, reorder and damage datagrams: one at a
// time, and at random.

import { assert, assertEquals } from "@std/assert";
import { equalBytes, utf8Bytes } from "../../src/base/bytes.ts";
import { DtlsError, NamedGroup, SingleUseTickets } from "../../src/dtls/mod.ts";
import { CLIENT_CREDENTIAL, credential } from "../harness/credentials.ts";
import { DtlsPair, type PairOptions } from "../harness/dtls_pair.ts";
import { corrupt, delay, duplicate, jitter, type LinkNode, loss } from "../harness/link.ts";
import { Random } from "../harness/random.ts";
import { type Ends, firstAssociation, sessionsOf, ticketKeys } from "../harness/resumption.ts";
import { forEachSeed } from "../harness/simulation.ts";

const EARLY = [utf8Bytes("early one"), utf8Bytes("early two")];
const PSK = { identity: utf8Bytes("psk1"), key: utf8Bytes("ABCD".repeat(8)) };
const MORE = [new Uint8Array(900).fill(0x30)];

interface Shape {
  /** Both associations. */
  readonly ends?: Ends;
  /** The second one, where it is different. */
  readonly second?: Ends;
  readonly isResumed: boolean;
  readonly earlyData?: "accepted" | "rejected";
}

const SHAPES: Readonly<Record<string, Shape>> = {
  "resumed, certificates both ways": {
    ends: {
      client: { credentials: [credential(CLIENT_CREDENTIAL)] },
      server: { clientCertificate: "required" },
    },
    isResumed: true,
  },
  "resumed, another group is asked for": {
    second: { server: { groups: [NamedGroup.SECP256R1] } },
    isResumed: true,
  },
  "resumed, a ticket of two datagrams": {
    ends: {
      client: { credentials: [credential(CLIENT_CREDENTIAL, MORE)] },
      server: { clientCertificate: "required" },
    },
    isResumed: true,
  },
  "an external PSK without certificates": {
    second: {
      client: { externalPsks: [PSK], verifyPeer: undefined },
      server: { externalPsks: [PSK], credentials: [] },
    },
    isResumed: false,
  },
  "early data that is taken": { isResumed: true, earlyData: "accepted" },
  "early data that is refused": {
    second: { server: { earlyData: undefined } },
    isResumed: true,
    earlyData: "rejected",
  },
};

/** The second association of a shape, its ClientHello and early data on their way. */
function begin(shape: Shape, seed: number, links: Pick<PairOptions, "toClient" | "toServer">) {
  const tickets = new SingleUseTickets(new Random(60).entropy());
  const server = {
    tickets: ticketKeys(),
    ...shape.earlyData === undefined ? {} : { earlyData: { bytesMax: 1_024, tickets } },
    ...shape.ends?.server,
  };
  const { first, session } = firstAssociation({ ...shape.ends, server });
  first.client.close(0);
  first.server.close(0);
  const pair = new DtlsPair({
    seed,
    beginMs: first.simulation.now,
    client: {
      ...shape.ends?.client,
      session,
      offersEarlyData: shape.earlyData !== undefined,
      ...shape.second?.client,
    },
    server: { ...server, ...shape.second?.server },
    ...links,
  });
  pair.simulation.settle();
  if (shape.earlyData !== undefined) {
    for (const bytes of EARLY) pair.simulation.inject("a", pair.client.sealEarlyData(bytes));
  }
  return pair.handshake();
}

/** Runs a pair to its end, and checks what must hold whatever became of its datagrams. */
function checkEnd(pair: DtlsPair, shape: Shape, isQuiet = false): "connected" | "failed" {
  pair.settle();
  const early = pair.serverEvents.flatMap((event) =>
    event.kind === "early-data" ? [event.bytes] : []
  );
  assert(early.length === 0 || shape.earlyData === "accepted");
  for (const bytes of EARLY) {
    assert(early.filter((one) => equalBytes(one, bytes)).length <= 1, "early data was taken twice");
  }
  const received = pair.sentBy("client").reduce((total, { length }) => total + length, 0);
  assert(pair.server.unvalidatedSentBytes <= 3 * received);
  if (pair.client.state !== "connected") return "failed";
  const server = pair.server.association!;
  assertEquals(server.state, "connected");
  assertEquals(pair.client.isResumed, server.isResumed);
  // The early secrets of a server are there only where it takes early data.
  for (const line of pair.serverKeyLog) assert(pair.clientKeyLog.includes(line), line);
  assertEquals(sessionsOf(pair).length, 2, "every ticket gets there");
  assert(server.isHandshakeConfirmed);
  assertEquals([pair.client.pollTimeout(), server.pollTimeout()], [Infinity, Infinity]);
  if (isQuiet) return "connected";
  pair.send("client", new Uint8Array([1]));
  pair.send("server", new Uint8Array([2]));
  pair.settle();
  assertEquals([pair.received("server").length, pair.received("client").length], [1, 1]);
  return "connected";
}

const MISHAPS: Readonly<Record<string, LinkNode>> = {
  lost: () => [],
  doubled: (passage) => [passage, { ...passage, at: passage.at + 1 }],
  "doubled much later": (passage) => [passage, { ...passage, at: passage.at + 700 }],
  overtaken: ({ bytes, at }) => [{ bytes, at: at + 15 }],
  "late by seconds": ({ bytes, at }) => [{ bytes, at: at + 2_500 }],
};

/** Does something to the datagram of this index alone. */
function only(chosen: number, node: LinkNode): LinkNode {
  let index = 0;
  return (passage, context) => index++ === chosen ? node(passage, context) : [passage];
}

for (const [name, shape] of Object.entries(SHAPES)) {
  const clean = begin(shape, 2, {});
  clean.simulation.advance(100);
  const counts = {
    toServer: clean.sentBy("client").length,
    toClient: clean.sentBy("server").length,
  };
  clean.client.close(0);
  clean.server.close(0);

  Deno.test(`${name}: nothing happens to any datagram`, () => {
    const pair = begin(shape, 2, {});
    assertEquals(checkEnd(pair, shape), "connected");
    assertEquals(pair.client.isResumed, shape.isResumed);
    const kinds = pair.clientEvents.map(({ kind }) => kind);
    if (shape.earlyData !== undefined) assertEquals(kinds[0], `early-data-${shape.earlyData}`);
  });

  for (const [mishap, node] of Object.entries(MISHAPS)) {
    Deno.test(`${name}: each datagram ${mishap}`, () => {
      for (const way of ["toServer", "toClient"] as const) {
        for (let at = 0; at < counts[way]; at++) {
          const pair = begin(shape, 2, { [way]: [only(at, node), delay(10)] });
          assert(pair.elapsedMs < 4_000, `${way} ${at}: ${pair.elapsedMs} ms`);
          assertEquals(checkEnd(pair, shape), "connected", `${way} ${at}`);
          // Where early data is not taken a cookie comes first, and the session is resumed all the same.
          assertEquals(pair.client.isResumed, shape.isResumed, `${way} ${at}`);
        }
      }
    });
  }

  Deno.test(`${name}: each datagram damaged`, () => {
    for (const way of ["toServer", "toClient"] as const) {
      for (let at = 0; at < counts[way]; at++) {
        for (const part of [0, 0.03, 0.09, 0.2, 0.5, 0.8, 0.999]) {
          const flip: LinkNode = (passage) => {
            const bytes = passage.bytes.slice();
            bytes[Math.floor(part * bytes.length)]! ^= 0x10;
            return [{ ...passage, bytes }];
          };
          const pair = begin(shape, 2, { [way]: [only(at, flip), delay(10)] });
          checkEnd(pair, shape);
          pair.client.close(0);
          pair.server.close(0);
        }
      }
    }
  });

  Deno.test(`${name}: loss, repetition and reordering each way, and damage every other time`, () => {
    let failures = 0;
    forEachSeed(200, (seed) => {
      // What is damaged before there are keys may end a handshake: nobody can tell it from what the peer has sent.
      const damage = seed % 2 === 0 ? [corrupt(0.02)] : [];
      const network = () => [loss(0.15), duplicate(0.1, 400), ...damage, delay(10), jitter(30)];
      const pair = begin(shape, seed, { toServer: network(), toClient: network() });
      const end = checkEnd(pair, shape, true);
      if (end === "failed") failures++;
      if (end === "connected") {
        assertEquals(pair.client.isResumed, shape.isResumed);
      } else if (damage.length === 0) {
        // A ClientHello of several datagrams that never gets there whole.
        const failure = pair.clientEvents.at(-1);
        assert(failure?.kind === "failed" && failure.error instanceof DtlsError);
        assertEquals(failure.error.reason, "handshake-timeout");
      }
      assert(pair.sent.length < 300, `${pair.sent.length} datagrams`);
      pair.client.close(0);
      pair.server.close(0);
    });
    assert(failures <= 50, `${failures} of 200 failed`);
  });
}
