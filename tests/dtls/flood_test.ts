// ClientHellos from very many addresses at one endpoint: nothing is kept for them, and others are served.

import { assert, assertEquals } from "@std/assert";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { fastestProvider } from "../../src/dtls/crypto/composed.ts";
import { DtlsAssociation, DtlsEndpoint, type EndpointAssociation } from "../../src/dtls/mod.ts";
import { EPOCH_MS } from "../harness/clock.ts";
import { CLIENT_DEFAULTS, closeAfterTest, SERVER_DEFAULTS } from "../harness/dtls_pair.ts";
import { handshakeMessage, plaintextRecord } from "../harness/dtls_records.ts";
import { Random } from "../harness/random.ts";

const provider = fastestProvider();

/** Bytes that the heap may have grown by. A slot of 200 bytes for each of 100,000 addresses takes ten times as much. */
const GROWTH_BYTES_MAX = 2_000_000;

setFlagsFromString("--expose-gc");
const collectGarbage: () => void = runInNewContext("gc");

function heapBytes(): number {
  for (let i = 0; i < 2; i++) collectGarbage();
  const { heapUsed, external } = Deno.memoryUsage();
  return heapUsed + external;
}

function newClient(seed: number): DtlsAssociation {
  const entropy = new Random(seed).entropy();
  return closeAfterTest(
    DtlsAssociation.client({ ...CLIENT_DEFAULTS, provider, entropy }, EPOCH_MS),
  );
}

/** An endpoint that is flooded, and the clients that want to be served meanwhile. */
class Flood {
  readonly endpoint = new DtlsEndpoint(
    { ...SERVER_DEFAULTS, provider, entropy: new Random(1).entropy() },
    EPOCH_MS,
  );
  readonly hello: Uint8Array = newClient(2).pollTransmit(EPOCH_MS)!;
  receivedBytes = 0;
  answeredBytes = 0;

  /** Sends a datagram from each of so many addresses. */
  from(count: number, datagram: (i: number) => Uint8Array, from = 0): void {
    for (let i = from; i < from + count; i++) {
      const bytes = datagram(i);
      const address = `2001:db8::${i.toString(16)}:${i}`;
      const entry = this.endpoint.handleDatagram(bytes, address, EPOCH_MS + i / 100);
      if (entry !== undefined) throw new Error("an association without a cookie");
      this.receivedBytes += bytes.length;
      for (let answer; (answer = this.endpoint.pollTransmit()) !== undefined;) {
        this.answeredBytes += answer.bytes.length;
      }
    }
  }

  /** A client's handshake, and a record in each direction. */
  serve(seed: number): EndpointAssociation {
    const client = newClient(seed);
    const address = `192.0.2.${seed}:1`;
    let entry: EndpointAssociation | undefined;
    for (let round = 0; round < 8; round++) {
      for (let bytes; (bytes = client.pollTransmit(EPOCH_MS)) !== undefined;) {
        entry = this.endpoint.handleDatagram(bytes, address, EPOCH_MS) ?? entry;
      }
      for (let answer; (answer = this.endpoint.pollTransmit()) !== undefined;) {
        assertEquals(answer.address, address);
        client.handleDatagram(answer.bytes, EPOCH_MS);
      }
      for (let bytes; (bytes = entry?.association.pollTransmit(EPOCH_MS)) !== undefined;) {
        client.handleDatagram(bytes, EPOCH_MS);
      }
    }
    assertEquals([client.state, entry?.association.state], ["connected", "connected"]);
    this.endpoint.settle(closeAfterTestOf(entry!));
    this.exchange(entry!, client, address);
    return entry!;
  }

  exchange(entry: EndpointAssociation, client: DtlsAssociation, address: string): void {
    const record = client.sealApplicationData(new Uint8Array([1]));
    assertEquals(this.endpoint.handleDatagram(record, address, EPOCH_MS), entry);
    const kinds = [];
    for (let event; (event = entry.association.pollEvent()) !== undefined;) kinds.push(event.kind);
    assertEquals(kinds.at(-1), "application-data");
  }
}

function closeAfterTestOf(entry: EndpointAssociation): EndpointAssociation {
  closeAfterTest(entry.association);
  return entry;
}

Deno.test("100,000 ClientHellos without a cookie leave the heap where it was, and others served", () => {
  const flood = new Flood();
  flood.serve(10);
  flood.from(2_000, () => flood.hello);
  const before = heapBytes();
  for (let part = 0; part < 10; part++) {
    flood.from(10_000, () => flood.hello, 10_000 * (part + 1));
    if (part % 3 === 0) flood.serve(20 + part);
  }
  const grownBytes = heapBytes() - before;
  assert(grownBytes < GROWTH_BYTES_MAX, `${grownBytes} bytes more`);
  assertEquals([flood.endpoint.associationCount, flood.endpoint.halfOpenCount], [5, 0]);
  assert(flood.answeredBytes > 0);
  assert(flood.answeredBytes <= 3 * flood.receivedBytes);
});

Deno.test("ClientHellos in pieces that never come together take a bounded room, and others are served", () => {
  const flood = new Flood();
  const body = new Uint8Array(4_000).fill(1);
  const pieces = [0, 1, 2, 3].map((at) =>
    plaintextRecord(22, handshakeMessage(1, 0, body, 900 * at, 900))
  );
  const before = heapBytes();
  flood.from(20_000, (i) => pieces[i % pieces.length]!);
  flood.serve(30);
  const grownBytes = heapBytes() - before;
  // 256 slots of 4 KiB.
  assert(grownBytes < 256 * 4_096 + GROWTH_BYTES_MAX, `${grownBytes} bytes more`);
  assertEquals(flood.answeredBytes, 0);
  assertEquals(flood.endpoint.associationCount, 1);
});

Deno.test("answers that nobody takes wait in a bounded number", () => {
  const flood = new Flood();
  for (let i = 0; i < 5_000; i++) {
    flood.endpoint.handleDatagram(flood.hello, `a${i}`, EPOCH_MS);
  }
  let count = 0;
  while (flood.endpoint.pollTransmit() !== undefined) count++;
  assertEquals(count, 1_024);
  assertEquals(flood.endpoint.drops.get("answers-full"), 5_000 - 1_024);
});
