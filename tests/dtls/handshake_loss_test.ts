// Handshakes over networks that lose, repeat, reorder and damage datagrams: one at a time, and at random.

import { assert, assertEquals } from "@std/assert";
import { NamedGroup } from "../../src/dtls/mod.ts";
import { CLIENT_CREDENTIAL, credential, SERVER_CREDENTIAL } from "../harness/credentials.ts";
import { DtlsPair, type PairOptions } from "../harness/dtls_pair.ts";
import { corrupt, delay, duplicate, jitter, loss } from "../harness/link.ts";
import { checkFailure, testEachDatagram } from "../harness/mishaps.ts";
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
  "another group is asked for": {
    client: { groups: [NamedGroup.SECP256R1, NamedGroup.X25519] },
    server: { groups: [NamedGroup.X25519] },
  },
  "300-byte datagrams": {
    client: {
      credentials: [credential(CLIENT_CREDENTIAL, MORE.slice(0, 1))],
      limits: { datagramBytesMax: 300 },
    },
    server: { clientCertificate: "required", limits: { datagramBytesMax: 300 } },
  },
};

for (const [shape, options] of Object.entries(SHAPES)) testEachDatagram(shape, options);

for (const [shape, options] of Object.entries(SHAPES)) {
  Deno.test(`${shape}: 20 % loss, repetition and reordering each way, 100 seeds`, () => {
    forEachSeed(100, (seed) => {
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

  Deno.test(`${shape}: 10 % damage, 10 % loss each way, 100 seeds: both ends agree`, () => {
    let connected = 0;
    forEachSeed(100, (seed) => {
      const network = () => [loss(0.1), corrupt(0.1), delay(10), jitter(30)];
      const pair = new DtlsPair({ ...options, seed, toServer: network(), toClient: network() });
      pair.settle();
      const server = pair.server.association;
      assertEquals(server?.state ?? "closed", pair.client.state);
      assertEquals([pair.client.pollTimeout(), pair.server.pollTimeout()], [Infinity, Infinity]);
      if (pair.client.state === "connected") connected++;
      else checkFailure(pair);
      pair.client.close(0);
      pair.server.close(0);
    });
    // Damage to hellos, which nothing protects, ends a handshake; damage to anything else does not.
    assert(connected >= 42, `${connected} of 100`);
  });
}
