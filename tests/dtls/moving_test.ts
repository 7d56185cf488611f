// Associations whose client changes its address: behind a NAT, by itself, or only in what an attacker forwards.

import { assert, assertEquals, assertNotEquals } from "@std/assert";
import type { Milliseconds } from "../../src/base/core.ts";
import {
  DtlsAssociation,
  type DtlsClientOptions,
  DtlsEndpoint,
  type DtlsEvent,
  type DtlsServerOptions,
  ENDPOINT_CONNECTION_ID_BYTES,
  type EndpointAssociation,
} from "../../src/dtls/mod.ts";
import { EPOCH_MS } from "../harness/clock.ts";
import { CLIENT_DEFAULTS, closeAfterTest, SERVER_DEFAULTS } from "../harness/dtls_pair.ts";
import { Random } from "../harness/random.ts";
import { forEachSeed } from "../harness/simulation.ts";

const LATENCY_MS = 10;

interface Flying {
  readonly at: Milliseconds;
  readonly bytes: Uint8Array;
  /** Where a client's datagram comes from, or a server's goes to. */
  readonly address: string;
  readonly to: "server" | "client";
}

/** An endpoint, and a client that the network knows by one address or another. */
class Network {
  now = EPOCH_MS;
  readonly endpoint: DtlsEndpoint;
  client: DtlsAssociation;
  entry: EndpointAssociation | undefined;
  /** Where the client's datagrams come from, and where it receives, each under a name that it has for itself. */
  address = "home";
  readonly inboxes = new Map([["home", ""]]);
  readonly received = { client: [] as number[], server: [] as number[] };
  readonly moves: string[] = [];
  readonly roundTripsMs: (number | undefined)[] = [];
  /** What the server sent, by address. */
  readonly sentTo = new Map<string, Uint8Array[]>();
  /** What the client sent, with the connection ID. */
  readonly clientSent: Uint8Array[] = [];
  readonly #flying: Flying[] = [];
  /** Whether the network loses what is sent, once the handshake is over. */
  #isLost: () => boolean = () => false;

  constructor(
    client: Partial<DtlsClientOptions> = {},
    server: Partial<DtlsServerOptions> = {},
    isLost: () => boolean = () => false,
    seed = 1,
  ) {
    const random = new Random(seed);
    this.endpoint = new DtlsEndpoint({
      ...SERVER_DEFAULTS,
      entropy: random.fork().entropy(),
      ...server,
    }, this.now);
    const options = { ...CLIENT_DEFAULTS, entropy: random.fork().entropy(), ...client };
    this.client = closeAfterTest(DtlsAssociation.client(options, this.now));
    closeAfterTest({ close: (now) => this.entry?.association.close(now) });
    this.run(1_000);
    assert(this.client.isHandshakeConfirmed && this.server.isHandshakeConfirmed);
    this.#isLost = isLost;
  }

  get server(): DtlsAssociation {
    return this.entry!.association;
  }

  /** Datagrams leave, arrive and time out until `ms` have passed. */
  run(ms: number): void {
    const end = this.now + ms;
    for (let turn = 0;; turn++) {
      if (turn > 100_000) throw new Error("time does not pass");
      this.#drain();
      const next = Math.min(
        ...this.#flying.map(({ at }) => at),
        this.client.pollTimeout(),
        this.entry?.association.pollTimeout() ?? Infinity,
      );
      if (next > end) break;
      this.now = Math.max(this.now, next);
      const due = this.#flying.filter(({ at }) => at <= this.now);
      for (const one of due) this.#flying.splice(this.#flying.indexOf(one), 1);
      for (const one of due) this.#arrive(one);
      this.client.handleTimeout(this.now);
      this.entry?.association.handleTimeout(this.now);
    }
    this.now = end;
  }

