// Handshakes of DTLS 1.2 over networks that lose, repeat, reorder and damage datagrams: one at a time, and at random.

import { assert, assertEquals } from "@std/assert";
import { type DtlsEvent, DtlsFault } from "../../src/dtls/mod.ts";
import { CLIENT_CREDENTIAL, credential, SERVER_CREDENTIAL } from "../harness/credentials.ts";
import { DtlsPair, type PairOptions } from "../harness/dtls_pair.ts";
import { corrupt, delay, duplicate, jitter, loss } from "../harness/link.ts";
import { checkFailure, testEachDatagram } from "../harness/mishaps.ts";
import { in12, resumed, resumingBy } from "../harness/sessions_12.ts";
import { forEachSeed } from "../harness/simulation.ts";

const MORE = Array.from({ length: 3 }, () => new Uint8Array(900).fill(0x30));
const MUTUAL: PairOptions = {
  client: {
    credentials: [credential(CLIENT_CREDENTIAL, MORE.slice(0, 1))],
    connectionId: new Uint8Array([1, 2, 3]),
  },
  server: {
    credentials: [credential(SERVER_CREDENTIAL, MORE)],
    clientCertificate: "required",
  },
};

const SHAPES: Readonly<Record<string, PairOptions>> = {
  "1.2, small": in12({}),
  "1.2, certificates both ways, connection IDs, a chain of four datagrams": in12(MUTUAL),
  "1.2, a ticket": in12({ server: resumingBy("ticket")! }),
  "1.2, 300-byte datagrams": in12({
    client: { ...MUTUAL.client, limits: { datagramBytesMax: 300 } },
    server: { clientCertificate: "required", limits: { datagramBytesMax: 300 } },
  }),
  "1.2, resumed by ticket": resumed(in12({ server: resumingBy("ticket")! })),
  "1.2, resumed by ID with connection IDs": resumed(
    in12({ ...MUTUAL, server: { ...MUTUAL.server, ...resumingBy("ID") } }),
  ),
  "1.2 with a client of 1.3": { server: { versions: ["1.2"] } },
};

for (const [shape, options] of Object.entries(SHAPES)) testEachDatagram(shape, options);

function isFault(event: DtlsEvent | undefined): boolean {
  return event?.kind === "failed" && event.error instanceof DtlsFault;
}

for (const [shape, options] of Object.entries(SHAPES)) {
  Deno.test(`${shape}: 20 % loss, repetition and reordering each way, 100 seeds`, () => {
    forEachSeed(100, (seed) => {
      const network = () => [loss(0.2), duplicate(0.1, 400), delay(10), jitter(30)];
      const pair = new DtlsPair({ ...options, seed, toServer: network(), toClient: network() });
      pair.handshake();
      assert(pair.elapsedMs < 120_000, `${pair.elapsedMs} ms`);
      pair.settle();
      assertEquals([pair.client.state, pair.server.association!.state], ["connected", "connected"]);
      assertEquals([pair.client.pollTimeout(), pair.server.pollTimeout()], [Infinity, Infinity]);
      assert(pair.server.unvalidatedSentBytes <= 3 * pair.server.unvalidatedReceivedBytes);
      assert(pair.sent.length < 400, `${pair.sent.length} datagrams`);
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
      // A server has all that it waits for before its last flight arrives. Where that was damaged, and the client's
      // alert about it as well, the server cannot know.
      const isUnknowing = server?.state === "connected" && isFault(pair.clientEvents.at(-1));
      if (!isUnknowing) assertEquals(server?.state ?? "closed", pair.client.state);
      assertEquals([pair.client.pollTimeout(), pair.server.pollTimeout()], [Infinity, Infinity]);
      if (pair.client.state === "connected") connected++;
      else checkFailure(pair);
      pair.client.close(0);
      pair.server.close(0);
    });
    assert(connected >= 20, `${connected} of 100`);
  });
}
