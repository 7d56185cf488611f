// Bad input at the socket of a running server: it serves others on, and answers at most three times what it got.

import { assert, assertEquals } from "@std/assert";
import type { Client } from "../../src/client/mod.ts";
import { LiveServer, liveTest, pause } from "../harness/live_server.ts";
import { Random } from "../harness/random.ts";
import { type Captured, UdpRelay } from "../harness/udp_relay.ts";

const SEED = 4_711;

/** Datagrams of one burst: fewer than what a socket's queue holds. */
const BURST = 48;

/** As many rows as the parameter says. */
const STREAM = "with recursive c(i) as (select 1 union all select i + 1 from c limit ?) " +
  "select i, printf('%050d', i) from c";

/** Somebody without a credential, who sends what he likes and counts what comes back. */
class Stranger implements AsyncDisposable {
  readonly #socket = Deno.listenDatagram({ transport: "udp", hostname: "127.0.0.1", port: 0 });
  readonly #receiving: Promise<void>;
  readonly #to: Deno.NetAddr;
  sentBytes = 0;
  receivedBytes = 0;
  #sent = 0;
  #isOverfed = false;

  constructor(port: number) {
    this.#to = { transport: "udp", hostname: "127.0.0.1", port };
    this.#receiving = this.#receive();
  }

  async #receive(): Promise<void> {
    for await (const [bytes] of this.#socket) {
      this.receivedBytes += bytes.length;
      // At any time, not only at the end.
      if (this.receivedBytes > 3 * this.sentBytes) this.#isOverfed = true;
    }
  }

  async send(bytes: Uint8Array): Promise<void> {
    this.sentBytes += bytes.length;
    await this.#socket.send(bytes, this.#to);
    if (++this.#sent % BURST === 0) await pause(1);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // What is still on its way counts too.
    await pause(50);
    this.#socket.close();
    await this.#receiving;
    assert(!this.#isOverfed, "more than three times of what was sent came back");
  }
}

/** What a whole session puts on the wire: handshake, queries, a stream, the end. */
async function recordSession(server: LiveServer): Promise<Captured[]> {
  await using relay = new UdpRelay(server.port);
  {
    await using client = await server.connectTo(relay.url);
    await ask(client, 1);
    await Array.fromAsync(client.stream(STREAM, [2_000]));
  }
  return relay.captured;
}

async function ask(client: Client, i: number): Promise<void> {
  assertEquals((await client.execute("select ?, hex(zeroblob(700))", [i])).rows[0]![0], i);
}

/** A client that asks all the time while something else happens. */
async function whileServing(client: Client, action: () => Promise<void>): Promise<void> {
  let isOver = false;
  let answers = 0;
  const asking = (async () => {
    while (!isOver) await ask(client, ++answers);
  })();
  try {
    await action();
  } finally {
    isOver = true;
    await asking;
  }
  assert(answers > 0);
}

/** A copy with one bit turned over. */
function flipped(bytes: Uint8Array, bit: number): Uint8Array {
  const copy = bytes.slice();
  copy[bit >> 3]! ^= 1 << (bit & 7);
  return copy;
}

function total(counts: Readonly<Record<string, number>> | undefined): number {
  return Object.values(counts ?? {}).reduce((sum, count) => sum + count, 0);
}

liveTest(
  `bad input never stops a server, and draws at most three times its size (seed ${SEED})`,
  async (context) => {
    await using server = await LiveServer.start();
    await using other = await server.connect();
    const random = new Random(SEED);
    const recorded = await recordSession(server);
    const dropped = () => total(server.server.counters()["dtlsDrops"]);

    const attacks: Record<string, (stranger: Stranger) => Promise<void>> = {
      async "random bytes of every length"(stranger) {
        for (let i = 0; i < 3_000; i++) {
          const bytes = random.bytes(i % 1_500);
          // Half of them begin as records do.
          if (bytes.length > 0 && random.chance(0.5)) {
            bytes[0] = random.pick([
              20,
              21,
              22,
              23,
              26,
              32,
              47,
              63,
            ]);
          }
          await stranger.send(bytes);
        }
      },
      async "a recorded session, from another address"(stranger) {
        for (const { bytes } of recorded) await stranger.send(bytes);
      },
      async "every truncation of the first datagrams"(stranger) {
        for (const { bytes } of recorded.slice(0, 4)) {
          for (let end = 0; end < bytes.length; end++) await stranger.send(bytes.subarray(0, end));
        }
      },
      async "bits of recorded datagrams turned over"(stranger) {
        for (const { bytes } of recorded.slice(0, 8)) {
          for (let bit = random.integer(0, 6); bit < bytes.length * 8; bit += 7) {
            await stranger.send(flipped(bytes, bit));
          }
        }
      },
      async "the same ClientHello again and again"(stranger) {
        for (let i = 0; i < 500; i++) await stranger.send(recorded[0]!.bytes);
      },
    };
    for (const [name, attack] of Object.entries(attacks)) {
      await context.step(name, async () => {
        await using stranger = new Stranger(server.port);
        await whileServing(other, () => attack(stranger));
      });
    }
    assert(dropped() > 1_000, "what was dropped is counted");
    assert(server.server.clientCount <= 2, "strangers hold no association");
    // Somebody new is let in as ever.
    await using late = await server.connect();
    await ask(late, 1);
  },
);

liveTest(
  `forged and damaged copies between the datagrams of a session do not disturb it (seed ${SEED})`,
  async () => {
    await using server = await LiveServer.start();
    const random = new Random(SEED);
    await using relay = new UdpRelay(server.port);
    await using client = await server.connectTo(relay.url);
    // Before, whoever can read the path can end a handshake: nothing of it is authenticated yet.
    relay.tamper = (bytes) => [
      random.bytes(random.integer(0, 100)),
      flipped(bytes, random.integer(0, bytes.length * 8 - 1)),
      bytes,
      bytes.subarray(0, random.integer(0, bytes.length - 1)),
      flipped(bytes, random.integer(0, bytes.length * 8 - 1)),
      bytes,
    ];
    await client.execute("create table t (id integer primary key, v text)");
    for (let i = 1; i <= 50; i++) {
      assertEquals(
        (await client.execute("insert into t (v) values (?)", [`v${i}`])).lastInsertRowid,
        i,
      );
    }
    const rows = await Array.fromAsync(client.stream(STREAM, [5_000]));
    assertEquals(rows.map(([i]) => i), Array.from({ length: 5_000 }, (_, i) => i + 1));
    assertEquals((await client.execute("select count(*) from t")).rows, [[50]]);
    const { associationDrops } = server.server.counters();
    assert((associationDrops!["bad-tag"] ?? 0) > 0 && (associationDrops!["replay"] ?? 0) > 0);
  },
);