  #arrive({ bytes, address, to }: Flying): void {
    if (to === "server") {
      this.entry = this.endpoint.handleDatagram(bytes, address, this.now) ?? this.entry;
      return;
    }
    const inbox = this.inboxes.get(address);
    if (inbox !== undefined) this.client.handleDatagram(bytes, this.now, inbox);
  }

  #drain(): void {
    for (let bytes; (bytes = this.client.pollTransmit(this.now)) !== undefined;) {
      this.fromClient(bytes, this.address);
    }
    for (let one; (one = this.client.pollTransmitElsewhere(this.now)) !== undefined;) {
      const [address] = [...this.inboxes].find(([, name]) => name === one!.address)!;
      this.fromClient(one.bytes, address);
    }
    for (let one; (one = this.endpoint.pollTransmit()) !== undefined;) this.#toClient(one);
    const { entry } = this;
    if (entry === undefined) return;
    for (let one; (one = entry.association.pollTransmitElsewhere(this.now)) !== undefined;) {
      this.#toClient(one);
    }
    for (let bytes; (bytes = entry.association.pollTransmit(this.now)) !== undefined;) {
      this.#toClient({ bytes, address: entry.address });
    }
    this.#events(this.client, "client");
    this.#events(entry.association, "server");
  }

  #events(end: DtlsAssociation, by: "client" | "server"): void {
    for (let event: DtlsEvent | undefined; (event = end.pollEvent()) !== undefined;) {
      if (event.kind === "application-data") this.received[by].push(event.bytes[0]!);
      if (event.kind === "moved") {
        this.moves.push(event.path);
        this.roundTripsMs.push(event.roundTripMs);
      }
      if (event.kind === "connected" && by === "server") this.endpoint.settle(this.entry!);
    }
  }

  /** Puts a datagram on the way to the server. */
  fromClient(bytes: Uint8Array, address: string, latencyMs = LATENCY_MS): void {
    if (address !== "attacker") this.clientSent.push(bytes);
    if (this.#isLost()) return;
    this.#flying.push({ at: this.now + latencyMs, bytes, address, to: "server" });
  }

  #toClient({ bytes, address }: { bytes: Uint8Array; address: string }): void {
    this.sentTo.set(address, [...this.sentTo.get(address) ?? [], bytes]);
    if (this.#isLost()) return;
    this.#flying.push({ at: this.now + LATENCY_MS, bytes, address, to: "client" });
  }

  /** The client's NAT gives it another address; what goes to the old one is lost. */
  rebind(address: string): void {
    this.inboxes.delete(this.address);
    this.address = address;
    this.inboxes.set(address, this.client.path);
  }

  /** Data of one byte, either way. */
  send(from: "client" | "server", byte: number): void {
    const end = from === "client" ? this.client : this.server;
    const bytes = end.sealApplicationData(new Uint8Array([byte]));
    if (from === "client") this.fromClient(bytes, this.address);
    else this.#toClient({ bytes, address: this.entry!.address });
  }

  /** Bytes that went to an address. */
  bytesTo(address: string): number {
    return (this.sentTo.get(address) ?? []).reduce((sum, { length }) => sum + length, 0);
  }

  /** The connection ID of the newest datagram of the client. */
  get clientId(): string {
    return this.clientSent.at(-1)!.subarray(1, 1 + ENDPOINT_CONNECTION_ID_BYTES).toString();
  }
}

Deno.test("NAT rebinding: the server asks the old address in vain, then the new one, and goes there", () => {
  const network = new Network();
  network.rebind("elsewhere");
  network.send("client", 1);
  network.run(50);
  assertEquals([network.received.server, network.entry!.address], [[1], "home"]);
  network.send("server", 1);
  network.run(2_000);
  assertEquals([network.moves, network.entry!.address], [["elsewhere"], "elsewhere"]);
  network.send("server", 2);
  network.run(50);
  assertEquals(network.received.client, [2], "what went to the old address before is lost");
  assertEquals(network.server.pathCounts.snapshot(), { moved: 1 });
  assertEquals(network.roundTripsMs, [20], "the answer from there took that long");
});

Deno.test("NAT rebinding again and again, with messages of the association itself between", () => {
  const network = new Network();
  for (let n = 1; n <= 5; n++) {
    network.rebind(`address ${n}`);
    if (n % 2 === 0) network.client.updateKeys();
    else network.send("client", n);
    network.run(3_000);
    assertEquals(network.entry!.address, `address ${n}`);
    network.send("server", n);
    network.run(50);
  }
  assertEquals(network.received.client, [1, 2, 3, 4, 5]);
});

