// What an endpoint and a client on sockets put up with: strangers, slow peers, slow readers, aborts, silence.

import { assert, assertEquals, assertInstanceOf, assertRejects } from "@std/assert";
import {
  connectDtls,
  DtlsAssociation,
  DtlsError,
  fastestProvider,
  listenDtls,
  type UdpRuntime,
} from "../../src/dtls_runtime/mod.ts";
import { denoUdp } from "../../src/net/udp.ts";
import { credential, SERVER_CREDENTIAL } from "../harness/credentials.ts";
import { until } from "../harness/live_server.ts";
import { bytes, connectTo, LISTEN, socketTest, text } from "./loopback.ts";

const entropy = (lengthBytes: number) => crypto.getRandomValues(new Uint8Array(lengthBytes));

/** A client that shows that it owns its address, and never says more. */
async function stall(port: number): Promise<Deno.DatagramConn> {
  const socket = Deno.listenDatagram({ transport: "udp", hostname: "127.0.0.1", port: 0 });
  const to: Deno.NetAddr = { transport: "udp", hostname: "127.0.0.1", port };
  const client = DtlsAssociation.client({
    provider: fastestProvider(),
    entropy,
    verifyPeer: () => ({ publicKey: credential(SERVER_CREDENTIAL).chain[0]! }),
  }, 0);
  await socket.send(client.pollTransmit(0)!, to);
  const [retry] = await socket.receive();
  client.handleDatagram(retry, 1);
  await socket.send(client.pollTransmit(1)!, to);
  await socket.receive();
  return socket;
}

socketTest("a handshake that never ends holds up no other", async () => {
  await using endpoint = await listenDtls(LISTEN);
  const stalled = await Promise.all([1, 2, 3].map(() => stall(endpoint.addr.port)));
  assertEquals(endpoint.associationCount, 3);
  await using client = await connectDtls(connectTo(endpoint.addr));
  for await (const association of endpoint) {
    await association.send(bytes("served"));
    break;
  }
  for await (const message of client) {
    assertEquals(text(message), "served");
    break;
  }
  for (const socket of stalled) socket.close();
});

socketTest("noise is answered with silence, and counted", async () => {
  await using endpoint = await listenDtls(LISTEN);
  const socket = Deno.listenDatagram({ transport: "udp", hostname: "127.0.0.1", port: 0 });
  const answers: number[] = [];
  const receiving = socket.receive().then(([answer]) => answers.push(answer.length), () => {});
  const noise = [
    bytes("GET / HTTP/1.1"),
    new Uint8Array(1_200),
    entropy(40),
    new Uint8Array([0x2f]),
  ];
  for (const datagram of noise) {
    await socket.send(datagram, { transport: "udp", ...endpoint.addr });
  }
  await until("the noise has arrived", () => endpoint.counters().socket["received"] === 4);
  // Whoever comes after it is served.
  await (await connectDtls(connectTo(endpoint.addr))).close();
  socket.close();
  await receiving;
  assertEquals(answers, []);
  const { endpointDrops } = endpoint.counters();
  assertEquals(Object.values(endpointDrops).reduce((sum, count) => sum + count), noise.length);
});

socketTest("messages that nobody reads are dropped beyond a limit, and counted", async () => {
  await using endpoint = await listenDtls({ ...LISTEN, limits: { messagesMax: 5 } });
  await using client = await connectDtls(connectTo(endpoint.addr));
  for (let number = 0; number < 20; number++) await client.send(bytes(`${number}`));
  await until("all have come", () => endpoint.counters().associationDrops["messages-full"] === 15);
  for await (const server of endpoint) {
    const read: string[] = [];
    for await (const message of server) {
      read.push(text(message));
      if (read.length === 5) break;
    }
    assertEquals(read, ["0", "1", "2", "3", "4"]);
    break;
  }
});

