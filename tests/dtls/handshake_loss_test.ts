// Handshakes over networks that lose, repeat, reorder and damage datagrams: one at a time, and at random.

import { assert, assertEquals } from "@std/assert";
import { CLIENT_CREDENTIAL, credential, SERVER_CREDENTIAL } from "../harness/credentials.ts";
import { DtlsPair, type PairOptions } from "../harness/dtls_pair.ts";
import { corrupt, delay, duplicate, jitter, type LinkNode, loss } from "../harness/link.ts";
import { forEachSeed } from "../harness/simulation.ts";

const MORE = Array.from({ length: 3 }, () => new Uint8Array(900).fill(0x30));
const SHAPES: Readonly<Record<string, PairOptions>> = {
  "small": {},
  "certificates both ways, connection IDs, a chain of four datagrams": {
    client: {
      credentials: [credential(CLIENT_CREDENTIAL)],
      connectionId: new Uint8Array([1, 2, 3]),
    },
    server: {
      credentials: [credential(SERVER_CREDENTIAL, MORE)],
      clientCertificate: "required",
    },
  },
  "300-byte datagrams": {
    client: {
      credentials: [credential(CLIENT_CREDENTIAL, MORE.slice(0, 1))],
      limits: { datagramBytesMax: 300 },
    },
    server: { clientCertificate: "required", limits: { datagramBytesMax: 300 } },
  },
};

/** What becomes of one chosen datagram. */
const MISHAPS: Readonly<Record<string, LinkNode>> = {
  lost: () => [],
  doubled: (passage) => [passage, { ...passage, at: passage.at + 1 }],
  "doubled much later": (passage) => [passage, { ...passage, at: passage.at + 700 }],
  overtaken: ({ bytes, at }) => [{ bytes, at: at + 15 }],
  "late by seconds": ({ bytes, at }) => [{ bytes, at: at + 2_500 }],
};

/** Does something to the datagrams of these indices alone. */
function only(indices: readonly number[], node: LinkNode): LinkNode {
  let index = 0;
  return (passage, context) => indices.includes(index++) ? node(passage, context) : [passage];
}

/** Ends the pair and checks that both ends agree about what happened, and that nothing is left of either. */
function checkEnd(pair: DtlsPair): "connected" | "failed" {
  const server = pair.server.association;
  assert(pair.server.unvalidatedSentBytes <= 3 * pair.server.unvalidatedReceivedBytes);
  pair.settle();
  const isConnected = pair.client.state === "connected";
  assertEquals(server?.state ?? "closed", isConnected ? "connected" : "closed");
  if (!isConnected) {
    assertEquals(pair.clientEvents.at(-1)?.kind, "failed");
    assertEquals(pair.server.endpoint.associationCount, 0);
    return "failed";
  }
  const kinds = [pair.clientEvents, pair.serverEvents].map((events) => events.map((e) => e.kind));
  assertEquals(kinds, [["connected"], ["connected"]]);
  assertEquals(pair.clientKeyLog, pair.serverKeyLog);
  pair.send("client", new Uint8Array([1]));
  pair.send("server", new Uint8Array([2]));
  pair.settle();
  assertEquals([pair.received("server").length, pair.received("client").length], [1, 1]);
  assertEquals([pair.client.pollTimeout(), server!.pollTimeout()], [Infinity, Infinity]);
  return "connected";
}

for (const [shape, options] of Object.entries(SHAPES)) {
  const clean = new DtlsPair(options).handshake();
  clean.simulation.advance(100);
  const counts = {
    toServer: clean.sentBy("client").length,
    toClient: clean.sentBy("server").length,
  };
  clean.client.close(0);
  clean.server.close(0);

  for (const [mishap, node] of Object.entries(MISHAPS)) {
    Deno.test(`${shape}: each datagram ${mishap}`, () => {
      for (const way of ["toServer", "toClient"] as const) {
        for (let at = 0; at < counts[way]; at++) {
          const nodes = [only([at], node), delay(10)];
          const pair = new DtlsPair({ ...options, [way]: nodes }).handshake();
          assert(pair.elapsedMs < 4_000, `${way} ${at}: ${pair.elapsedMs} ms`);
          assertEquals(checkEnd(pair), "connected", `${way} ${at}`);
        }
      }
    });
  }

  Deno.test(`${shape}: each two datagrams lost`, () => {
    for (let a = 0; a < counts.toServer; a++) {
      for (let b = 0; b < counts.toClient; b++) {
        const pair = new DtlsPair({
          ...options,
          toServer: [only([a], MISHAPS.lost!), delay(10)],
          toClient: [only([b], MISHAPS.lost!), delay(10)],
        }).handshake();
        assert(pair.elapsedMs < 8_000, `${a} ${b}: ${pair.elapsedMs} ms`);
        assertEquals(checkEnd(pair), "connected", `${a} ${b}`);
      }
    }
  });

  Deno.test(`${shape}: each datagram damaged`, () => {
    for (const way of ["toServer", "toClient"] as const) {
      for (let at = 0; at < counts[way]; at++) {
        for (const part of [0, 0.03, 0.09, 0.2, 0.5, 0.999]) {
          const flip: LinkNode = (passage) => {
            const bytes = passage.bytes.slice();
            bytes[Math.floor(part * bytes.length)]! ^= 0x10;
            return [{ ...passage, bytes }];
          };
          const pair = new DtlsPair({ ...options, [way]: [only([at], flip), delay(10)] })
            .handshake();
          checkEnd(pair);
        }
      }
    }
  });
}

for (const [shape, options] of Object.entries(SHAPES)) {
  Deno.test(`${shape}: 20 % loss, repetition and reordering each way, 60 seeds`, () => {
    forEachSeed(60, (seed) => {
      const network = () => [loss(0.2), duplicate(0.1, 400), delay(10), jitter(30)];
      const pair = new DtlsPair({ ...options, seed, toServer: network(), toClient: network() });
      pair.handshake();
      assert(pair.elapsedMs < 60_000, `${pair.elapsedMs} ms`);
      pair.settle();
      assertEquals([pair.client.state, pair.server.association!.state], ["connected", "connected"]);
      assertEquals([pair.client.pollTimeout(), pair.server.pollTimeout()], [Infinity, Infinity]);
      assert(pair.server.unvalidatedSentBytes <= 3 * pair.server.unvalidatedReceivedBytes);
      assert(pair.sent.length < 250, `${pair.sent.length} datagrams`);
      pair.client.close(0);
      pair.server.close(0);
    });
  });

  Deno.test(`${shape}: 10 % damage, 10 % loss each way, 60 seeds: both ends agree`, () => {
    let connected = 0;
    forEachSeed(60, (seed) => {
      const network = () => [loss(0.1), corrupt(0.1), delay(10), jitter(30)];
      const pair = new DtlsPair({ ...options, seed, toServer: network(), toClient: network() });
      pair.settle();
      const server = pair.server.association;
      assertEquals(server?.state ?? "closed", pair.client.state);
      assertEquals([pair.client.pollTimeout(), pair.server.pollTimeout()], [Infinity, Infinity]);
      if (pair.client.state === "connected") connected++;
      else assertEquals(pair.clientEvents.at(-1)?.kind, "failed");
      pair.client.close(0);
      pair.server.close(0);
    });
    // Damage to hellos, which nothing protects, ends a handshake; damage to anything else does not.
    assert(connected >= 25, `${connected} of 60`);
  });
}