Deno.test("a path that the handshake began on is left at once by a client that says so, with a fresh ID", () => {
  const network = new Network({ spareConnectionIds: 2 });
  const before = network.clientId;
  // The client has both, and prefers the other now.
  network.inboxes.set("mobile", "mobile network");
  network.address = "mobile";
  network.client.changePath("mobile network", network.now);
  network.run(0);
  assertNotEquals(network.clientId, before);
  // One round trip on each path, and none of waiting: 20 ms for the path_drop, 20 ms for the path_response.
  network.run(70);
  assertEquals([network.moves, network.entry!.address], [["mobile"], "mobile"]);
  network.run(1_000);
  assertEquals(network.server.receiveConnectionIds.length, 4, "there are two spare ones again");
});

Deno.test("a new address is asked under a connection ID that the old one never saw", () => {
  const connectionId = new Uint8Array([1, 2, 3, 4]);
  const network = new Network({ connectionId }, { spareConnectionIds: 1 });
  network.run(100);
  network.rebind("elsewhere");
  network.send("client", 1);
  network.run(2_000);
  const ids = network.sentTo.get("elsewhere")!.map((bytes) => bytes.subarray(1, 5).toString());
  assert(!ids.includes(connectionId.toString()));
  assertEquals([network.moves, network.client.receiveConnectionIds.length], [["elsewhere"], 3]);
});

Deno.test("an end without connection IDs does not ask whoever forwards its peer's records", () => {
  const network = new Network();
  const bytes = network.server.sealApplicationData(new Uint8Array([1]));
  network.client.handleDatagram(bytes, network.now, "another socket");
  network.run(5_000);
  assertEquals([network.client.path, network.received.client], ["", [1]]);
  assertEquals(network.client.pathCounts.total(), 0);
});

Deno.test("a client that only listens is found at its new path", () => {
  const network = new Network();
  network.rebind("elsewhere");
  network.client.changePath("", network.now);
  network.run(2_000);
  network.send("server", 7);
  network.run(50);
  assertEquals(network.received.client, [7]);
});

Deno.test("an attacker who forwards every record faster does not get the association (enhanced)", () => {
  const network = new Network();
  for (let n = 0; n < 20; n++) {
    const bytes = network.client.sealApplicationData(new Uint8Array([n]));
    network.fromClient(bytes, "attacker", 1);
    network.fromClient(bytes, "home");
    network.run(100);
    network.send("server", n);
  }
  network.run(1_000);
  assertEquals([network.moves, network.entry!.address], [[], "home"]);
  assertEquals(network.bytesTo("attacker"), 0);
  assertEquals(network.received.client.length, 20);
  assert(network.server.pathCounts.get("kept") > 0);
});

Deno.test("a forged source address: at most three times its bytes go there, and then nothing (basic)", () => {
  const network = new Network({}, { pathPolicy: "basic" });
  const bytes = network.client.sealApplicationData(new Uint8Array([1]));
  network.fromClient(bytes, "victim", 1);
  network.run(10_000);
  assertEquals([network.moves, network.entry!.address], [[], "home"]);
  const sentBytes = network.bytesTo("victim");
  assert(sentBytes > 0 && sentBytes <= 3 * bytes.length, `${sentBytes}`);
  network.send("server", 1);
  network.run(10_000);
  assertEquals([network.bytesTo("victim"), network.received.client], [sentBytes, [1]]);
});

Deno.test("a record that is replayed, overtaken or damaged moves nothing, from wherever it comes", () => {
  const network = new Network();
  const late = network.client.sealApplicationData(new Uint8Array([1]));
  const seen = network.client.sealApplicationData(new Uint8Array([2]));
  network.fromClient(seen, "home");
  network.run(50);
  const damaged = network.client.sealApplicationData(new Uint8Array([3]));
  damaged[damaged.length - 1]! ^= 1;
  for (const bytes of [seen, late, damaged]) network.fromClient(bytes, "attacker");
  network.run(5_000);
  assertEquals(network.received.server, [2, 1]);
  assertEquals([network.bytesTo("attacker"), network.entry!.address], [0, "home"]);
});

