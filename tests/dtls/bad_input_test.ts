// Bad input never throws, changes nothing, is counted, and draws no more than three times its bytes.

import { assert, assertEquals } from "@std/assert";
import { DtlsAssociation, DtlsEndpoint, type DtlsServerOptions } from "../../src/dtls/mod.ts";
import { EPOCH_MS } from "../harness/clock.ts";
import { CLIENT_CREDENTIAL, credential } from "../harness/credentials.ts";
import {
  CLIENT_DEFAULTS,
  closeAfterTest,
  DtlsPair,
  type PairOptions,
  SERVER_DEFAULTS,
} from "../harness/dtls_pair.ts";
import { Random } from "../harness/random.ts";

const BOTH: PairOptions = {
  client: { credentials: [credential(CLIENT_CREDENTIAL)], connectionId: new Uint8Array([5, 6]) },
  server: { clientCertificate: "required" },
};

/** Every way to shorten and to flip one bit of a datagram. */
function* damaged(datagram: Uint8Array, bitStep = 1): Generator<Uint8Array> {
  for (let length = 0; length < datagram.length; length++) yield datagram.slice(0, length);
  for (let bit = 0; bit < 8 * datagram.length; bit += bitStep) {
    const bytes = datagram.slice();
    bytes[bit >>> 3]! ^= 1 << (bit & 7);
    yield bytes;
  }
}

/** What of an association could be changed by what it receives. */
function stateOf(association: DtlsAssociation): unknown {
  return [association.state, association.pollTimeout(), association.hasOpenedRecord];
}

/** The datagrams of a whole handshake, data and closing, by sender. */
function capture(options: PairOptions): { from: "client" | "server"; bytes: Uint8Array }[] {
  const pair = new DtlsPair(options).handshake();
  pair.send("client", new Uint8Array(50));
  pair.send("server", new Uint8Array(50));
  pair.simulation.advance(100);
  pair.client.close(pair.simulation.now);
  pair.settle();
  return pair.sent;
}

const SHAPES: Readonly<Record<string, PairOptions>> = { "plain": {}, "certificates and IDs": BOTH };
for (const [name, options] of Object.entries(SHAPES)) {
  Deno.test(
    `${name}: every truncation and every bit flip of every ` +
      `datagram, after the handshake, changes nothing`,
    () => {
      const pair = new DtlsPair(options).handshake();
      pair.simulation.advance(300_000);
      const server = pair.server.association!;
      const ids = [pair.client, server].map((end) => end.receiveConnectionId.length);
      pair.send("client", new Uint8Array(40));
      pair.send("server", new Uint8Array(40));
      // The same pair's datagrams: they carry the right connection IDs and, but for the damage, open.
      for (const { from, bytes } of pair.sent.slice()) {
        const end = from === "client" ? server : pair.client;
        const before = stateOf(end);
        for (const bad of damaged(bytes)) {
          const counted = end.drops.total();
          end.handleDatagram(bad, pair.simulation.now);
          if (bad.length > 0) assert(end.drops.total() > counted);
          assertEquals(end.pollTransmit(pair.simulation.now), undefined);
          assertEquals(end.pollEvent(), undefined);
        }
        assertEquals(stateOf(end), before);
      }
      assertEquals(ids.length, 2);
      pair.simulation.advance(100);
      assertEquals([pair.received("server").length, pair.received("client").length], [1, 1]);
    },
  );

  Deno.test(`${name}: the same at an endpoint, with at most three times the bytes in answer`, () => {
    for (const { from, bytes } of capture(options)) {
      if (from === "server") continue;
      const random = new Random(3);
      const endpoint = new DtlsEndpoint(
        {
          ...SERVER_DEFAULTS,
          ...options.server,
          entropy: random.entropy(),
        } as DtlsServerOptions,
        EPOCH_MS,
      );
      for (const bad of damaged(bytes)) {
        const counted = endpoint.drops.total();
        assertEquals(endpoint.handleDatagram(bad, "a", EPOCH_MS), undefined);
        let answered = 0;
        for (let answer; (answer = endpoint.pollTransmit()) !== undefined;) {
          answered += answer.bytes.length;
        }
        assert(answered <= 3 * bad.length);
        if (answered === 0 && !isWaitingPiece(bad)) assert(endpoint.drops.total() > counted);
      }
      assertEquals(endpoint.associationCount, 0);
    }
  });
}

