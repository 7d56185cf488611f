// The driver's turns, on a socket that is always ready: what is received together, and that nobody starves.

import { assert, assertEquals } from "@std/assert";
import { type AddressedDatagram, NEVER } from "../../src/base/core.ts";
import { UdpDriver } from "../../src/net/driver.ts";
import type { DatagramSocket } from "../../src/net/socket.ts";
import { DenoDatagramSocket } from "../../src/net/deno_socket.ts";

const PEER: Deno.NetAddr = { transport: "udp", hostname: "192.0.2.1", port: 50_000 };

/** Gives out `waiting` datagrams without a pause, then waits until it is closed. */
class ReadySocket {
  waiting: number;
  readonly sent: Uint8Array[] = [];
  readonly #closed = Promise.withResolvers<never>();

  constructor(waiting: number) {
    this.waiting = waiting;
    // Nobody may be receiving when it is closed.
    this.#closed.promise.catch(() => {});
  }

  receive(buffer: Uint8Array): Promise<[Uint8Array, Deno.Addr]> {
    if (this.waiting === 0) return this.#closed.promise;
    this.waiting--;
    buffer[0] = this.waiting;
    return Promise.resolve([buffer.subarray(0, 1), PEER]);
  }

  send(bytes: Uint8Array): Promise<number> {
    this.sent.push(bytes);
    return Promise.resolve(bytes.length);
  }

  close(): void {
    this.#closed.reject(new Deno.errors.BadResource("closed"));
  }
}

/** Sends back what it received, and notes how much each turn found. */
class Echo {
  readonly socket: ReadySocket;
  readonly driver: UdpDriver;
  readonly receivedByTurn: number[] = [];
  readonly #waiting: AddressedDatagram[] = [];
  #received = 0;

  constructor(datagrams: number) {
    this.socket = new ReadySocket(datagrams);
    const core = {
      handleDatagram: (bytes: Uint8Array, address: string) => {
        this.#received++;
        this.#waiting.push({ bytes, address });
      },
      handleTimeout: () => {},
      pollTransmit: () => this.#waiting.shift(),
      pollTimeout: () => NEVER,
    };
    this.driver = new UdpDriver(
      new DenoDatagramSocket(this.socket as unknown as Deno.DatagramConn),
      core,
      () => {
        this.receivedByTurn.push(this.#received);
        this.#received = 0;
      },
    );
  }
}

/** Lets everything that is due in this thread happen. */
const timePasses = () => new Promise((resolve) => setTimeout(resolve, 0));

Deno.test("what the socket holds is received before a turn, and each datagram keeps its bytes", async () => {
  const echo = new Echo(10);
  await timePasses();
  assertEquals(echo.receivedByTurn[0], 10);
  assertEquals(echo.socket.sent.map(([first]) => first), [9, 8, 7, 6, 5, 4, 3, 2, 1, 0]);
  await echo.driver.close();
});

Deno.test("what wakes the driver within a turn is sent in it, and brings no other", async () => {
  const answers: AddressedDatagram[] = [];
  let turns = 0;
  let sentIn = 0;
  const core = {
    handleDatagram: () => {},
    handleTimeout: () => {},
    pollTransmit: () => {
      const answer = answers.shift();
      if (answer !== undefined) sentIn = turns;
      return answer;
    },
    pollTimeout: () => NEVER,
  };
  const socket = new ReadySocket(1);
  const driver = new UdpDriver(
    new DenoDatagramSocket(socket as unknown as Deno.DatagramConn),
    core,
    () => {
      // The second turn is asked for once the first datagram is with the system.
      if (++turns > 2) return;
      answers.push({ bytes: new Uint8Array(1), address: "192.0.2.1:50000" });
      driver.wake();
    },
  );
  await timePasses();
  await timePasses();
  assertEquals([socket.sent.length, sentIn, turns], [2, 2, 2]);
  await driver.close();
});

Deno.test("a flood leaves turns to the driver and to the rest of the thread", async () => {
  const flood = 200_000;
  const echo = new Echo(flood);
  await timePasses();
  assert(echo.socket.waiting > 0, "nothing else ran before the flood was over");
  assert(Math.max(...echo.receivedByTurn) <= 64);
  echo.socket.waiting = 0;
  await echo.driver.close();
});

Deno.test("the first datagram is with the system before the next one is sent", async () => {
  const order: string[] = [];
  const taken: (() => void)[] = [];
  const waiting = ["one", "two", "three"];
  new UdpDriver(
    {
      address: { hostname: "192.0.2.2", port: 1 },
      receive: () => new Promise<void>(() => {}).catch(() => {}),
      send: (bytes: Uint8Array) => {
        order.push(new TextDecoder().decode(bytes));
        return new Promise<void>((resolve) => taken.push(resolve));
      },
      close: () => {},
    } as unknown as DatagramSocket,
    {
      handleDatagram: () => {},
      handleTimeout: () => {},
      pollTransmit: () => {
        const text = waiting.shift();
        return text === undefined
          ? undefined
          : { bytes: new TextEncoder().encode(text), address: "192.0.2.1:50000" };
      },
      pollTimeout: () => NEVER,
    },
    () => {},
  );
  await timePasses();
  assertEquals(order, ["one"]);
  taken[0]!();
  await timePasses();
  assertEquals(order, ["one", "two", "three"]);
  for (const take of taken) take();
});