Deno.test("a peer that does not know the check: no datagram moves the association, however genuine", () => {
  const network = new Network({ pathPolicy: "fixed" });
  network.rebind("elsewhere");
  for (let n = 0; n < 5; n++) {
    network.send("client", n);
    network.run(2_000);
  }
  assertEquals(network.received.server, [0, 1, 2, 3, 4], "they are still the peer's");
  assertEquals([network.moves, network.bytesTo("elsewhere")], [[], 0]);
});

Deno.test("unchecked: the newest record's address counts at once, where the server's owner says so", () => {
  const network = new Network({ pathPolicy: "fixed" }, { pathPolicy: "unchecked" });
  const late = network.client.sealApplicationData(new Uint8Array([9]));
  network.rebind("elsewhere");
  network.send("client", 1);
  network.run(20);
  assertEquals(network.moves, ["elsewhere"]);
  network.fromClient(late, "attacker");
  network.run(20);
  assertEquals(network.entry!.address, "elsewhere");
});

Deno.test("without connection IDs nothing is found at another address", () => {
  const network = new Network({ connectionId: null });
  network.rebind("elsewhere");
  network.send("client", 1);
  network.run(2_000);
  assertEquals([network.received.server, network.moves], [[], []]);
  assertEquals(network.endpoint.drops.get("unknown-address"), 1);
});

Deno.test("the old address of an association is free: a new client there takes nothing from it", () => {
  const network = new Network();
  network.rebind("elsewhere");
  network.send("client", 1);
  network.run(2_000);
  const moved = network.entry!;
  const entropy = new Random(9).entropy();
  const other = closeAfterTest(
    DtlsAssociation.client({ ...CLIENT_DEFAULTS, entropy }, network.now),
  );
  for (let turn = 0; turn < 10 && !other.isHandshakeConfirmed; turn++) {
    let made: EndpointAssociation | undefined;
    for (let bytes; (bytes = other.pollTransmit(network.now)) !== undefined;) {
      made = network.endpoint.handleDatagram(bytes, "home", network.now) ?? made;
    }
    for (let one; (one = network.endpoint.pollTransmit()) !== undefined;) {
      other.handleDatagram(one.bytes, network.now);
    }
    if (made === undefined) continue;
    closeAfterTest(made.association);
    for (let bytes; (bytes = made.association.pollTransmit(network.now)) !== undefined;) {
      other.handleDatagram(bytes, network.now);
    }
    if (made.association.state === "connected") network.endpoint.settle(made);
  }
  assertEquals(other.state, "connected");
  assertEquals(network.endpoint.pollReplaced(), undefined);
  assertEquals([moved.association.state, network.endpoint.associationCount], ["connected", 2]);
});

Deno.test("DTLS 1.2 moves as well", () => {
  const network = new Network({ versions: ["1.2"] }, { versions: ["1.2"] });
  assertEquals(network.client.version, "1.2");
  network.rebind("elsewhere");
  network.send("client", 1);
  network.run(5_000);
  network.send("server", 2);
  network.run(50);
  assertEquals([network.moves, network.received.client], [["elsewhere"], [2]]);
});

Deno.test("with a network that loses, the association arrives in the end", () => {
  forEachSeed(30, (seed) => {
    const random = new Random(seed);
    const network = new Network({}, {}, () => random.chance(0.3), seed);
    for (let n = 1; n <= 3; n++) {
      network.rebind(`address ${n}`);
      for (let tries = 0; tries < 60 && network.entry!.address !== network.address; tries++) {
        network.send("client", n);
        network.run(500);
      }
      assertEquals(network.entry!.address, `address ${n}`);
    }
    for (let tries = 0; tries < 40; tries++) network.send("server", 9);
    network.run(1_000);
    assert(network.received.client.includes(9));
  });
});
