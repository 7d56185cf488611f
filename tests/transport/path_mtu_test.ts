import { assert, assertEquals } from "@std/assert";
import { PathMtu } from "../../src/transport/path_mtu.ts";
import { PacketBuilder } from "../../src/transport/packer.ts";
import { decodePacket } from "../../src/wire/frame.ts";
import { EPOCH_MS } from "../harness/clock.ts";
import { delay, type LinkNode, mtu, rate } from "../harness/link.ts";
import { describe } from "../harness/script.ts";
import { Pair } from "./fixture.ts";
import { sendStream } from "./traffic.ts";

const BASE = 1_160;
const LIMIT = 1_412;

/** Probes a path that carries packets of `carries` bytes until there is nothing more to probe. */
function search(path: PathMtu, carries: number, now: number): number[] {
  const probes: number[] = [];
  while (path.wantsProbe(100, now) && probes.length < 100) {
    const { probeBytes } = path;
    path.packProbe(new PacketBuilder(0, 1n, probeBytes, now));
    probes.push(probeBytes);
    if (probeBytes <= carries) path.onAcked(probeBytes, 0);
    else path.onLost(probeBytes, 0);
  }
  return probes;
}

Deno.test("the largest packet is tried first, and found with one probe where the path carries it", () => {
  const path = new PathMtu(BASE, LIMIT);
  assertEquals(path.wantsProbe(7, 0), false);
  assertEquals(search(path, 1_500, 0), [LIMIT]);
  assertEquals(path.packetBytes, LIMIT);
});

Deno.test("8899 5.1.2: a size counts as too large after three lost probes; the search halves what is left", () => {
  for (const carries of [BASE, 1_200, 1_300, 1_411]) {
    const path = new PathMtu(BASE, LIMIT);
    const probes = search(path, carries, 0);
    assert(path.packetBytes <= carries && path.packetBytes > carries - 16, `${path.packetBytes}`);
    assert(probes.length <= 3 * 6, `${probes}`);
    assertEquals(probes.slice(0, 3), [LIMIT, LIMIT, LIMIT]);
  }
});

Deno.test("8899 5.1.1: after ten minutes larger packets are tried again", () => {
  const path = new PathMtu(BASE, LIMIT);
  search(path, 1_300, 0);
  assertEquals(search(path, 1_500, 599_999), []);
  assertEquals(search(path, 1_500, 600_000), [LIMIT]);
});

Deno.test("a path that swallows large packets is a black hole after four losses of them, or two probe timeouts", () => {
  const found = () => {
    const path = new PathMtu(BASE, LIMIT);
    search(path, 1_500, 0);
    return path;
  };
  const lossy = found();
  for (let i = 0; i < 3; i++) lossy.onPacketsLost(LIMIT, 0);
  lossy.onPacketAcked(BASE);
  lossy.onPacketsLost(BASE, 0);
  assertEquals(lossy.packetBytes, LIMIT);
  lossy.onPacketsLost(LIMIT, 0);
  assertEquals(lossy.packetBytes, BASE);
  assertEquals(search(lossy, 1_300, 9_999), []);
  assert(search(lossy, 1_300, 10_000).length > 3);

  const silent = found();
  silent.onProbeTimeout(1, 0);
  assertEquals(silent.packetBytes, LIMIT);
  silent.onProbeTimeout(2, 0);
  assertEquals(silent.packetBytes, BASE);

  const alive = found();
  for (let i = 0; i < 30; i++) {
    alive.onPacketsLost(LIMIT, 0);
    if (i % 3 === 0) alive.onPacketAcked(LIMIT);
  }
  assertEquals(alive.packetBytes, LIMIT);
});

Deno.test("a probe is a packet of exactly its size, of Heartbeats that nobody answers", () => {
  for (const bytes of [1_161, 1_200, 1_300, LIMIT]) {
    const path = new PathMtu(BASE, bytes);
    const builder = new PacketBuilder(0, 1n, bytes, 0);
    path.packProbe(builder);
    const packet = builder.finish();
    assertEquals(packet.bytes.length, bytes);
    assertEquals(packet.sent.isMtuProbe, true);
    const frames = decodePacket(packet.bytes).frames;
    assert(frames.every((frame) => describe(frame).startsWith("HEARTBEAT 0: ")));
    assert(frames.every(({ payload }) => payload[0] === 2 && payload.length <= 1_000));
  }
});

Deno.test("on another path the search begins anew, and probes of the old one say nothing of it", () => {
  const path = new PathMtu(BASE, LIMIT);
  path.packProbe(new PacketBuilder(0, 1n, LIMIT, 0));
  path.restart(BASE, LIMIT);
  path.onAcked(LIMIT, 0);
  assertEquals(path.packetBytes, BASE);
  for (let i = 0; i < 3; i++) path.onLost(LIMIT, 0);
  assertEquals(path.probeBytes, LIMIT);
  path.packProbe(new PacketBuilder(1, 1n, LIMIT, 0));
  path.onAcked(LIMIT, 1);
  assertEquals(path.packetBytes, LIMIT);

  // One that had fallen back waits for nothing on another path.
  for (let i = 0; i < 4; i++) path.onPacketsLost(LIMIT, 0);
  assertEquals([path.packetBytes, path.wantsProbe(100, 0)], [BASE, false]);
  path.restart(BASE, LIMIT);
  assertEquals(path.wantsProbe(100, 0), true);
});

/** A transfer over a path of some size; returns the size that was found and how long it took. */
function transferOver(nodes: () => LinkNode[]): { packetBytes: number; ms: number } {
  const pair = new Pair({ nodes, maxPacketBytesProbed: LIMIT });
  const begin = pair.simulation.now;
  sendStream(pair, 2_000_000);
  const ms = pair.simulation.now - begin;
  return { packetBytes: pair.server.transport.stats().packetBytes, ms };
}

Deno.test("a transfer finds the size that the path carries, and goes on where that falls", () => {
  const wide = transferOver(() => [rate(1_000_000, 60_000), delay(15)]);
  assertEquals(wide.packetBytes, LIMIT);
  const narrow = transferOver(() => [mtu(1_300), rate(1_000_000, 60_000), delay(15)]);
  assert(narrow.packetBytes > 1_284 && narrow.packetBytes <= 1_300, `${narrow.packetBytes}`);
  const falling = transferOver(() => [
    mtu(1_500, { from: EPOCH_MS + 1_000, maxBytes: 1_200 }),
    rate(1_000_000, 60_000),
    delay(15),
  ]);
  assertEquals(falling.packetBytes, BASE);
  assert(falling.ms < 4_000, `${falling.ms} ms`);
});