/** A piece of a ClientHello, which waits for the rest and is no drop. */
function isWaitingPiece(datagram: Uint8Array): boolean {
  return datagram[0] === 22 && datagram[13] === 1;
}

Deno.test("every truncation and bit flip in the middle of a handshake: it goes on, or ends in order", () => {
  const clean = new DtlsPair(BOTH).handshake();
  clean.simulation.advance(50);
  const count = clean.sent.length;
  for (let at = 0; at < count; at++) {
    // One handshake takes all damaged forms of its datagram before the datagram itself.
    const index = { client: 0, server: 0 };
    const target = clean.sent[at]!.from;
    const nth = clean.sent.slice(0, at).filter(({ from }) => from === target).length;
    let isProtected = false;
    const node = (from: "client" | "server") => (passage: { bytes: Uint8Array; at: number }) => {
      if (from !== target || index[from]++ !== nth) return [{ ...passage, at: passage.at + 10 }];
      isProtected = (passage.bytes[0]! & 0xe0) === 0x20;
      const all = [...damaged(passage.bytes, isProtected ? 1 : 7), passage.bytes];
      return all.map((bytes) => ({ bytes, at: passage.at + 10 }));
    };
    const pair = new DtlsPair({
      ...BOTH,
      toServer: [node("client")],
      toClient: [node("server")],
    });
    pair.handshake();
    const server = pair.server.association;
    // A hello is not protected: what its damage says is believed, and may end the handshake.
    if (isProtected) assertEquals([pair.client.state, server?.state], ["connected", "connected"]);
    pair.settle();
    assertEquals(server?.state ?? "closed", pair.client.state, `datagram ${at}`);
    pair.client.close(0);
    pair.server.close(0);
  }
});

Deno.test("random bytes change no association and make none", () => {
  const random = new Random(11);
  const pair = new DtlsPair(BOTH).handshake();
  const young = closeAfterTest(
    DtlsAssociation.client({ ...CLIENT_DEFAULTS, entropy: random.entropy() }, EPOCH_MS),
  );
  young.pollTransmit(EPOCH_MS);
  pair.simulation.advance(300_000);
  const server = pair.server.association!;
  const before = [pair.client, server, young].map(stateOf);
  for (let i = 0; i < 20_000; i++) {
    const bytes = random.bytes(random.integer(0, 120));
    // Most random bytes are no record at all: give them beginnings that are.
    const first = [20, 21, 22, 23, 25, 26, 0x2c, 0x2e, 0x2f, 0x3c, 0x3f, 0x3e][i % 16];
    if (first !== undefined && bytes.length > 0) bytes[0] = first;
    if (first !== undefined && first < 30 && bytes.length > 13) {
      // A plaintext record of a plausible length, but no alert: one may end what has no keys yet.
      bytes.set([0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, bytes.length - 13], 1);
      if (first === 21) bytes[12] = 1;
    }
    if (bytes.length > 2 && (first ?? 0) >= 0x30) {
      const id = (i % 2 === 0 ? pair.client : server).receiveConnectionId;
      bytes.set(id.subarray(0, bytes.length - 1), 1);
    }
    for (const end of [pair.client, server, young]) end.handleDatagram(bytes, pair.simulation.now);
    const entry = pair.server.endpoint.handleDatagram(bytes, `x${i % 7}`, pair.simulation.now);
    assert(entry === undefined || entry.association === server);
    for (let answer; (answer = pair.server.endpoint.pollTransmit()) !== undefined;) {
      assert(answer.bytes.length <= 3 * bytes.length);
    }
  }
  assertEquals([pair.client, server, young].map(stateOf), before);
  assertEquals(pair.server.endpoint.associationCount, 1);
  assert(server.drops.total() >= 19_000);
  const reasons = Object.keys({ ...server.drops.snapshot(), ...pair.client.drops.snapshot() });
  assert(reasons.length >= 4, reasons.join());
  pair.send("client", new Uint8Array(5));
  pair.simulation.advance(50);
  assertEquals(pair.received("server").length, 1);
});