socketTest(
  "who does not wait for room loses messages beyond a limit; who waits loses none",
  async () => {
    await using endpoint = await listenDtls(LISTEN);
    await using client = await connectDtls({
      ...connectTo(endpoint.addr),
      limits: { sendsMax: 10 },
    });
    const sends = Array.from({ length: 15 }, () => client.send(bytes("x")));
    assertEquals(client.drops["sends-full"], 5);
    await Promise.all(sends);
    for (let sent = 0; sent < 30; sent++) await client.send(bytes("x"));
    assertEquals(client.drops["sends-full"], 5);
  },
);

socketTest("associations that nobody takes are closed beyond a limit", async () => {
  await using endpoint = await listenDtls({ ...LISTEN, limits: { waitingAssociationsMax: 1 } });
  await using waiting = await connectDtls(connectTo(endpoint.addr));
  const refused = await connectDtls(connectTo(endpoint.addr));
  assertEquals(await refused.closed, undefined);
  assertEquals(endpoint.counters().associationDrops["waiting-associations-full"], 1);
  await waiting.send(bytes("still there"));
});

socketTest(
  "an aborted signal ends a handshake that nobody answers, and leaves nothing",
  async () => {
    const silent = Deno.listenDatagram({ transport: "udp", hostname: "127.0.0.1", port: 0 });
    const options = connectTo(silent.addr as Deno.NetAddr);
    const before = AbortSignal.abort(new Error("changed my mind"));
    await assertRejects(
      () => connectDtls({ ...options, signal: before }),
      Error,
      "changed my mind",
    );
    const soon = new AbortController();
    const connecting = connectDtls({ ...options, signal: soon.signal });
    await silent.receive();
    soon.abort(new Error("too slow"));
    await assertRejects(() => connecting, Error, "too slow");
    silent.close();
  },
);

socketTest("a handshake that nobody answers ends in time", async () => {
  const silent = Deno.listenDatagram({ transport: "udp", hostname: "127.0.0.1", port: 0 });
  const options = { ...connectTo(silent.addr as Deno.NetAddr), limits: { handshakeMsMax: 20 } };
  const error = await assertRejects(() => connectDtls(options), DtlsError);
  assertEquals(error.reason, "handshake-timeout");
  silent.close();
});

socketTest("an endpoint's signal closes it, and its associations in order", async () => {
  const controller = new AbortController();
  const endpoint = await listenDtls({ ...LISTEN, signal: controller.signal });
  const client = await connectDtls(connectTo(endpoint.addr));
  controller.abort();
  for await (const server of endpoint) throw new Error(`${server.version} after the end`);
  assertEquals(await client.closed, undefined);
  await endpoint.close();
});

socketTest("an association without a message in either direction does not stay", async () => {
  await using endpoint = await listenDtls({ ...LISTEN, limits: { idleMsMax: 50 } });
  const client = await connectDtls(connectTo(endpoint.addr));
  for await (const server of endpoint) {
    const error = await server.closed;
    assertInstanceOf(error, DtlsError);
    assertEquals(error.reason, "idle-timeout");
    break;
  }
  assertEquals(await client.closed, undefined);
});

/** Deno's sockets, each of whose datagrams `keeps` decides about. */
function lossy(keeps: (datagram: Uint8Array, number: number) => boolean): UdpRuntime {
  return {
    ...denoUdp,
    listen: async (hostname, port) => {
      const socket = await denoUdp.listen(hostname, port);
      let number = 0;
      return {
        address: socket.address,
        receive: (sink) => socket.receive(sink),
        send: (datagram, to) =>
          keeps(datagram, number++) ? socket.send(datagram, to) : Promise.resolve(),
        close: () => socket.close(),
      };
    },
  };
}

socketTest(
  "a client that sends and closes at once is heard, though its last flight was lost",
  async () => {
    await using endpoint = await listenDtls(LISTEN);
    // The third datagram holds the Finished.
    const client = await connectDtls({
      ...connectTo(endpoint.addr),
      udp: lossy((_, number) => number !== 2),
      limits: { initialTimeoutMs: 50, timeoutMsMin: 50 },
    });
    await client.send(bytes("first"));
    await client.close();
    for await (const server of endpoint) {
      assertEquals(await server.closed, undefined);
      assert(endpoint.counters().socket["received"]! > 3);
      break;
    }
  },
);
